"""The predicted chance that keeping a draft is wrong (design 2.11): a logistic model of what the device sees of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ConfigurationError
from cuhlm.messages import Array
from cuhlm.theory.distributions import LogitRow
from cuhlm.theory.rejection import threshold_at

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PLAUSIBLE = 0.1
"""A token is plausible to the target if its probability at T = 1 is at least so much of the highest (min-p's rule)."""
MOST_SHIFT = 2.0
"""How far audits may move the intercept of a calibrated score: e² in the odds."""
_MOST_STEP = 0.25
"""How far the audits of one answer may."""
_INFORMATION = 5.0
"""What the calibration counts for in such a step, in audits of even odds."""
_STEPS = 50
_SMALLEST = 1e-6


class Wrong(StrEnum):
    """What counts as wrong of a token that was kept."""

    PLAUSIBLE = "plausible"  # the target would hardly have written it
    BETA = "beta"  # the target would have rejected it, were it drawn by the rule of design 2.2
    KEYED = "keyed"  # the target draws another one with the shared seed


def plausibility(logits: Array, token: int) -> float:
    """p_d / max p at T = 1, in [0, 1], from a model's raw logits, shape (|V|,): 1 for its most probable token."""
    return math.exp(float(logits[token]) - float(logits.max()))


@dataclass(frozen=True, slots=True)
class Signals:
    """What the device sees of a draft.

    Attributes:
        u: uncertainty, in [0, 1].
        gap: of the race that drew it, at least 0; infinite where nothing else could be drawn.
        plausibility: of the draft to the draft model itself, in (0, 1].
    """

    u: float
    gap: float
    plausibility: float

    def features(self) -> tuple[float, ...]:
        """As the model takes them, each finite: ln u, u, the gap's closeness 1/(1 + gap), −ln of the plausibility."""
        return (
            math.log(max(self.u, _SMALLEST)),
            self.u,
            1 / (1 + self.gap),
            -math.log(max(self.plausibility, _SMALLEST)),
        )


def signals_of(row: LogitRow, token: int, gap: float | None, u: float) -> Signals:
    """Of a draft.

    Args:
        row: the draft model's raw logits, shape (|V|,).
        token: the draft.
        gap: of the race that drew it; None where it raced alone.
        u: its uncertainty.
    """
    return Signals(u, math.inf if gap is None else gap, math.exp(-row.gap(token)))


@dataclass(frozen=True, slots=True)
class RiskScore:
    """s = 1 / (1 + exp(−(intercept + weights · features))).

    Attributes:
        intercept: of the logit.
        weights: one per feature.
    """

    intercept: float
    weights: tuple[float, ...]

    def predict(self, features: tuple[float, ...]) -> float:
        """The chance that keeping is wrong, in (0, 1)."""
        logit = self.intercept + sum(weight * value for weight, value in zip(self.weights, features, strict=True))
        return 1 / (1 + math.exp(-min(max(logit, -700.0), 700.0)))

    def predict_all(self, features: Floats) -> Floats:
        """`predict` for rows, shape (n, features) to (n,)."""
        logits = self.intercept + features @ np.array(self.weights)
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -700.0, 700.0))))


def fit_score(features: Floats, chances: Floats, *, ridge: float = 1.0) -> RiskScore:
    """Maximum likelihood, by Newton's method, with a ridge on the weights of standardised features.

    Args:
        features: shape (n, m), finite.
        chances: what is predicted: 0 or 1, or a chance between, shape (n,).
        ridge: the larger, the nearer the weights to 0; it keeps them finite where the classes can be parted.

    Raises:
        ConfigurationError: there are fewer tokens than numbers to fit.
    """
    n, m = features.shape
    if n <= m + 1:
        raise ConfigurationError(f"{n} tokens are too few to fit {m + 1} numbers; expected more; give more prompts")
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    rows = np.column_stack([np.ones(n), (features - mean) / spread])
    penalty = np.diag([1e-9, *[ridge] * m])
    weights = np.zeros(m + 1)
    for _ in range(_STEPS):
        predicted = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        gradient = rows.T @ (chances - predicted) - penalty @ weights
        curvature = (rows * (predicted * (1 - predicted))[:, None]).T @ rows + penalty
        step = np.linalg.solve(curvature, gradient)
        weights += step * min(1.0, 3.0 / max(float(np.abs(step).max()), _SMALLEST))
        if float(np.abs(step).max()) < 1e-9:
            break
    slopes = weights[1:] / spread
    return RiskScore(float(weights[0] - slopes @ mean), tuple(map(float, slopes)))


def refined_shift(
    score: RiskScore, shift: float, features: Sequence[tuple[float, ...]], labels: Sequence[float]
) -> float:
    """How far the intercept is to be moved from the calibrated one, after the audits of one answer.

    One step of Newton's method on the likelihood, held back by what the calibration counts for. Only kept tokens are
    audited, which have low scores: they tell how high the scores should be there, and little of their weights. Bounded
    as one step and in all, so that no text can spoil a score.

    Args:
        score: with the shift so far.
        shift: so far, at most `MOST_SHIFT` either way.
        features: of audited tokens.
        labels: whether each was wrong, in [0, 1].
    """
    predicted = [score.predict(each) for each in features]
    excess = sum(label - chance for label, chance in zip(labels, predicted, strict=True))
    information = sum(chance * (1 - chance) for chance in predicted) + 0.25 * _INFORMATION
    step = min(max(excess / information, -_MOST_STEP), _MOST_STEP)
    return min(max(shift + step, -MOST_SHIFT), MOST_SHIFT)


def area_under_curve(score: Floats, wrong: Mask) -> float:
    """Chance that a wrong token has a higher score than a right one, ties half; NaN where one kind is missing. (n,)."""
    _, rank = np.unique(score, return_inverse=True)
    wrongs, rights = np.bincount(rank, wrong), np.bincount(rank, ~wrong)
    pairs = wrongs.sum() * rights.sum()
    if not pairs:
        return float("nan")
    below = np.cumsum(rights) - rights
    return float((wrongs * (below + 0.5 * rights)).sum() / pairs)


def kept_share(score: Floats, wrong: Floats, risk: float) -> float:
    """Largest share that a threshold on the score keeps with at most `risk` wrong among the kept; all of shape (n,)."""
    return float((score <= threshold_at(score, wrong, risk)).mean())
