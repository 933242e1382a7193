"""Intervals by resampling whole answers (Efron): tokens of one answer are not independent, prompts are."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cuhlm.theory.randomness import Purpose, uniforms

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Estimate(NamedTuple):
    """A number with its 95 % bootstrap interval; all NaN where there is nothing to estimate.

    Attributes:
        value: of the whole sample.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float


class Ratio(NamedTuple):
    """Σ numerator / Σ denominator over units (prompts): a mean where the denominators count things.

    Attributes:
        numerator: shape (n,), one per unit.
        denominator: likewise; 0 for a unit that has nothing to say.
    """

    numerator: Floats
    denominator: Floats


def resample_counts(units: int, *, seed: int = 0, resamples: int = 1000) -> Counts:
    """How often each unit is drawn in each resample, shape (resamples, units), int64.

    Resample r has the key (seed, r, BOOTSTRAP). One set of counts for all numbers of a table keeps comparisons paired.
    """
    counts = np.zeros((resamples, units), dtype=np.int64)
    for number in range(resamples):
        picks = (uniforms(seed, number, Purpose.BOOTSTRAP, units) * units).astype(np.intp)
        counts[number] = np.bincount(picks, minlength=units)
    return counts


def estimate(ratio: Ratio, counts: Counts, *, over: Ratio | None = None) -> Estimate:
    """`ratio`, or `ratio` over another one of the same units, with its interval.

    Args:
        ratio: over n units.
        counts: `resample_counts(n)`.
        over: of the same units in the same order; None for 1.
    """
    ones = np.ones((1, counts.shape[1]), dtype=np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        (value,) = _values(ratio, ones, over)
        values = _values(ratio, counts, over)
    values = values[np.isfinite(values)]
    if not values.size:
        return Estimate(float(value), float("nan"), float("nan"))
    low, high = np.quantile(values, (0.025, 0.975))
    return Estimate(float(value), float(low), float(high))


def _values(ratio: Ratio, counts: Counts, over: Ratio | None) -> Floats:
    values: Floats = (counts @ ratio.numerator) / (counts @ ratio.denominator)
    return values if over is None else values / _values(over, counts, None)
