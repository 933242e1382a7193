"""The arithmetic of an emulated link."""

import math

import numpy as np
import pytest
from benchmarks.shaped_link.direction import Direction
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.channel.rates import FixedRate, TraceRate

BYTES_PER_SECOND = 1000
ARRIVALS = st.lists(st.tuples(st.floats(0, 2), st.integers(1, 1500)), min_size=1, max_size=30)


def direction(delay_seconds: float = 0.0, *, loss: float = 0.0, queue_bytes: int = 10**9, seed: int = 0) -> Direction:
    return Direction(FixedRate(8 * BYTES_PER_SECOND), delay_seconds, loss=loss, queue_bytes=queue_bytes, seed=seed)


def offered(way: Direction, packets: list[tuple[float, int]]) -> list[tuple[float, bytes]]:
    """What arrives of packets given as (seconds after the one before, bytes), numbered by their first two bytes."""
    now = 0.0
    for number, (gap, size) in enumerate(packets):
        now += gap
        way.offer(number.to_bytes(2) + bytes(size), now)
    return way.arrived(math.inf)


@given(ARRIVALS, st.floats(0, 1))
def test_a_packet_arrives_when_those_before_it_and_itself_are_served_and_the_delay_is_over(
    packets: list[tuple[float, int]], delay: float
) -> None:
    now = free_at = 0.0
    expected = []
    for gap, size in packets:
        now += gap
        free_at = max(now, free_at) + (size + 2) / BYTES_PER_SECOND
        expected.append(free_at + delay)
    got = offered(direction(delay), packets)
    assert [at for at, _ in got] == pytest.approx(expected)
    assert [int.from_bytes(packet[:2]) for _, packet in got] == list(range(len(packets)))


def test_packets_are_handed_out_once_and_not_before_their_time() -> None:
    way = direction(0.5)
    way.offer(b"a" * 100, 0.0)
    way.offer(b"b" * 100, 0.0)
    assert way.next_arrival == pytest.approx(0.6)
    assert way.arrived(0.59) == []
    assert [packet[:1] for _, packet in way.arrived(0.61)] == [b"a"]
    assert way.arrived(0.61) == []
    assert [packet[:1] for _, packet in way.arrived(9.0)] == [b"b"]
    assert way.next_arrival == math.inf


def test_an_outage_of_the_trace_holds_packets_until_it_is_over() -> None:
    way = Direction(TraceRate(np.array([0.0, 1.0, 2.0]), np.array([0.008, 0.0, 0.016])), 0.25)  # 1000, 0, 2000 B/s
    for now in (0.0, 0.1, 1.5):
        way.offer(bytes(750), now)
    # 250 bytes of the second are through before the outage; the rest and the third wait for its end.
    assert [at for at, _ in way.arrived(math.inf)] == pytest.approx([1.0, 2.5, 2.875])


@given(ARRIVALS, st.integers(0, 3000))
def test_the_queue_drops_what_does_not_fit_and_nothing_else(packets: list[tuple[float, int]], queue_bytes: int) -> None:
    way = direction(queue_bytes=queue_bytes)
    got = offered(way, packets)
    now = free_at = 0.0
    kept = []
    for number, (gap, size) in enumerate(packets):
        now += gap
        backlog = [bytes_ for served, bytes_ in kept if served > now]
        if backlog and sum(backlog) + size + 2 > queue_bytes:
            continue
        free_at = max(now, free_at) + (size + 2) / BYTES_PER_SECOND
        kept.append((free_at, size + 2))
        assert int.from_bytes(got[len(kept) - 1][1][:2]) == number
    assert len(got) == len(kept)
    assert way.counts.dropped == len(packets) - len(got)
    assert way.counts.carried == sum(len(packet) for _, packet in got)


def test_a_packet_larger_than_the_queue_passes_an_idle_server() -> None:
    way = direction(queue_bytes=100)
    way.offer(bytes(500), 0.0)
    way.offer(bytes(1), 0.1)
    way.offer(bytes(500), 0.6)
    assert [len(packet) for _, packet in way.arrived(math.inf)] == [500, 500]


def losses(stated: float) -> float:
    """How many standard deviations the share of lost packets lies from `stated`, n = 20 000, where the rate is 5 %."""
    n = 20_000
    way = direction(loss=0.05, seed=7)
    for number in range(n):
        way.offer(b"x", float(number))
    assert way.counts.lost == n - len(way.arrived(math.inf))
    return abs(way.counts.lost / n - stated) / math.sqrt(stated * (1 - stated) / n)


def test_packets_are_lost_as_often_as_stated() -> None:
    """Null: each packet is lost with chance 0.05. n = 20 000, false alarm 1e-4 (3.9 σ): a rate 0.006 off is noticed."""
    assert losses(0.05) < 3.9
    assert losses(0.06) > 3.9


def test_the_same_seed_loses_the_same_packets() -> None:
    packets = [(0.1, 10)] * 200
    first, again, other = (
        [packet[:2] for _, packet in offered(direction(loss=0.3, seed=seed), packets)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
