"""What to expect of a method: numbers that follow by hand, and laws that hold on any link."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cuhlm.channel.compute import MEASURED, find_compute
from cuhlm.channel.presets import Channel, find_channel
from cuhlm.channel.rates import FixedRate
from cuhlm.data import DRAFT_PROFILE
from cuhlm.errors import ConfigurationError
from cuhlm.measuring.kept_timeline import Foreseen, replay_kept
from cuhlm.measuring.plan import (
    EXACT_METHODS,
    REMOTE,
    best,
    costs_for,
    costs_of_table,
    draw_map,
    expected,
    method_names,
    texts_of,
)
from cuhlm.measuring.timeline import replay, replay_remote
from cuhlm.profiles import load_profile
from cuhlm.risk_scores import Positions
from cuhlm.settings import RiskSettings
from cuhlm.theory.control import Budget, RiskControl
from cuhlm.theory.score import RiskScore

PROFILE = load_profile(DRAFT_PROFILE)
TEXTS = texts_of(PROFILE, 6)
COSTS = costs_for(0.005, 0.040, 0.0004)
INSTANT = Channel("instant", FixedRate(1e12), 0.0, "made up")
RISK = RiskSettings(Budget(0.02, begins_at=0.5), RiskScore(0.0, (0.0,) * 4))


def link(round_trip: float, rate: float = 5e6) -> Channel:
    return Channel("test", FixedRate(rate), round_trip, "made up", 30e6)


@pytest.fixture(autouse=True)
def _small_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole map takes seconds, and under coverage half a minute."""
    monkeypatch.setattr("cuhlm.measuring.plan.MAP_TEXTS", 6)
    monkeypatch.setattr("cuhlm.measuring.plan.ROUND_TRIPS_MS", (1.0, 10.0, 1000.0))
    monkeypatch.setattr("cuhlm.measuring.plan.RATIOS", (2.0, 0.25, 0.02))


def kept_seconds(
    scores: list[float], agrees: list[bool], channel: Channel, *, wrong: float = 0.0, risk: RiskSettings = RISK
) -> float:
    text = [Foreseen(score, 3.0, stands, wrong) for score, stands in zip(scores, agrees, strict=True)]
    return replay_kept(text, channel, COSTS, risk, RiskControl(risk.budget)).seconds


def test_what_is_kept_costs_drafts_alone() -> None:
    assert kept_seconds([0.1] * 40, [True] * 40, link(0.2)) == pytest.approx(40 * 0.005)


def test_what_is_asked_and_falls_costs_a_draft_a_round_trip_and_a_pass_each() -> None:
    far = link(0.2, rate=1e12)
    assert kept_seconds([0.9], [False], far) == pytest.approx(0.005 + 0.2 + 0.040, abs=1e-4)
    two = kept_seconds([0.9, 0.9], [False, False], far)
    assert two == pytest.approx(2 * (0.005 + 0.2 + 0.040), abs=0.006)  # a stale draft may be under way


def test_drafts_behind_a_question_that_stands_cost_no_further_round_trip() -> None:
    far = link(0.2, rate=1e12)
    seconds = kept_seconds([0.9, *[0.1] * 20], [True] * 21, far)
    assert seconds == pytest.approx(0.005 + 0.2 + 0.040, abs=0.01)


def test_every_kept_token_is_audited_once_and_within_the_time_that_is_promised() -> None:
    text = [Foreseen(0.1, 3.0, True, 0.0)] * 100
    done = replay_kept(text, link(0.05), COSTS, RISK, control := RiskControl(RISK.budget))
    assert (done.kept, done.rows, control.pending, control.produced) == (100, 100, 0, 100)
    assert 100 / 64 <= done.passes <= 100 / 32 + 1


def test_the_simulated_control_holds_its_budget() -> None:
    text = [Foreseen(0.1, 3.0, True, 1.0)] * 400
    done = replay_kept(text, link(0.05), COSTS, RISK, RiskControl(RISK.budget))
    assert done.wrong <= RISK.budget.most_wrong(400)
    assert done.wrong < 100


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.floats(0, 1),
    st.floats(1e4, 1e9),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_no_text_or_link_loses_a_token(text: list[tuple[float, bool, bool]], round_trip: float, rate: float) -> None:
    control = RiskControl(RISK.budget)
    foreseen = [Foreseen(score, 1.0, agrees, float(wrong)) for score, agrees, wrong in text]
    done = replay_kept(foreseen, link(round_trip, rate), COSTS, RISK, control)
    assert (control.produced, control.pending) == (len(text), 0)
    assert done.seconds >= len(text) * 0.0049
    assert done.wrong == control.wrong <= RISK.budget.most_wrong(len(text))


def test_lossless_and_remote_are_those_of_the_simulator_that_the_benchmark_uses() -> None:
    channel = link(0.05)
    found = expected(PROFILE, channel, COSTS, 0.02, TEXTS, [REMOTE, "lossless"])
    tokens = sum(len(text.u) for text in TEXTS)
    seconds = sum(replay(text.agrees, channel, COSTS, text.gap).seconds for text in TEXTS)
    assert found["lossless"].tokens_per_second == pytest.approx(tokens / seconds)
    alone = sum(replay_remote(len(text.u), channel, COSTS).seconds for text in TEXTS)
    assert found[REMOTE].tokens_per_second == pytest.approx(tokens / alone)


