"""The score of a draft: a logistic model, and how good a score is."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.errors import ConfigurationError
from cuhlm.theory.score import (
    MOST_SHIFT,
    RiskScore,
    Signals,
    area_under_curve,
    fit_score,
    kept_share,
    plausibility,
    refined_shift,
)

RNG = np.random.default_rng(5)


def test_the_fit_finds_the_law_that_made_the_labels() -> None:
    # n = 40 000 labels of a known law: each within four standard errors and more.
    features = RNG.normal(size=(40_000, 3)) * (1.0, 5.0, 0.2) + (0.0, 3.0, -1.0)
    truth = RiskScore(-1.0, (0.7, -0.3, 2.0))
    wrong = RNG.random(40_000) < truth.predict_all(features)
    found = fit_score(features, wrong.astype(np.float64))
    assert found.intercept == pytest.approx(truth.intercept, abs=0.3)
    assert found.weights == pytest.approx(truth.weights, abs=0.3)
    predicted = found.predict_all(features)
    assert predicted.mean() == pytest.approx(wrong.mean(), abs=1e-3)
    assert found.predict(tuple(features[0])) == pytest.approx(predicted[0])


def test_weights_stay_finite_where_the_classes_can_be_parted() -> None:
    features = np.linspace(-1, 1, 40)[:, None]
    found = fit_score(features, (features[:, 0] > 0).astype(np.float64))
    assert 0 < found.weights[0] < 100


def test_a_feature_that_never_varies_has_no_weight() -> None:
    features = np.column_stack([np.ones(50), RNG.normal(size=50)])
    assert fit_score(features, (RNG.random(50) < 0.3).astype(np.float64)).weights[0] == pytest.approx(0)


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="3 tokens are too few to fit 4 numbers"):
        fit_score(np.zeros((3, 3)), np.zeros(3))


@given(st.floats(0, 1), st.floats(0, allow_infinity=True), st.floats(0, 1))
def test_features_are_finite_and_a_score_is_a_chance(u: float, gap: float, own: float) -> None:
    features = Signals(u, gap, own).features()
    assert all(map(math.isfinite, features))
    assert 0 <= RiskScore(1e3, (1e3, -1e3, 1e3, -1e3)).predict(features) <= 1


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40))
def test_the_area_is_the_share_of_pairs_in_the_right_order(tokens: list[tuple[int, bool]]) -> None:
    score, wrong = np.array([s for s, _ in tokens], np.float64), np.array([w for _, w in tokens])
    pairs = [(a > b) + 0.5 * (a == b) for a in score[wrong] for b in score[~wrong]]
    found = area_under_curve(score, wrong)
    assert found == pytest.approx(np.mean(pairs)) if pairs else math.isnan(found)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40), st.floats(0, 0.5))
def test_the_kept_share_is_the_largest_that_any_threshold_keeps_within_the_risk(
    tokens: list[tuple[int, bool]], risk: float
) -> None:
    score, wrong = np.array([s for s, _ in tokens], np.float64), np.array([w for _, w in tokens], np.float64)
    shares = [(score <= limit).mean() for limit in set(score) if wrong[score <= limit].mean() <= risk]
    assert kept_share(score, wrong, risk) == pytest.approx(max(shares, default=0.0))


def test_the_most_probable_token_is_fully_plausible() -> None:
    logits = np.array([1.0, 3.0, 3.0 + math.log(0.05)], np.float32)
    assert plausibility(logits, 1) == 1
    assert plausibility(logits, 2) == pytest.approx(0.05, rel=1e-5)


SOME = RiskScore(-3.0, (0.5, 2.0, 0.5, 0.2))
FEATURES = [Signals(u, 1.0, 0.8).features() for u in np.linspace(0.01, 0.9, 40)]


def log_loss(score: RiskScore, labels: Sequence[float]) -> float:
    predicted = score.predict_all(np.array(FEATURES))
    return -float(np.mean(np.where(np.array(labels) > 0.5, np.log(predicted), np.log(1 - predicted))))


@given(
    st.lists(st.tuples(st.sampled_from(FEATURES), st.floats(0, 1)), max_size=60),
    st.floats(-MOST_SHIFT, MOST_SHIFT),
)
def test_no_audits_move_a_score_farther_than_the_bounds(audits: list[tuple[Any, float]], shift: float) -> None:
    moved = refined_shift(SOME, shift, [each for each, _ in audits], [label for _, label in audits])
    assert abs(moved) <= MOST_SHIFT
    assert abs(moved - shift) <= 0.25
    if not audits:
        assert moved == shift


def refine(step: Callable[..., float]) -> RiskScore:
    """On texts whose odds to be wrong are a quarter of what was calibrated."""
    rng, score, shift = np.random.default_rng(3), SOME, 0.0
    truth = RiskScore(SOME.intercept - 1.4, SOME.weights).predict_all(np.array(FEATURES))
    for _ in range(30):
        labels = (rng.random(len(truth)) < truth).astype(float)
        shift = step(score, shift, FEATURES, labels)
        score = RiskScore(SOME.intercept + shift, SOME.weights)
    return score


def test_audits_of_another_kind_of_text_make_a_score_foresee_it_better() -> None:
    """Negative control: a step that takes the labels the wrong way round makes it worse."""
    rng = np.random.default_rng(9)
    truth = RiskScore(SOME.intercept - 1.4, SOME.weights).predict_all(np.array(FEATURES))
    labels = (rng.random(len(truth)) < truth).astype(float)
    before = log_loss(SOME, labels)
    assert log_loss(refine(refined_shift), labels) < before - 0.01

    def turned(score: RiskScore, shift: float, features: Any, labels: Any) -> float:
        return refined_shift(score, shift, features, [1 - label for label in labels])

    assert log_loss(refine(turned), labels) > log_loss(refine(refined_shift), labels) + 0.05
