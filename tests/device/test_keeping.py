"""What is kept within a budget, and what the report says of it; no model."""

import math
from dataclasses import replace

import pytest
from tests.toy_pair import RISK

from cuhlm.cli.show_answer import risk_taken
from cuhlm.device.keeping import Keeping, Kept, audits_of, label
from cuhlm.errors import ProtocolError
from cuhlm.messages import Audit, Verdict
from cuhlm.theory.score import RiskScore, Signals, Wrong

SURE, UNSURE = Signals(0.01, 5.0, 1.0), Signals(0.99, 0.01, 0.01)
GOOD, BAD = Audit(0.9, 0.5, False), Audit(0.01, 0.001, True)


def kept(keeping: Keeping, signals: Signals = SURE) -> Kept:
    one = keeping.keep(signals, 0.8)
    assert one is not None
    keeping.note_final(one)
    return one


def test_what_is_sure_is_kept_and_what_is_not_is_asked_for() -> None:
    keeping = Keeping(RISK)
    assert keeping.keep(SURE, 0.8) is not None
    assert keeping.keep(UNSURE, 0.1) is None


def test_the_report_counts_each_token_once() -> None:
    keeping = Keeping(RISK)
    first, second = kept(keeping), kept(keeping)
    undone = keeping.keep(SURE, 0.8)
    assert undone is not None
    keeping.forget(undone)
    keeping.note_asked()
    keeping.note_audit(second, BAD)
    report = keeping.report()
    assert (report.produced, report.kept, report.audited, report.wrong) == (3, 2, 1, 1)
    keeping.note_audit(first, GOOD)
    report = keeping.report(tail_passes=1, tail_rows=2)
    assert (report.audited, report.tail_passes, report.tail_rows) == (2, 1, 2)
    assert (report.wrong_per_produced, report.wrong_per_kept) == (1 / 3, 1 / 2)
    assert report.kept_share == 2 / 3
    said = risk_taken(report)
    assert "66.7 % of 3 tokens kept; 2 of 2 kept tokens audited, 1 wrong (33.3 % of all, 50 % of the kept" in said
    assert "in outages" not in said


def test_what_an_outage_forces_stands_apart() -> None:
    keeping = Keeping(RISK)
    forced, allowed = keeping.force(UNSURE, 0.1), keeping.force(SURE, 0.8)
    assert (forced.is_forced, allowed.is_forced) == (True, False)
    for one in (forced, allowed):
        keeping.note_final(one)
    threshold = keeping.control.threshold
    keeping.note_audit(forced, BAD)
    keeping.forget(forced)  # of no account here
    assert keeping.control.threshold == threshold
    report = keeping.report()
    assert (report.kept, report.wrong, report.outages.kept, report.outages.judged, report.outages.wrong) == (
        1,
        0,
        1,
        1,
        1,
    )
    assert "in outages: 1 tokens kept beside the budget, 1 judged since, 1 wrong" in risk_taken(report)


def test_nothing_produced_is_no_share() -> None:
    report = Keeping(RISK).report()
    assert all(math.isnan(each) for each in (report.kept_share, report.wrong_per_kept, report.wrong_per_produced))
    assert "– of 0 tokens kept" in risk_taken(report)


@pytest.mark.parametrize(
    ("wrong", "of_good", "of_bad"), [(Wrong.PLAUSIBLE, 0, 1), (Wrong.KEYED, 0, 1), (Wrong.BETA, 0.375, 0.99875)]
)
def test_a_label_is_what_wrong_means(wrong: Wrong, of_good: float, of_bad: float) -> None:
    assert label(wrong, GOOD, 0.8) == pytest.approx(of_good)
    assert label(wrong, BAD, 0.8) == pytest.approx(of_bad)


def test_a_score_is_refined_between_answers_and_never_within() -> None:
    keeping = Keeping(RISK)
    before = keeping.settings.score
    for _ in range(20):
        keeping.note_audit(kept(keeping), GOOD)
    assert keeping.settings.score == before
    keeping.refine()
    assert before.intercept - 0.25 <= keeping.settings.score.intercept < before.intercept
    assert keeping.audited == []
    unchanged = keeping.settings
    keeping.refine()
    assert keeping.settings is unchanged


def test_a_score_that_is_certain_of_nothing_keeps_nothing() -> None:
    keeping = Keeping(replace(RISK, score=RiskScore(9.0, (0.0,) * 4)))
    assert keeping.keep(SURE, 0.8) is None


def test_audits_that_are_missing_are_refused() -> None:
    verdict = Verdict(3, 2, None, judged=2, audits=(GOOD,))
    assert list(audits_of(verdict, 1)) == [GOOD]
    with pytest.raises(ProtocolError, match="audits 1 of 2 kept tokens; expected all"):
        audits_of(verdict, 2)
