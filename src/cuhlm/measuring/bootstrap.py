"""Intervals by resampling whole answers (Efron): tokens of one answer are not independent, prompts are."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cuhlm.theory.randomness import Purpose, uniforms

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Estimate(NamedTuple):
    """A number with its 95 % bootstrap interval; NaN where there is nothing to estimate, or no interval.

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
    return _with_interval(float(value), values, int(np.count_nonzero(ratio.denominator)))


def _with_interval(value: float, values: Floats, units: int) -> Estimate:
    """`value` with the interval of its resamples; one unit alone tells nothing of how units differ."""
    values = values[np.isfinite(values)]
    if not values.size or units < 2:
        return Estimate(value, float("nan"), float("nan"))
    tail = tail_probability(units)
    low, high = np.quantile(values, (tail, 1 - tail))
    return Estimate(value, float(low), float(high))


def tail_probability(units: int) -> float:
    """What a 95 % percentile interval leaves out at each end, where it is of `units` units: 0.025 of very many.

    Resamples vary less than samples, by √((n − 1)/n), and their quantiles are those of a normal law where Student's
    belongs: the percentiles are moved outwards by as much (Hesterberg 2015, "expanded percentile").
    """
    z, freedom = 1.959964, units - 1
    # Student's quantile, by its Cornish–Fisher expansion: within 1 % from 8 units on.
    student = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return 0.5 * math.erfc(student * math.sqrt(units / freedom) / math.sqrt(2))


def _values(ratio: Ratio, counts: Counts, over: Ratio | None) -> Floats:
    values: Floats = (counts @ ratio.numerator) / (counts @ ratio.denominator)
    return values if over is None else values / _values(over, counts, None)


def weighted_estimate(
    statistic: Callable[[Floats], float], unit_of_row: npt.NDArray[np.intp], counts: Counts
) -> Estimate:
    """A statistic of rows that belong to units, with its interval.

    Args:
        statistic: of a weight per row, shape (rows,).
        unit_of_row: which unit each row belongs to.
        counts: `resample_counts` of the units.
    """
    value = statistic(np.ones(len(unit_of_row)))
    values = np.array([statistic(drawn[unit_of_row].astype(np.float64)) for drawn in counts])
    return _with_interval(value, values, counts.shape[1])


def weighted_correlation(a: Floats, b: Floats, weights: Floats) -> float:
    """Pearson's r of `a` and `b`; NaN where one of them does not vary; all of shape (n,)."""
    total = weights.sum()
    da, db = a - weights @ a / total, b - weights @ b / total
    spread = np.sqrt((weights @ (da * da)) * (weights @ (db * db)))
    return float(weights @ (da * db) / spread) if spread > 0 else float("nan")


def risk_coverage_area(u: Floats, beta: Floats, weights: Floats) -> float:
    """Area under the risk–coverage curve: mean, over all coverages, of the mean β of the least uncertain tokens.

    Tokens of equal u are taken in at random, so each counts with the mean β of its group. All of shape (n,).
    """
    order = np.argsort(u, kind="stable")
    weights, beta, u = weights[order], beta[order], u[order]
    _, group = np.unique(u, return_inverse=True)
    sums = np.bincount(group, weights)
    means = np.divide(np.bincount(group, weights * beta), sums, out=np.zeros_like(sums), where=sums > 0)
    covered = np.cumsum(weights)
    risk = np.divide(np.cumsum(weights * means[group]), covered, out=np.zeros_like(covered), where=covered > 0)
    return float(weights @ risk / weights.sum())
