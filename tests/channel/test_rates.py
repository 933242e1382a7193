"""Rate models: what they serve in the time they say."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import exp1

from cuhlm.channel.rates import FixedRate, RateModel, ShannonRate, TraceRate, capacity
from cuhlm.errors import ConfigurationError

# Hundredths of seconds and of Mbit/s, as in measured traces.
STEPS = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 400)), min_size=2, max_size=12).filter(
    lambda steps: any(rate for _, rate in steps)
)
BITS = st.integers(1, 2_000_000)
STARTS = st.floats(0, 30)


class Steps:
    """A trace served by plain stepping: the oracle."""

    def __init__(self, steps: list[tuple[int, int]]) -> None:
        durations = [steps[index][0] / 100 for index in range(len(steps) - 1)]
        self.durations = [*durations, durations[-1]]  # the last interval lasts as long as the one before
        self.rates = [rate * 1e4 for _, rate in steps]

    def trace(self) -> TraceRate:
        edges = np.concatenate(([0.0], np.cumsum(self.durations[:-1])))
        return TraceRate(edges, np.array(self.rates) / 1e6)

    def served(self, start: float, end: float) -> float:
        total, time = 0.0, 0.0
        while time < end:
            for duration, rate in zip(self.durations, self.rates, strict=True):
                total += rate * max(0.0, min(end, time + duration) - max(start, time))
                time += duration
        return total


@settings(deadline=None)
@given(steps=STEPS, bits=BITS, start=STARTS)
def test_a_trace_serves_the_payload_in_the_time_it_says_and_not_before(
    steps: list[tuple[int, int]], bits: int, start: float
) -> None:
    oracle = Steps(steps)
    seconds = oracle.trace().uplink_seconds(bits, start, 0)
    assume(seconds < 1000)
    assert oracle.served(start, start + seconds) == pytest.approx(bits, rel=1e-6, abs=1e-2)
    assert oracle.served(start, start + seconds * (1 - 1e-6)) < bits + 1e-2


@settings(deadline=None)
@given(steps=STEPS, bits=BITS, more=BITS, start=STARTS)
def test_more_bits_never_take_less_time(steps: list[tuple[int, int]], bits: int, more: int, start: float) -> None:
    trace = Steps(steps).trace()
    assert trace.uplink_seconds(bits + more, start, 0) >= trace.uplink_seconds(bits, start, 0)


@settings(deadline=None)
@given(steps=STEPS, first=BITS, second=BITS, start=STARTS)
def test_two_payloads_in_turn_take_as_long_as_both_at_once(
    steps: list[tuple[int, int]], first: int, second: int, start: float
) -> None:
    trace = Steps(steps).trace()
    half = trace.uplink_seconds(first, start, 0)
    apart = half + trace.uplink_seconds(second, start + half, 0)
    assert trace.uplink_seconds(first + second, start, 0) == pytest.approx(apart, rel=1e-6, abs=1e-6)


def test_a_payload_is_served_at_the_rates_of_the_intervals_it_spans() -> None:
    trace = TraceRate(np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.0, 2.0]))
    assert trace.uplink_seconds(500_000, 0.0, 0) == pytest.approx(0.5)
    assert trace.uplink_seconds(1_000_000, 0.5, 0) == pytest.approx(1.75)  # half a second, the outage, a quarter
    assert trace.uplink_seconds(1, 1.2, 0) == pytest.approx(0.8, abs=1e-5)
    assert trace.uplink_seconds(0, 1.2, 0) == 0
    assert trace.mean_bits_per_second == pytest.approx(1e6)


def test_a_payload_that_ends_where_an_outage_begins_does_not_wait_for_its_end() -> None:
    trace = TraceRate(np.array([0.0, 0.1, 5.0]), np.array([0.3, 0.0, 1.0]))
    for start in np.linspace(0, 0.09, 50):
        assert trace.uplink_seconds(30_000 - 300_000 * start, float(start), 0) <= 0.1 - start + 1e-9


def test_a_trace_repeats_after_its_end() -> None:
    trace = TraceRate(np.array([0.0, 1.0]), np.array([1.0, 3.0]))
    assert trace.uplink_seconds(4_000_000, 0.0, 0) == pytest.approx(2.0)
    assert trace.uplink_seconds(40_500_000, 0.0, 0) == pytest.approx(20.5)
    for start in (0.3, 1.7):
        assert trace.uplink_seconds(123_456, start, 0) == pytest.approx(trace.uplink_seconds(123_456, start + 40, 0))


def test_a_trace_that_ends_in_an_outage_is_done_when_its_capacity_is_through() -> None:
    trace = TraceRate(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    assert trace.uplink_seconds(1_000_000, 0.0, 0) == pytest.approx(1.0)
    assert trace.uplink_seconds(2_000_000, 0.0, 0) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("seconds", "mbps", "complaint"),
    [
        ([0.0], [1.0], "1 rows is unusable"),
        ([0.0, 1.0], [1.0], "unusable"),
        ([0.0, 0.0], [1.0, 1.0], "do not ascend"),
        ([0.0, math.nan], [1.0, 1.0], "do not ascend"),
        ([0.0, math.inf], [1.0, 1.0], "do not ascend"),
        ([0.0, 1.0], [1.0, -1.0], "the rate trace has the rate"),
        ([0.0, 1.0], [1.0, math.nan], "the rate trace has the rate"),
        ([0.0, 1.0], [1.0, math.inf], "the rate trace has the rate"),
        ([0.0, 1.0], [0.0, 0.0], "0 throughout"),
    ],
)
def test_an_unusable_trace_is_refused(seconds: list[float], mbps: list[float], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        TraceRate(np.array(seconds), np.array(mbps))


def test_shannon_capacity_without_fading_is_the_textbook_number() -> None:
    rate = ShannonRate(bandwidth_hz=1e6, snr_db=0.0)
    assert rate.uplink_seconds(1e6, 0.0, 5) == pytest.approx(1.0)  # SNR 1: one bit per second and hertz
    assert ShannonRate(2e6, 10 * math.log10(3)).uplink_seconds(4e6, 0.0, 5) == pytest.approx(1.0)


def test_fading_is_keyed_by_seed_and_transmission_and_by_nothing_else() -> None:
    rate = ShannonRate(1e6, 10.0, rayleigh=True, seed=3)
    assert rate.uplink_seconds(1000, 0.0, 7) == rate.uplink_seconds(1000, 99.0, 7)
    assert rate.uplink_seconds(2000, 0.0, 7) == 2 * rate.uplink_seconds(1000, 0.0, 7)
    assert rate.uplink_seconds(1000, 0.0, 7) != rate.uplink_seconds(1000, 0.0, 8)
    assert rate.uplink_seconds(1000, 0.0, 7) != ShannonRate(1e6, 10.0, True, seed=4).uplink_seconds(1000, 0.0, 7)


def test_fades_have_the_law_of_a_rayleigh_channel() -> None:
    """Null: |h|² ~ Exp(1). n = 4000; Kolmogorov-Smirnov, false alarm 1e-4: a distance above 0.0352 fails."""
    rate = ShannonRate(1e6, 10.0, rayleigh=True, seed=1)
    gains = np.sort([(2 ** (rate.bits_per_second(index) / 1e6) - 1) / 10 for index in range(4000)])
    ranks = np.arange(1, 4001) / 4000
    assert _distance(1 - np.exp(-gains), ranks) < 0.0352
    assert _distance(1 - np.exp(-gains / 1.2), ranks) > 0.0352  # a mean gain of 1.2 is noticed


def _distance(law: np.ndarray, ranks: np.ndarray) -> float:
    return float(max((ranks - law).max(), (law - ranks + 1 / len(ranks)).max()))


@pytest.mark.parametrize("snr_db", [-100.0, 0.0])
def test_the_deepest_fade_ends(snr_db: float) -> None:
    smallest_draw = -math.log1p(-(2.0**-53))  # of `theory.randomness.exponentials`: its uniforms are (n + ½)·2^−52
    assert math.log2(1 + 10 ** (snr_db / 10) * smallest_draw) == 0  # the plain formula would never end
    assert 1e6 < 1000 / capacity(1e6, snr_db, smallest_draw) < math.inf


def test_the_mean_rate_under_fading_is_the_ergodic_capacity() -> None:
    """E[log2(1 + SNR·|h|²)] = e^(1/SNR)·E₁(1/SNR)/ln 2: 2.907 at 10 dB. n = 4000, 5 standard errors of 0.02."""
    rates = [ShannonRate(1e6, 10.0, rayleigh=True, seed=2).bits_per_second(index) / 1e6 for index in range(4000)]
    ergodic = math.exp(0.1) * float(exp1(0.1)) / math.log(2)
    tolerance = 5 * float(np.std(rates)) / 4000**0.5
    assert tolerance < 0.12
    assert abs(float(np.mean(rates)) - ergodic) < tolerance
    assert abs(float(np.mean(rates)) - math.log2(11)) > tolerance  # the rate without fading is another


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: FixedRate(0), "rate is 0 Mbit/s"),
        (lambda: FixedRate(math.nan), "rate is nan"),
        (lambda: FixedRate(math.inf), "rate is inf"),
        (lambda: FixedRate(2e12), r"rate is 2e\+06 Mbit/s; expected 1e-06 to 1e\+06"),
        (lambda: ShannonRate(1e13, 10), r"bandwidth is 1e\+13 Hz; expected 1 to 1e\+12"),
        (lambda: ShannonRate(0, 10), "bandwidth is 0 Hz"),
        (lambda: ShannonRate(1e6, math.nan), "SNR is nan dB"),
        (lambda: ShannonRate(1e6, 101), "SNR is 101 dB"),
        (lambda: ShannonRate(1e6, 10, seed=-1), "seed of the fading is -1"),
    ],
)
def test_an_unusable_rate_is_refused(make: "type[RateModel]", complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        make()


@pytest.mark.parametrize(
    ("rate", "summary"),
    [
        (FixedRate(64e3), "64 kbit/s"),
        (FixedRate(1e9), "1000 Mbit/s"),
        (ShannonRate(1e6, 10.0, rayleigh=True), "1 MHz at 10 dB, Rayleigh fading"),
        (ShannonRate(2e6, 0.0), "2 MHz at 0 dB, no fading"),
        (TraceRate(np.array([0.0, 1.0]), np.array([1.0, 0.0])), "500 kbit/s on average over 2 s, then again"),
    ],
)
def test_a_rate_says_what_it_is(rate: RateModel, summary: str) -> None:
    assert rate.summary == summary


def test_a_payload_longer_than_the_trace_takes_as_many_rounds_of_it_as_it_needs() -> None:
    trace = TraceRate(np.array([0.0, 0.5, 1.0]), np.array([4.0, 0.0, 2.0]))  # 3 Mbit in a round of 1.5 s
    for rounds in (1, 7, 100_000):
        assert trace.uplink_seconds(rounds * 3e6, 0.0, 0) == pytest.approx(rounds * 1.5)
        assert trace.uplink_seconds(rounds * 3e6 + 1e6, 0.0, 0) == pytest.approx(rounds * 1.5 + 0.25)
