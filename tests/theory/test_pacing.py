"""How many drafts a pass takes, and when a draft is worth making."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.theory.pacing import (
    MOST_DRAFTS,
    MOST_PENDING,
    AgreementByGap,
    Pace,
    PassTime,
    RunningAgreement,
    Trial,
    Worth,
)

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


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=5, max_size=5), max_size=40),
    st.floats(1e-4, 1),
    st.floats(0, 1),
)
def test_sessions_that_share_their_passes_are_on_average_later_by_one_pass_at_most(
    passes: list[list[tuple[int, int]]], alone: float, slope: float
) -> None:
    """Against the same sessions without a draft, whatever becomes of the drafts; one alone may be later."""
    time, paces = PassTime(alone, slope * alone), [Pace() for _ in range(5)]
    part = time.shared_by(len(paces))
    lateness, without = 0.0, time.seconds(len(paces) - 1)
    for sessions in passes:
        made, taken = 0, 0
        for pace, (available, stand) in zip(paces, sessions, strict=True):
            drafts = pace.drafts(available, part)
            stood = min(drafts, stand)
            pace.note(drafts, stood + 1, part)
            for at in range(min(drafts, stood + 1)):
                pace.agreement.note(at < stood)
            made, taken = made + stood + 1, taken + drafts
        lateness += time.seconds(len(paces) - 1 + taken) - made / len(paces) * without
        assert lateness <= len(paces) * part.allowance + 1e-9
    assert len(paces) * part.allowance <= without * (1 + 1e-9)


def test_one_session_has_a_pass_for_itself() -> None:
    assert CHEAP.shared_by(1) == CHEAP


def test_among_many_a_draft_must_be_surer_to_be_worth_the_wait_of_all() -> None:
    assert Pace().drafts(8, CHEAP.shared_by(2)) == 8
    assert 0 < Pace().drafts(8, CHEAP.shared_by(30)) < 8


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 100))
def test_the_time_of_a_pass_is_a_line_in_its_drafts(alone: float, per_draft: float, drafts: int) -> None:
    time = PassTime(alone, per_draft)
    assert time.seconds(drafts) == pytest.approx(alone + drafts * per_draft)
    assert time.allowance <= min(time.increment(MOST_DRAFTS), alone)


def test_a_device_drafts_less_far_ahead_the_less_its_drafts_stand() -> None:
    def furthest(worth: Worth) -> int:
        return next(pending for pending in range(1000) if not worth.drafts_on([None] * pending))

    sure, unsure = Worth(), Worth()
    for _ in range(100):
        sure.agreement.note(None, True)
        unsure.agreement.note(None, False)
    assert furthest(sure) > furthest(Worth()) > furthest(unsure) == 0


def test_a_device_whose_drafts_never_save_a_pass_pauses_ever_longer() -> None:
    worth, pauses, length = Worth(), [], 0
    for _ in range(1500):
        worth.note_verdict(1)
        if worth.drafts_on([]):
            pauses += [length] if length else []
            length = 0
        else:
            length += 1
    assert pauses == sorted(pauses)
    assert len(set(pauses)) > 2


def test_a_pause_ends_at_once_where_a_draft_stood() -> None:
    worth = Worth()
    while worth.drafts_on([]):
        worth.note_verdict(1)
    worth.note_verdict(1)
    assert not worth.drafts_on([])
    worth.note_verdict(2)
    assert worth.drafts_on([])


def test_a_device_drafts_less_far_behind_drafts_whose_races_were_close() -> None:
    def reach(gap: float) -> int:
        return next(pending for pending in range(1000) if not Worth().drafts_on([gap] * pending))

    reaches = [reach(gap) for gap in (0.0, 0.2, 0.5, 1.0, 2.0, 10.0)]
    assert reaches == sorted(reaches)
    assert reaches[0] == 4
    assert reaches[-1] == MOST_PENDING


def test_how_often_close_races_stand_is_learned_apart_from_clear_ones() -> None:
    agreement = AgreementByGap()
    for _ in range(300):
        agreement.note(0.0, True)
        agreement.note(5.0, False)
    assert agreement.chance_of(0.1) > 0.95
    assert agreement.chance_of(3.0) < 0.05
    assert agreement.chance_of(None) == agreement.chance_of(math.inf) == agreement.chance
    assert 0.4 < agreement.chance < 0.6


@pytest.mark.parametrize(("with_drafts", "without"), [(0.03, 0.02), (0.02, 0.03)])
def test_where_a_machine_is_shared_the_faster_way_is_found_and_kept(with_drafts: float, without: float) -> None:
    trial, now, drafted = Trial(), 0.0, []
    for _ in range(1500):
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


def test_one_trial_serves_many_answers_and_what_lies_between_them_is_not_timed() -> None:
    trial, now = Trial(), 0.0
    for _ in range(30):
        now += 100
        trial.resume()
        for _ in range(10):
            now += 0.02 if trial.drafts else 0.03
            trial.note(1, now)
    assert trial.drafts
