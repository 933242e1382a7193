"""How many drafts a pass takes, and when a draft is worth making."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.theory.pacing import MOST_DRAFTS, Pace, PassTime, RunningAgreement, Trial, Worth

CHEAP, DEAR = PassTime(0.04, 0.0004), PassTime(0.04, 0.04)


def test_the_running_agreement_follows_what_it_is_told_both_ways() -> None:
    agreement = RunningAgreement()
    for _ in range(300):
        agreement.note(False)
    assert agreement.chance < 0.02
    for _ in range(300):
        agreement.note(True)
    assert agreement.chance > 0.98


def test_cheap_rows_take_all_drafts_and_rows_that_cost_a_pass_take_none() -> None:
    assert Pace().drafts(8, CHEAP) == 8
    assert Pace().drafts(8, DEAR) == 0
    assert Pace().drafts(0, CHEAP) == 0
    assert Pace().drafts(1000, PassTime(0.04, 0.0)) == MOST_DRAFTS


def test_drafts_that_never_stand_are_not_taken_long() -> None:
    pace = Pace()
    for _ in range(200):
        taken = pace.drafts(8, CHEAP)
        pace.note(taken, 1, CHEAP)
        pace.agreement.note(False)
    assert pace.drafts(8, CHEAP) == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=80), st.floats(1e-4, 1), st.floats(0, 1))
def test_an_answer_is_never_in_debt_by_more_than_the_allowance(
    passes: list[tuple[int, int]], alone: float, slope: float
) -> None:
    """The credit rule, whatever becomes of the drafts: the best and the worst the link and they can do."""
    time, pace = PassTime(alone, slope * alone), Pace()
    for available, stand in passes:
        taken = pace.drafts(available, time)
        assert 0 <= taken <= min(available, MOST_DRAFTS)
        stood = min(taken, stand)
        pace.note(taken, stood + 1, time)
        for at in range(min(taken, stood + 1)):
            pace.agreement.note(at < stood)
        assert pace.won >= -time.allowance - 1e-9


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 100))
def test_the_time_of_a_pass_is_a_line_in_its_drafts(alone: float, per_draft: float, drafts: int) -> None:
    time = PassTime(alone, per_draft)
    assert time.seconds(drafts) == pytest.approx(alone + drafts * per_draft)
    assert time.allowance <= min(time.increment(MOST_DRAFTS), alone)


def test_a_device_drafts_less_far_ahead_the_less_its_drafts_stand() -> None:
    def furthest(worth: Worth) -> int:
        return next(pending for pending in range(1000) if not worth.drafts_on(pending))

    sure, unsure = Worth(), Worth()
    for _ in range(100):
        sure.agreement.note(True)
        unsure.agreement.note(False)
    assert furthest(sure) > furthest(Worth()) > furthest(unsure) == 0


def test_a_device_whose_drafts_never_save_a_pass_pauses_ever_longer() -> None:
    worth, pauses, length = Worth(), [], 0
    for _ in range(1500):
        worth.note_verdict(1)
        if worth.drafts_on(0):
            pauses += [length] if length else []
            length = 0
        else:
            length += 1
    assert pauses == sorted(pauses)
    assert len(set(pauses)) > 2


def test_a_pause_ends_at_once_where_a_draft_stood() -> None:
    worth = Worth()
    while worth.drafts_on(0):
        worth.note_verdict(1)
    worth.note_verdict(600)
    assert worth.drafts_on(0)


@pytest.mark.parametrize(("with_drafts", "without"), [(0.03, 0.02), (0.02, 0.03)])
def test_where_a_machine_is_shared_the_faster_way_is_found_and_kept(with_drafts: float, without: float) -> None:
    trial, now, drafted = Trial(), 0.0, []
    for _ in range(1000):
        drafted.append(trial.drafts)
        now += with_drafts if trial.drafts else without
        trial.note(1, now)
    assert True in drafted[:40]
    assert False in drafted[:60]
    share = sum(drafted) / len(drafted)
    assert share > 0.9 if with_drafts < without else share < 0.1


def test_what_was_under_way_when_a_trial_begins_counts_for_neither_way() -> None:
    trial, now, lately = Trial(), 0.0, [True, True]
    for _ in range(60):
        lately = [*lately[-2:], trial.drafts]
        now += 0.02 if lately[0] else 0.03  # each way shows two tokens later
        trial.note(1, now)
    assert trial.drafts
