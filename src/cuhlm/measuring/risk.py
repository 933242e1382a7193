"""Fits the scores of the risk of keeping a draft, and says how well they foresee what they were not fitted to."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ConfigurationError
from cuhlm.measuring.bootstrap import resample_counts, tail_probability
from cuhlm.risk_scores import FittedScore, Positions, Reliability
from cuhlm.theory.score import PLAUSIBLE, Floats, Wrong, area_under_curve, fit_score, kept_share

Texts = npt.NDArray[np.int64]

RISKS = (0.005, 0.01, 0.02, 0.05)
_FOLDS = 3
_POINTS = 101
_BINS = 10
_RESAMPLES = 200


class Foresight(NamedTuple):
    """How well scores foresee, with a 95 % bootstrap over texts: (value, low, high) each.

    Attributes:
        area: under the curve.
        kept: the largest share that a threshold keeps with at most so many wrong among the kept, for each of `RISKS`.
    """

    area: tuple[float, float, float]
    kept: tuple[tuple[float, float, float], ...]


def labels_of(positions: Positions, wrong: Wrong) -> Floats:
    """Whether keeping the draft of each position is wrong, or the chance that it is, shape (n,)."""
    match wrong:
        case Wrong.PLAUSIBLE:
            return (np.array(positions.plausible) < PLAUSIBLE).astype(np.float64)
        case Wrong.BETA:
            return np.array(positions.beta, dtype=np.float64)
        case Wrong.KEYED:
            return 1.0 - np.array(positions.agrees, dtype=np.float64)


def features_of(positions: Positions) -> Floats:
    """What the scores are made of, shape (n, features)."""
    return np.array([signals.features() for signals in positions.signals()])


def texts_of(positions: Positions) -> Texts:
    """The number of each position's text, shape (n,)."""
    return np.repeat(np.arange(len(positions.lengths)), positions.lengths)


def fit_scores(positions: Positions) -> dict[Wrong, FittedScore]:
    """A score for each definition of wrong.

    Raises:
        ConfigurationError: there are too few positions.
    """
    features, texts = features_of(positions), texts_of(positions)
    return {wrong: _fitted(features, labels_of(positions, wrong), texts) for wrong in Wrong}


def _fitted(features: Floats, labels: Floats, texts: Texts) -> FittedScore:
    score = fit_score(features, labels)
    held_out, folds = held_out_scores(features, labels, texts)
    order = np.argsort(held_out, kind="stable")
    ascending, kept = held_out[order], np.arange(1, len(order) + 1)
    wrong = np.cumsum(labels[order]) / kept
    (ends,) = np.nonzero(np.append(ascending[1:] > ascending[:-1], True))  # of each group of equal scores
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, _POINTS).round().astype(int))]
    return FittedScore(
        intercept=score.intercept,
        weights=score.weights,
        area_under_curve=area_under_curve(held_out, labels > 0.5),
        threshold=tuple(map(float, ascending[ends])),
        kept_share=tuple(map(float, kept[ends] / len(order))),
        wrong_share=tuple(map(float, np.clip(wrong[ends], 0, 1))),
        reliability=_reliability(ascending, labels[order]),
        folds=folds,
    )


def held_out_scores(features: Floats, labels: Floats, texts: Texts) -> tuple[Floats, int]:
    """Scores by fits to the other texts, shape (n,), and in how many parts these were held out: 1 means not at all."""
    scores = np.zeros(len(labels))
    try:
        for fold in range(_FOLDS):
            mine = texts % _FOLDS == fold
            scores[mine] = fit_score(features[~mine], labels[~mine]).predict_all(features[mine])
    except ConfigurationError:  # too few texts
        return fit_score(features, labels).predict_all(features), 1
    return scores, _FOLDS


def _reliability(scores: Floats, labels: Floats) -> tuple[Reliability, ...]:
    """Ten bins of as many tokens, ascending."""
    bins = [each for each in np.array_split(np.arange(len(scores)), _BINS) if len(each)]
    return tuple(
        Reliability(float(scores[each].mean()), float(min(1.0, labels[each].mean())), len(each)) for each in bins
    )


def foresight(positions: Positions, wrong: Wrong, *, seed: int) -> Foresight:
    """How well the score of `wrong` foresees, on held-out texts."""
    labels, texts = labels_of(positions, wrong), texts_of(positions)
    scores, _ = held_out_scores(features_of(positions), labels, texts)
    value, resampled = _numbers(scores, labels), []
    for counts in resample_counts(len(positions.lengths), seed=seed, resamples=_RESAMPLES):
        rows = np.repeat(np.arange(len(texts)), counts[texts])
        resampled.append(_numbers(scores[rows], labels[rows]))
    area, *kept = [
        _with_interval(each, column, len(positions.lengths))
        for each, column in zip(value, np.array(resampled).T, strict=True)
    ]
    return Foresight(area, tuple(kept))


def _with_interval(value: float, resampled: Floats, texts: int) -> tuple[float, float, float]:
    """NaN for both ends where one text, or none with anything wrong, tells of no spread."""
    known = resampled[~np.isnan(resampled)]
    if texts < 2 or not len(known):
        return value, float("nan"), float("nan")
    tail = tail_probability(texts)
    low, high = np.quantile(known, (tail, 1 - tail))
    return value, float(low), float(high)


def _numbers(scores: Floats, labels: Floats) -> list[float]:
    return [area_under_curve(scores, labels > 0.5), *(kept_share(scores, labels, risk) for risk in RISKS)]
