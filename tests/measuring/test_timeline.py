"""`lossless` in simulated time: what can be computed by hand, and the law that no token is later than `remote`'s."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuhlm.channel.presets import Channel, find_channel
from cuhlm.channel.rates import FixedRate
from cuhlm.measuring import timeline
from cuhlm.measuring.timeline import Costs, replay, replay_remote
from cuhlm.theory.pacing import MOST_DRAFTS, Pace, PassTime

ROUNDING = 1e-9
ENDLESS = find_channel("lan:rtt_ms=50:mbps=100000:down_mbps=100000")
COSTS = Costs(0.005, PassTime(0.040, 0.0004))

channels = st.builds(
    lambda rtt, up, down: Channel("drawn", FixedRate(up), rtt, "drawn", down),
    st.floats(0, 1),
    st.floats(1e4, 1e9),
    st.one_of(st.none(), st.floats(1e4, 1e9)),
)
costs = st.builds(
    lambda draft, alone, slope, prompt: Costs(draft, PassTime(alone, slope * alone), prompt),
    st.floats(0.0005, 0.2),
    st.floats(0.001, 0.2),
    st.floats(0, 1),
    st.floats(0, 2),
)
agreements = st.one_of(
    st.lists(st.booleans(), max_size=120),
    st.integers(0, 120).map(lambda n: [True] * n),
    st.integers(0, 120).map(lambda n: [False] * n),
    st.integers(0, 60).map(lambda n: [False] * n + [True] * n),
)


def test_remote_takes_a_round_trip_and_a_pass_for_each_token() -> None:
    made = replay_remote(10, replace(ENDLESS, downlink_bits_per_second=None), COSTS)
    assert made.decided_at == pytest.approx([0.025 + 0.040 * (n + 1) for n in range(10)])
    assert made.delivered_at == pytest.approx([0.050 + 0.040 * (n + 1) for n in range(10)])
    assert made.rows == len(made.passes) == 10


def test_drafts_that_all_stand_save_most_passes() -> None:
    made = replay([True] * 200, ENDLESS, COSTS)
    assert len(made.passes) < 60
    assert made.stood == 200 - len(made.passes)
    assert made.seconds < replay_remote(200, ENDLESS, COSTS).seconds / 3


def test_drafts_that_all_fall_cost_no_more_than_the_allowance_and_are_given_up() -> None:
    made, remote = replay([False] * 600, ENDLESS, COSTS), replay_remote(600, ENDLESS, COSTS)
    assert len(made.passes) == 600
    assert made.seconds - remote.seconds <= COSTS.target.allowance + ROUNDING
    assert len(made.drafts) < 300


def test_a_draft_slower_than_the_target_gains_nothing_and_loses_nothing() -> None:
    slow = replace(COSTS, draft_seconds=0.045)
    made, remote = replay([True] * 300, ENDLESS, slow), replay_remote(300, ENDLESS, slow)
    assert made.decided_at == remote.decided_at


def test_a_device_that_still_reads_its_prompt_drafts_nothing() -> None:
    made = replay([True] * 100, ENDLESS, replace(COSTS, prompt_seconds=1.0))
    assert min(begin for begin, _, _ in made.drafts) >= 1.0


def test_an_answer_of_no_token_takes_no_time() -> None:
    assert replay([], ENDLESS, COSTS).seconds == 0


@given(agreements, channels, costs)
@settings(deadline=None, max_examples=300)
def test_no_token_is_decided_later_than_remote_would_by_more_than_one_increment(
    agrees: list[bool], channel: Channel, taken: Costs
) -> None:
    made, remote = replay(agrees, channel, taken), replay_remote(len(agrees), channel, taken)
    allowance = taken.target.allowance
    assert allowance <= taken.target.increment(MOST_DRAFTS)
    late = [one - other for one, other in zip(made.decided_at, remote.decided_at, strict=True)]
    assert max(late, default=0) <= allowance + ROUNDING
    assert len(made.passes) <= len(agrees)
    assert made.decided_at == sorted(made.decided_at)


def test_a_pace_without_credit_breaks_that_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: drafts taken whatever they cost."""
    monkeypatch.setattr(timeline, "Pace", _Careless)
    taken = Costs(0.001, PassTime(0.04, 0.02))
    made, remote = replay([True, False, False] * 20, ENDLESS, taken), replay_remote(60, ENDLESS, taken)
    assert made.decided_at[-1] - remote.decided_at[-1] > taken.target.allowance


class _Careless(Pace):
    def drafts(self, available: int, time: PassTime) -> int:  # noqa: ARG002
        return available
