"""The chi-square law, computed with `math` alone."""

import math


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