@pytest.mark.parametrize("round_trip", [0.0, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("draft", [0.001, 0.02, 0.1])
def test_lossless_is_never_slower_than_remote_by_more_than_its_credit(round_trip: float, draft: float) -> None:
    costs = costs_for(draft, 0.040, 0.0004)
    found = expected(PROFILE, link(round_trip), costs, 0.02, TEXTS, [REMOTE, "lossless"])
    seconds = {name: 1 / each.tokens_per_second for name, each in found.items()}
    most = costs.target.allowance / min(len(text.u) for text in TEXTS)
    assert seconds["lossless"] <= seconds[REMOTE] + most


def test_without_a_budget_opportunistic_is_lossless() -> None:
    found = expected(PROFILE, link(0.05), COSTS, 0.0, TEXTS, ["lossless", "opportunistic"])
    assert found["lossless"] == found["opportunistic"]


def test_a_larger_budget_keeps_more_and_risks_no_more_than_it_says() -> None:
    numbers = [
        expected(PROFILE, link(0.02), COSTS, risk, texts_of(PROFILE, 20), ["opportunistic"])["opportunistic"]
        for risk in (0.005, 0.02, 0.1)
    ]
    assert [each.kept for each in numbers] == sorted(each.kept for each in numbers)
    tokens = sum(len(text.u) for text in texts_of(PROFILE, 20))
    for risk, each in zip((0.005, 0.02, 0.1), numbers, strict=True):
        assert each.wrong * tokens <= Budget(risk, begins_at=1.0).most_wrong(tokens)


def test_all_methods_have_numbers_that_can_be() -> None:
    found = expected(PROFILE, link(0.05), COSTS, 0.02, TEXTS, method_names())
    assert found["local"].tokens_per_second == pytest.approx(200)
    assert found["local"].passes == 0
    for name, each in found.items():
        assert 0 < each.tokens_per_second <= 201
        assert 0 <= each.wrong <= each.kept <= 1
        assert each.passes <= each.rows
        assert math.isnan(each.kept_beta) or name not in (REMOTE, "lossless", "hlm", "split")


def test_on_an_instant_link_a_method_that_asks_for_each_costs_draft_and_pass() -> None:
    found = expected(PROFILE, INSTANT, COSTS, 0.02, TEXTS, ["hlm", REMOTE])
    assert found["hlm"].tokens_per_second == pytest.approx(1 / 0.045, rel=1e-3)
    assert found[REMOTE].tokens_per_second == pytest.approx(1 / 0.040, rel=1e-3)


def test_a_tie_is_the_simpler_methods() -> None:
    one = expected(PROFILE, INSTANT, COSTS, 0.02, TEXTS, [REMOTE])[REMOTE]
    just, clearly = (one._replace(tokens_per_second=gain * one.tokens_per_second) for gain in (1.019, 1.021))
    assert best({"a": one, "b": just}, ["a", "b"]) == "a"
    assert best({"a": one, "b": clearly}, ["a", "b"]) == "b"


def test_far_away_and_with_slow_drafts_nothing_beats_remote() -> None:
    cells = list(draw_map(PROFILE, link(0.05), COSTS, 0.02))
    at = {(cell.round_trip_ms, cell.ratio): cell for cell in cells}
    assert at[1000.0, 2.0].winner == REMOTE
    assert at[1.0, 0.02].winner != REMOTE
    assert all(cell.gain >= 1 for cell in cells)


def test_what_keeps_drafts_is_not_among_those_with_the_targets_law() -> None:
    keeping = replace(PROFILE, risk_averse=0.5)
    found = expected(keeping, INSTANT, COSTS, 0.02, TEXTS, method_names())
    assert found["route"].kept > 0.1, "else nothing is shown"
    assert all(found[name].kept == 0 for name in EXACT_METHODS)
    assert best(found, EXACT_METHODS) in EXACT_METHODS


def test_the_map_leaves_out_nothing_that_would_win_and_is_exact_without_a_risk() -> None:
    cells = list(draw_map(PROFILE, link(0.05), COSTS, 0.02))
    others = [name for name in method_names() if name != "local"]
    for cell in cells:
        there = replace(COSTS, draft_seconds=cell.ratio * COSTS.target.alone)
        found = expected(PROFILE, link(cell.round_trip_ms / 1000), there, 0.02, TEXTS, others)
        fastest = max(each.tokens_per_second for each in found.values())
        assert fastest <= 1.02**3 * found[cell.winner].tokens_per_second, (cell, found)
    assert "split" in {cell.winner for cell in cells}
    assert {cell.winner for cell in draw_map(PROFILE, link(0.05), COSTS, 0.0)} <= set(EXACT_METHODS)


def test_what_nothing_can_be_said_of_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="holds no positions to replay"):
        texts_of(replace(PROFILE, positions=Positions()))
    with pytest.raises(ConfigurationError, match="stands for the times of a run"):
        costs_of_table(MEASURED)
    for times in ((-1.0, 0.04, 0.0), (0.01, 0.0, 0.0), (0.01, 0.04, math.nan), (math.inf, 0.04, 0.0)):
        with pytest.raises(ConfigurationError, match="expected a number of at least"):
            costs_for(*times)
    assert costs_of_table(find_compute("free"))[1] == 0.0
    assert find_channel("lte").round_trip_seconds == 0.05
