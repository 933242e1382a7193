"""The control of the risk: its bound holds on any stream, in any order of labels, and a wrong control breaks it."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.errors import ConfigurationError
from cuhlm.theory.control import Budget, RiskControl, budget_from

Stream = Callable[[np.random.Generator, RiskControl], Iterator[tuple[float, bool]]]
"""Scores, and whether keeping would be wrong; may look at the control, as an adversary does."""


def adversarial(_rng: np.random.Generator, control: RiskControl) -> Iterator[tuple[float, bool]]:
    """Whatever is kept is wrong, and the score is as low as the threshold asks for."""
    while True:
        yield max(0.0, min(1.0, control.threshold)), True


def patient(_rng: np.random.Generator, control: RiskControl) -> Iterator[tuple[float, bool]]:
    """Right until the threshold is at its highest, then wrong as long as anything is kept."""
    while True:
        while control.threshold < 1:
            yield 0.0, False
        while control.threshold >= 0:
            yield 0.0, True


def calibrated(rng: np.random.Generator, _control: RiskControl) -> Iterator[tuple[float, bool]]:
    while True:
        score = float(rng.beta(0.3, 2.0))
        yield score, bool(rng.random() < score)


def drifting(rng: np.random.Generator, _control: RiskControl) -> Iterator[tuple[float, bool]]:
    """The scores are right at first, then ever more sanguine."""
    number = 0
    while True:
        score, number = float(rng.beta(0.3, 2.0)), number + 1
        yield score, bool(rng.random() < min(1.0, score * (1 + number / 200)))


STREAMS: tuple[Stream, ...] = (adversarial, patient, calibrated, drifting)
ORDERS = ("first in first out", "last in first out", "any")


def worst_excess(control: RiskControl, stream: Stream, *, delay: int, order: str, seed: int, n: int = 1500) -> float:
    """The most by which wrong tokens, pending ones counted, exceeded the bound at any time."""
    rng = np.random.default_rng(seed)
    pending: list[bool] = []
    wrong, worst = 0, -math.inf
    tokens = stream(rng, control)
    for produced in range(1, n + 1):
        score, is_wrong = next(tokens)
        if control.keeps(score):
            control.note_kept()
            pending.append(is_wrong)
            wrong += is_wrong
        else:
            control.note_asked()
        while len(pending) > delay or (pending and rng.random() < 0.02):
            at = {"first in first out": 0, "last in first out": -1}.get(order, int(rng.integers(len(pending))))
            control.note_label(pending.pop(at))
        worst = max(worst, wrong - control.budget.most_wrong(produced))
    return worst


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("delay", [0, 8, 64])
@pytest.mark.parametrize("risk", [0.0, 0.01, 0.02, 0.05])
@pytest.mark.parametrize("stream", STREAMS)
def test_the_bound_is_never_exceeded(stream: Stream, risk: float, delay: int, order: str) -> None:
    for begins_at in (0.0, 0.3, 1.0):
        control = RiskControl(Budget(risk, begins_at=begins_at, most_pending=delay))
        assert worst_excess(control, stream, delay=delay, order=order, seed=delay) <= 1e-6


class Floored(RiskControl):
    """A wrong control: its threshold does not fall below 0, where tokens of score 0 are kept."""

    def _label(self, wrong: float) -> None:
        super()._label(wrong)
        self.threshold = max(0.0, self.threshold)


class Forgetful(RiskControl):
    """A wrong control: it takes no notice of one wrong token in two."""

    def _label(self, wrong: float) -> None:
        super()._label(wrong * (self.labelled % 2))


class Credulous(RiskControl):
    """A wrong control: it keeps however many labels are outstanding."""

    def keeps(self, score: float) -> bool:
        return score <= self.threshold


@pytest.mark.parametrize("broken", [Floored, Forgetful])
def test_a_broken_control_exceeds_the_bound(broken: type[RiskControl]) -> None:
    assert worst_excess(broken(Budget(0.02)), adversarial, delay=8, order="any", seed=1, n=3000) > 1


def test_keeping_with_too_many_labels_outstanding_exceeds_the_bound_and_is_refused() -> None:
    budget = Budget(0.02, begins_at=0.1, most_pending=8)
    assert worst_excess(Credulous(budget), adversarial, delay=64, order="any", seed=1) > 1
    assert worst_excess(RiskControl(budget), adversarial, delay=64, order="any", seed=1) <= 1e-6


def test_a_good_score_lets_the_control_use_what_it_may() -> None:
    control = RiskControl(Budget(0.02))
    worst_excess(control, calibrated, delay=16, order="first in first out", seed=3, n=20_000)
    assert control.wrong / control.labelled == pytest.approx(0.02, abs=0.004)


def test_the_threshold_recovers_from_the_worst_within_a_hundred_tokens() -> None:
    control = RiskControl(Budget(0.02, most_pending=64))
    control.threshold = -0.05
    for _ in range(100):
        control.note_asked()
    assert control.keeps(0.0)


def with_outages(every: int, lasting: int, *, n: int = 4000) -> tuple[RiskControl, list[float]]:
    """A stream of calibrated scores; in an outage all is kept, and judged when it ends. Also τ outside of outages."""
    rng = np.random.default_rng(11)
    control, thresholds, late = RiskControl(Budget(0.02, begins_at=0.05, most_pending=64)), [], list[bool]()
    forced: list[bool] = []
    for number in range(n):
        score = float(rng.beta(0.3, 2.0))
        is_wrong = bool(rng.random() < score)
        is_out = every > 0 and number % every < lasting
        if control.keeps(score):
            control.note_kept()
            late.append(is_wrong)
        elif is_out:
            control.note_forced()
            forced.append(is_wrong)
        else:
            control.note_asked()
        if not is_out:
            for label in late:
                control.note_label(label)
            for label in forced:
                control.note_forced_label(label)
            late, forced = [], []
            thresholds.append(control.threshold)
    return control, thresholds


def test_what_outages_force_moves_nothing_and_is_reported_apart() -> None:
    control, _ = with_outages(every=500, lasting=200)
    account = control.outages
    assert account.kept == account.judged > 300
    assert account.wrong > 0.1 * account.judged  # far above the budget: what it would have asked for
    assert control.wrong <= control.budget.most_wrong(control.produced)


def test_keeping_recovers_soon_after_an_outage() -> None:
    _, undisturbed = with_outages(every=0, lasting=0)
    _, thresholds = with_outages(every=500, lasting=200)
    usual = float(np.median(undisturbed[500:]))
    for begins in range(300, len(thresholds) - 300, 300):  # 300 tokens between two outages
        assert max(thresholds[begins : begins + 100]) >= 0.5 * usual


@given(st.lists(st.booleans(), max_size=50), st.floats(0, 0.5), st.randoms(use_true_random=False))
def test_the_order_of_labels_makes_no_difference_below_the_ceiling(
    labels: list[bool], risk: float, mix: object
) -> None:
    ends = []
    for _ in range(2):
        control = RiskControl(Budget(risk, step=0.001, most_pending=64))
        for _each in labels:
            control.note_kept()
        for label in labels:
            control.note_label(label)
        ends.append(control.threshold)
        mix.shuffle(labels)  # type: ignore[attr-defined]
    assert ends[0] == pytest.approx(ends[1])


@given(st.floats(0, 0.9), st.floats(-1, 2))
def test_a_budget_that_begins_where_it_was_calibrated_has_little_slack_for_it(risk: float, threshold: float) -> None:
    budget = budget_from(risk, threshold)
    assert 0 <= budget.begins_at <= 1
    assert budget.slack <= budget.most_pending + 5 + 1e-9


def test_a_step_of_the_scores_scale_keeps_more_within_a_small_budget() -> None:
    """n = 20 000 scores that are right and mostly small; by a step of 0.05 each wrong token has a hundred asked for."""
    kept = {}
    for budget in (budget_from(0.005, 0.02), Budget(0.005, begins_at=0.02)):
        rng, control, count = np.random.default_rng(2), RiskControl(budget), 0
        for score in rng.beta(0.15, 3.0, 20_000):
            if control.keeps(score):
                control.note_kept()
                control.note_label(float(rng.random() < score))
                count += 1
            else:
                control.note_asked()
        assert control.wrong <= budget.most_wrong(control.produced)
        kept[budget.step] = count
    assert kept[0.005] > 1.02 * kept[0.05]


@pytest.mark.parametrize(
    "given",
    [{"risk": 1.0}, {"risk": -0.1}, {"risk": math.nan}, {"risk": 0.1, "step": 0}, {"risk": 0.1, "begins_at": 1.1},
     {"risk": 0.1, "most_pending": -1}],
)  # fmt: skip
def test_a_budget_out_of_range_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Budget(**given)  # type: ignore[arg-type]
