"""Probabilities as codes of b_prob bits: the levels, and a rounding that keeps the mass.

**The levels** are cubes: code c stands for (c / n)³, where n is the highest code. 0 and 1 are exact. The gaps between
levels narrow towards 0, where most entries lie, and are still small near 1, where most mass lies. Chosen by
measurement (`benchmarks/quantisers.py`): of a real draft's distributions, 8-bit cubes lose a third to a half of what
logarithmic levels lose at the k that truncation chooses, and far less than linear ones at every k. Fourth powers are
their equals, better where the whole vocabulary is sent and worse for small k.

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
