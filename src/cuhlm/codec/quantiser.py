"""Probabilities as codes of b_prob bits: the levels, and a rounding that keeps the mass.

**The levels** are cubes: code c stands for (c / n)³, where n is the highest code. 0 and 1 are exact. The gaps between
levels narrow towards 0, where most entries lie, and are still small near 1, where most mass lies. Chosen by
measurement on a real draft's distributions (`benchmarks/quantisers.py`, 120 positions, T = 1 and 0.7). Mean Σ|·| by
which 8 bits move x̂, at the two temperatures:

    levels                    k = 8             k = 30            k = 300           k = |V|
    cubes                     0.004 to 0.006    0.006 to 0.007    0.010 to 0.012    0.012 to 0.027
    fourth powers             0.005 to 0.007    0.006 to 0.008    0.010             0.011 to 0.018
    logarithmic from e^−12    0.009 to 0.014    0.010 to 0.015    0.012 to 0.015    0.018 to 0.027
    logarithmic from e^−16    0.011 to 0.021    0.012 to 0.021    0.015 to 0.022    0.017 to 0.019
    linear                    0.011             0.032 to 0.033    0.12 to 0.23      0.16 to 0.47
    cubes, nearest rounding   0.004 to 0.006    0.007 to 0.008    0.011 to 0.013    0.011 to 0.027

With cubes the acceptance 1 − TV(x̂, y) changed by less than 0.1 % in each of these cases.

Levels are rounded to float32 numbers that are multiples of 2^−52, so that any sum of them below 2 is exact in float64,
in whatever order a processor adds; and a cube takes no logarithm or power that libraries round differently. Hence
device and verifier rebuild the same x̂ to the bit.

**Rounding keeps the mass.** Each probability goes to its nearest level; then some go to the other neighbour, those
nearest to a tie first, until the decoded sum meets the true one from below. What the decoder spreads over the entries
that were not sent is then the mass that was not sent, not rounding error, and no sum is above 1. Where one entry holds
nearly everything and few others can make up for its rounding, up to its gap (at most 1.2 % with 8 bits) stays missing.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MIN_BITS, MAX_BITS = 4, 16
_MAX_PASSES = 12


def levels(b_prob: int) -> Floats:
    """The value of each code: shape (2^b_prob,), float64, ascending, first 0, last 1."""
    highest = 2**b_prob - 1
    share = np.arange(highest + 1) / highest
    cubes: Floats = np.rint(share * share * share * 2.0**52) / 2.0**52
    return cubes.astype(np.float32).astype(np.float64)


LEVELS = {b_prob: levels(b_prob) for b_prob in range(MIN_BITS, MAX_BITS + 1)}


def quantise(kept: Floats, table: Floats) -> Codes:
    """Codes whose levels sum to as much as `kept`, as nearly as the levels allow, and to no more.

    Each code is one of the two whose levels enclose the probability, so levels and zeros stay what they are; and the
    codes never rise, so the order of the entries is kept.

    Args:
        kept: shape (k,), each in [0, 1], largest first.
        table: `levels`, ascending from 0 to 1.

    Returns:
        shape (k,), int64.
    """
    below = table.searchsorted(kept, side="right") - 1
    low = table.take(below)
    gap, rest = table.take(below + 1, mode="clip") - low, kept - low
    up = rest > gap / 2
    excess = float(low.sum()) + float(gap.sum(where=up)) - min(1.0, float(kept.sum()))
    if excess > 0:
        excess = _turned(up, up.copy(), gap, rest, excess)
        excess = _lowered(up, gap, excess)
    _turned(up, ~up & (rest > 0), gap, rest, -excess)
    codes: Codes = below + up
    codes[::-1].sort()  # of entries between the same two levels the largest go up: each code still encloses its entry
    return codes


def _turned(up: Mask, candidates: Mask, gap: Floats, rest: Floats, amount: float) -> float:
    """Turn `candidates` around in `up`, as many as fit into `amount`, nearest to a tie first; what is left of it."""
    fitting = (candidates & (gap <= amount)).nonzero()[0]
    if fitting.size > 1:
        fitting = fitting.take(np.abs(rest.take(fitting) / gap.take(fitting) - 0.5).argsort(kind="stable"))
    for _ in range(_MAX_PASSES):
        if fitting.size == 0:
            break
        moved = gap.take(fitting).cumsum()
        count = int(moved.searchsorted(amount, side="right"))
        up[fitting[:count]] ^= True
        amount -= float(moved[count - 1])
        fitting = fitting[count:]
        fitting = fitting.take((gap.take(fitting) <= amount).nonzero()[0])
    return amount


def _lowered(up: Mask, gap: Floats, excess: float) -> float:
    """Round down as many of the narrowest gaps as it takes to remove `excess`; what is left of it, at most 0."""
    raised = up.nonzero()[0]
    if excess <= 0 or raised.size == 0:
        return min(0.0, excess)
    order = raised.take(gap.take(raised).argsort(kind="stable"))
    moved = gap.take(order).cumsum()
    count = min(order.size, 1 + int(moved.searchsorted(excess)))
    up[order[:count]] = False
    return min(0.0, excess - float(moved[count - 1]))
