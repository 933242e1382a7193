"""The law of a token that is asked for where plausible drafts stand, too (design 2.11, `relaxed` verdicts).

The draft d wins a race of x, the target's token a race of y with the same exponentials (design 2.6). d stands if it is
plausible to the target, or the target's own token; else the target's token takes its place. What comes out has x where
that is plausible, and the target's tokens for the rest: no sample of y, but nothing that neither the target drew nor
finds plausible.
"""

import itertools
import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def relaxed_law(draft_probs: Floats, target_probs: Floats, plausible: npt.NDArray[np.bool_]) -> Floats:
    """The law of the token, exactly.

    With E_j = a and E_i = b, the draft j and the target's i ≠ j win where every other E_k is above both a·x_k/x_j and
    b·y_k/y_i, b is above a·x_i/x_j, and a above b·y_j/y_i. In r = b/a the integral over a is elementary:

        P(j, i) = ∫ dr / (1 + r + Σ_k max(x_k/x_j, r·y_k/y_i))²,   r from x_i/x_j to y_i/y_j
        P(j, j) = 1 / (1 + Σ_k max(x_k/x_j, y_k/y_j))

    Args:
        draft_probs: x, shape (|V|,).
        target_probs: y, shape (|V|,).
        plausible: to the target, shape (|V|,).

    Returns:
        shape (|V|,). O(|V|³ log |V|): for small vocabularies.
    """
    x, y = draft_probs, target_probs
    law = np.where(plausible, x, 0.0)
    for j in np.flatnonzero(~plausible & (x > 0)):
        for i in np.flatnonzero(y > 0):
            others = np.arange(len(x)) != i
            others[j] = False
            if i == j:
                law[i] += 1 / (1 + np.maximum(x[others] / x[j], y[others] / y[j]).sum())
            else:
                ends = (x[i] / x[j], y[i] / y[j] if y[j] > 0 else math.inf)
                law[i] += _integral(x[others] / x[j], y[others] / y[i], *ends)
    return law


def _integral(first: Floats, second: Floats, low: float, high: float) -> float:
    """∫ dr / (1 + r + Σ max(first, r·second))² from low to high: between two breaks the sum is linear in r."""
    if high <= low:
        return 0.0
    breaks = np.divide(first, second, out=np.full(len(first), math.inf), where=second > 0)
    ends = [low, *sorted(each for each in breaks if low < each < high), high]
    return sum(
        _piece(begin, end, 1 + float(first[breaks > begin].sum()), 1 + float(second[breaks <= begin].sum()))
        for begin, end in itertools.pairwise(ends)
    )


def _piece(begin: float, end: float, offset: float, slope: float) -> float:
    """∫ dr / (offset + slope·r)²."""
    upper = 0.0 if math.isinf(end) else 1 / (offset + slope * end)
    return (1 / (offset + slope * begin) - upper) / slope
