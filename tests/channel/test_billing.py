"""The bill of a trace, part by part, and its equality with the simulated driver's clock."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from tests.toy_pair import settings

from cuhlm.channel.billing import bill
from cuhlm.channel.clock import VirtualClock
from cuhlm.channel.compute import COMPUTE_TABLES, MEASURED, ComputeTable, find_compute
from cuhlm.channel.presets import Channel, find_channel
from cuhlm.channel.rates import FixedRate, TraceRate
from cuhlm.device.device import Answer, Device, Request, collect
from cuhlm.device.ending import Limits
from cuhlm.device.steps import Emit, Finish
from cuhlm.errors import ConfigurationError
from cuhlm.link.in_process import InProcessLink
from cuhlm.link.simulated import SimulatedLink
from cuhlm.messages import Fate
from cuhlm.methods import METHODS
from cuhlm.records import Stages, TokenRecord
from cuhlm.testing import ToyEngine
from cuhlm.verifier.host import Verifier

CHANNEL = Channel("test", FixedRate(1000), 0.5, "made up", downlink_bits_per_second=4000)
TABLE = ComputeTable("test", 2.0, 3.0, "made up")
STAGES = Stages(draft=0.1, sample=0.01, gate=0.02, truncate=0.03, encode=0.04, link=9.0, target=0.7, verify=8.0)
SKIPPED = TokenRecord(5, 1, Fate.SKIPPED, draft_passes=1, stages=STAGES)
SENT = TokenRecord(
    6,
    1,
    Fate.ACCEPTED,
    payload_bits=690,
    wire_bytes_up=250,
    wire_bytes_down=100,
    draft_passes=1,
    target_passes=1,
    transmitted=True,
    stages=STAGES,
)


def test_a_token_pays_for_what_it_used() -> None:
    due = bill([replace(SKIPPED, stages=replace(STAGES, target=0.0)), SENT], CHANNEL, MEASURED)
    assert due.draft == pytest.approx([0.1, 0.1])
    assert due.arithmetic == pytest.approx([0.1, 0.1])
    assert due.device == pytest.approx([0.2, 0.2])
    assert due.uplink == pytest.approx([0, 0.69])
    assert due.round_trip == pytest.approx([0, 0.5])
    assert due.downlink == pytest.approx([0, 0])
    assert due.target == pytest.approx([0, 0.7])
    assert due.seconds == pytest.approx([0.2, 2.09])
    assert due.total_seconds == pytest.approx(2.29)
    assert due.tokens_per_second == pytest.approx(2 / 2.29)


def test_a_table_replaces_the_forward_passes_and_leaves_the_arithmetic_as_measured() -> None:
    due = bill([SKIPPED, SENT], CHANNEL, TABLE)
    assert due.draft == pytest.approx([2, 2])
    assert due.arithmetic == pytest.approx([0.1, 0.1])
    assert due.target == pytest.approx([0, 3])


def test_the_free_table_leaves_what_the_channel_alone_costs() -> None:
    due = bill([SKIPPED, SENT], CHANNEL, find_compute("free"))
    assert due.seconds == pytest.approx([0, 0.69 + 0.5])
    assert bill([SKIPPED], CHANNEL, find_compute("free")).tokens_per_second == float("inf")


def test_the_wire_counts_the_bytes_of_the_socket_both_ways() -> None:
    due = bill([SKIPPED, SENT], CHANNEL, MEASURED, count="wire")
    assert due.uplink == pytest.approx([0, 2.0])
    assert due.downlink == pytest.approx([0, 0.2])
    free_down = replace(CHANNEL, downlink_bits_per_second=None)
    assert bill([SENT], free_down, MEASURED, count="wire").downlink == pytest.approx([0])


def test_tokens_that_stream_down_are_made_while_those_before_are_on_their_way() -> None:
    """Against a queue stepped by hand: token i is made at 0.7·i and takes 0.2 s down, after the one before it."""
    first = replace(SENT, draft_passes=0, stages=Stages(target=0.7))
    streamed = replace(first, transmitted=False, wire_bytes_up=0)
    due = bill([first, *[streamed] * 4], CHANNEL, MEASURED, count="wire")
    assert due.seconds[1:] == pytest.approx([0.7] * 4)  # the target is the slower of the two
    slow = replace(CHANNEL, downlink_bits_per_second=400)
    made, arrived = 2.5 + 0.7 * np.arange(5), [2.5 + 2.0]
    for each in made[1:]:
        arrived.append(max(arrived[-1], each) + 2.0)
    due = bill([first, *[streamed] * 4], slow, MEASURED, count="wire")
    assert due.seconds[1:] == pytest.approx(np.diff(arrived))  # the downlink is
    assert bill([first, streamed], CHANNEL, MEASURED).seconds[1:] == pytest.approx([0.7])


def test_a_token_whose_beginning_is_known_meets_the_rate_trace_there() -> None:
    trace = Channel("trace", TraceRate(np.array([0.0, 10.0]), np.array([1e-3, 2e-3])), 0.0, "made up")
    sent = replace(SENT, stages=Stages())
    assert bill([sent, sent], trace, MEASURED).uplink == pytest.approx([0.69, 0.69])
    assert bill([sent, sent], trace, MEASURED, begins=[3.0, 12.0]).uplink == pytest.approx([0.69, 0.345])


def test_the_wire_is_not_billed_where_no_bytes_were_counted() -> None:
    with pytest.raises(ConfigurationError, match="no bytes for the token at position 6"):
        bill([replace(SENT, wire_bytes_up=None)], CHANNEL, MEASURED, count="wire")


def test_tokens_that_stream_down_pay_one_round_trip_in_all() -> None:
    stages = Stages(target=0.7)
    streamed = [
        TokenRecord(position, 1, Fate.TARGET, target_passes=1, transmitted=position == 3, stages=stages)
        for position in range(3, 8)
    ]
    due = bill(streamed, CHANNEL, MEASURED)
    assert due.round_trip == pytest.approx([0.5, 0, 0, 0, 0])
    assert due.total_seconds == pytest.approx(0.5 + 5 * 0.7)


def test_an_empty_answer_costs_nothing() -> None:
    assert bill([], CHANNEL, MEASURED).total_seconds == 0


FADING = find_channel("paper:bandwidth_hz=1e4:rtt_ms=30")
TRACE = Channel("drive", TraceRate(np.array([0.0, 0.2, 0.5]), np.array([0.01, 0.0, 0.002])), 0.03, "made up")


def simulated(method: str, channel: Channel, table: ComputeTable) -> tuple[Answer, float]:
    """An answer of 30 tokens, and the virtual seconds that the driver and the link counted."""
    clock = VirtualClock()
    target, draft = ToyEngine(vocab_size=12, seed=5), ToyEngine(vocab_size=12, seed=5, noise=0.6)
    with closing(Verifier(target, max_sessions=1)) as verifier:
        device = Device(draft, SimulatedLink(InProcessLink(verifier), channel, table, clock))
        request = Request((1, 2, 3), limits=Limits(30))
        generation = device.generate_simulated(settings(method), request, clock=clock, compute=table)
        answer = collect(timed(generation, clock, times := list[float]()))
    assert len(answer.records) == 30
    return answer, times[-1]


def timed(
    generation: Generator[Emit, None, Finish], clock: VirtualClock, times: list[float]
) -> Generator[Emit, None, Finish]:
    """Note when each token came: what is audited behind the last one keeps nobody waiting."""
    while True:
        try:
            emit = next(generation)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        times.append(clock.now)
        yield emit


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("compute", COMPUTE_TABLES)
@pytest.mark.parametrize("channel", [FADING, TRACE], ids=["fading", "trace"])
def test_the_bill_is_the_time_that_the_simulated_driver_takes(channel: Channel, method: str, compute: str) -> None:
    answer, seconds = simulated(method, channel, find_compute(compute))
    assert seconds == pytest.approx(bill(answer.records, channel, find_compute(compute)).total_seconds, rel=1e-9)


@pytest.mark.parametrize("channel", [FADING, TRACE], ids=["fading", "trace"])
def test_the_bill_of_another_trace_or_of_another_channel_is_another(channel: Channel) -> None:
    # So that the equality above is no accident: the channel rules these times, at any rate it meets.
    free = find_compute("free")
    answer, seconds = simulated("hlm", channel, free)
    other = replace(answer.records[7], payload_bits=answer.records[7].payload_bits + 8)
    for records, carrier in (
        ((*answer.records[:7], other, *answer.records[8:]), channel),
        (answer.records, FADING if channel is TRACE else TRACE),
        (answer.records, replace(channel, round_trip_seconds=0.031)),
    ):
        assert abs(bill(records, carrier, free).total_seconds - seconds) > 1e-4


def test_remote_pays_the_network_once_and_the_target_for_every_token() -> None:
    answer, seconds = simulated("remote", TRACE, find_compute("phone-1b-server-7b"))
    assert [record.transmitted for record in answer.records] == [True] + [False] * 29
    assert seconds == pytest.approx(0.03 + 30 * 0.015)
