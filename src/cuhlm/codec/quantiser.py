"""Probabilities as codes of b_prob bits: the levels, and a rounding that keeps the mass.

**The levels** are cubes: code c stands for (c / n)³, where n is the highest code. 0 and 1 are exact. The gaps between
levels narrow towards 0, where most entries lie, and are still small near 1, where most mass lies. Chosen by
measurement on a real draft's distributions (`benchmarks/quantisers.py`, 240 positions, T = 1 and 0.7). Mean Σ|·| by
which 8 bits move x̂, over both temperatures:

    levels                    k = 8             k = 30            k = 300           k = |V|
    cubes                     0.005 to 0.008    0.007 to 0.009    0.012 to 0.013    0.014 to 0.028
    fourth powers             0.006 to 0.009    0.008 to 0.010    0.012             0.012 to 0.020
    logarithmic from 2^−16    0.010 to 0.019    0.012 to 0.020    0.014 to 0.021    0.025 to 0.044
    linear                    0.011             0.034             0.13 to 0.24      0.16 to 0.46

With cubes the acceptance 1 − TV(x̂, y) changed by less than 0.1 % in each of these cases.

Levels are rounded to float32 numbers that are multiples of 2^−52, so that any sum of them below 2 is exact in float64,
in whatever order a processor adds; and a cube takes no logarithm or power that libraries round differently. Hence
device and verifier rebuild the same x̂ to the bit.

**Rounding keeps the mass.** Each probability goes to its nearest level; then some go to the other neighbour, those
with the widest gaps first, until the decoded sum meets the true one from below. What the decoder spreads over the
entries that were not sent is then the mass that was not sent, not rounding error. Where one entry holds nearly
everything and few others can make up for its rounding, up to its gap (at most 1.2 % with 8 bits) stays missing.
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
    below = np.searchsorted(table, kept, side="right") - 1
    above = np.minimum(below + 1, table.size - 1)
    low = table[below]
    gap = table[above] - low
    up = kept - low > gap / 2
    missing = min(1.0, float(kept.sum())) - float(low.sum() + gap[up].sum())
    _balance(up, gap, missing, may_rise=kept > low)
    codes = np.where(up, above, below)
    codes[::-1].sort()  # of entries between the same two levels the largest go up: each code still encloses its entry
    return codes


def _balance(up: Mask, gap: Floats, missing: float, may_rise: Mask) -> None:
    """Turn roundings around until what is missing from the sum is next to nothing, and not negative; changes `up`."""
    for _ in range(_MAX_PASSES):
        candidates = np.flatnonzero(up if missing < 0 else ~up & may_rise & (gap <= missing))
        if candidates.size == 0:
            return
        order = candidates[np.argsort(-gap[candidates], kind="stable")]
        moved = np.cumsum(gap[order])
        if missing < 0:  # as many as it takes
            count = min(order.size, 1 + int(np.searchsorted(moved, -missing, side="left")))
            missing += float(moved[count - 1])
        else:  # as many as fit
            count = int(np.searchsorted(moved, missing, side="right"))
            missing -= float(moved[count - 1])
        up[order[:count]] ^= True
