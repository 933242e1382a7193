"""Statistical checks of a claimed law, with both error rates stated.

    check = check_law(samples, law)
    assert check.passed, check

The test is Pearson's chi-square, computed with `math` alone. Its report says how large a difference it would have seen,
so that a test that passes because it is blind can be told from one that passes because the law holds.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

_SMALLEST_EXPECTED = 5.0  # counts per cell below which the chi-square law is no good approximation


@dataclass(frozen=True, slots=True)
class LawCheck:
    """Result of `check_law`.

    Attributes:
        passed: the samples are compatible with the law.
        p_value: chance of a statistic at least this large if they have the law.
        smallest_detectable_tv: a law this far away in total variation, however its difference lies, fails the check
            with a chance of at least 99 %.
        n: samples.
    """

    passed: bool
    p_value: float
    smallest_detectable_tv: float
    n: int


def check_law(
    samples: npt.NDArray[np.integer], law: npt.NDArray[np.floating], *, false_alarm: float = 1e-4
) -> LawCheck:
    """Check that `samples` are independent draws from `law`.

    Args:
        samples: token ids, shape (n,).
        law: probabilities, shape (|V|,); normalised here.
        false_alarm: chance that a true law fails.
    """
    law = np.asarray(law, dtype=np.float64) / np.sum(law, dtype=np.float64)
    n = len(samples)
    observed = np.bincount(samples, minlength=law.size).astype(np.float64)
    if observed.size > law.size or observed[law == 0].any():
        return LawCheck(False, 0.0, 0.0, n)
    observed, expected = _merged(observed, n * law)
    freedom = max(1, expected.size - 1)
    statistic = float(np.sum((observed - expected) ** 2 / expected))
    p_value = chi_square_tail(statistic, freedom)
    return LawCheck(p_value >= false_alarm, p_value, _detectable(n, freedom, false_alarm), n)


def _merged(
    observed: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Pool the rare cells into one, or into the smallest other one if they are rare even together."""
    order = np.argsort(expected)
    rare = int(np.searchsorted(np.cumsum(expected[order]), _SMALLEST_EXPECTED)) + 1
    rare = min(max(rare, int(np.sum(expected < _SMALLEST_EXPECTED))), expected.size)
    pool, rest = order[:rare], order[rare:]
    return (
        np.append(observed[rest], observed[pool].sum()),
        np.append(expected[rest], expected[pool].sum()),
    )


def _detectable(n: int, freedom: int, false_alarm: float, miss: float = 0.01) -> float:
    """TV distance that is missed with a chance of at most `miss`.

    At distance TV the statistic has noncentrality λ = n·Σ (p−q)²/q ≥ n·(2·TV)² (Cauchy–Schwarz), mean f + λ and
    variance 2·(f + 2λ). In the normal approximation, the smallest λ whose lower quantile is above the critical value.
    """
    critical = chi_square_critical(freedom, false_alarm)
    z = NormalDist().inv_cdf(1 - miss)
    low, high = 0.0, 10.0 * critical + 1000.0
    for _ in range(100):
        middle = (low + high) / 2
        if freedom + middle - z * math.sqrt(2 * (freedom + 2 * middle)) < critical:
            low = middle
        else:
            high = middle
    return min(1.0, 0.5 * math.sqrt(high / n))


def chi_square_critical(freedom: int, tail: float) -> float:
    """The value that a chi-square variable exceeds with chance `tail`, by bisection."""
    low, high = 0.0, float(freedom) + 1.0
    while chi_square_tail(high, freedom) > tail:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if chi_square_tail(middle, freedom) > tail else (low, middle)
    return high


def chi_square_tail(statistic: float, freedom: int) -> float:
    """P(χ²_f ≥ statistic) = Q(f/2, statistic/2), the regularised upper incomplete gamma function."""
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    return 1.0 - scale * _lower_series(a, x) if x < a + 1 else scale * _upper_fraction(a, x)


def _lower_series(a: float, x: float) -> float:
    """Σ_n x^n / (a (a+1) … (a+n)); converges fast for x < a + 1."""
    term = total = 1 / a
    n = 0
    while term > total * 1e-16:
        n += 1
        term *= x / (a + n)
        total += term
    return total


def _upper_fraction(a: float, x: float) -> float:
    """The continued fraction of Γ(a, x) without its factor, for x ≥ a + 1 (modified Lentz)."""
    b = x + 1 - a
    c, d = math.inf, 1 / b
    value = d
    for n in range(1, 100_000):
        step = n * (a - n)
        b += 2
        d = 1 / (step * d + b)
        c = b + step / c
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value
