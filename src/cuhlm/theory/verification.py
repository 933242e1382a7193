"""Speculative verification: draw, accept, replace, and the law that comes out (design 2.2).

A draft d, drawn from a law q, stands with probability min(1, y_d / q_d); otherwise a token is drawn from the residual
r ∝ max(0, y − q). What comes out is distributed exactly as y, whatever q is, provided q is the law d was drawn from.
So `draw` returns both, and nothing else makes a `Draft`. To judge a draft takes one entry of q and one of y; only
where it falls is q wanted whole.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from cuhlm.messages import Array, Draft

Floats = npt.NDArray[np.float64]
Law = npt.NDArray[np.floating]

_BLOCK = 256  # entries per partial sum: a cumulative sum of |V| entries costs ten times as much


def draw(law: Array, uniform: float) -> Draft:
    """Draw a token by the inverse distribution function; the only maker of `Draft`.

    Args:
        law: probabilities, shape (|V|,), float32, not all 0; need not sum to exactly 1.
        uniform: in [0, 1).

    Returns:
        a token whose probability is not 0, and `law` itself.
    """
    return Draft(sample(law, uniform), law)


def sample(weights: Law, uniform: float) -> int:
    """The id i with Σ_{j<i} w_j ≤ uniform · Σ w < Σ_{j≤i} w_j; never one whose weight is 0.

    Args:
        weights: shape (|V|,), float32, at least 0 and not all 0.
        uniform: in [0, 1].
    """
    sums: Floats = np.cumsum(np.add.reduceat(weights, _block_starts(weights.size)), dtype=np.float64)
    point = uniform * sums[-1]
    block = _first_above(sums, point)
    before = sums[block - 1] if block else 0.0
    start = block * _BLOCK
    inside = np.cumsum(weights[start : start + _BLOCK], dtype=np.float64)
    return start + _first_above(inside, point - before)


@lru_cache(maxsize=8)
def _block_starts(size: int) -> npt.NDArray[np.intp]:
    return np.arange(0, size, _BLOCK)


def _first_above(sums: Floats, point: float) -> int:
    """First index whose cumulative sum is above `point`: there the sum rises, so its weight is not 0.

    Where rounding puts `point` at the end or beyond, the last index at which the sum rises.
    """
    index = int(sums.searchsorted(point, side="right"))
    return index if index < sums.size else int(sums.searchsorted(sums[-1]))


def accepts(believed: float, wanted: float, uniform: float) -> bool:
    """Whether a drafted token d stands: with probability min(1, y_d / q_d).

    Args:
        believed: q_d, in the law q that d was drawn from.
        wanted: y_d.
        uniform: in (0, 1).
    """
    return uniform * believed < wanted


def replacement(law: Array, target_probs: Array, uniform: float) -> int:
    """The token that replaces a rejected draft, drawn from the residual.

    Args:
        law: q, the law that the draft was drawn from, shape (|V|,), float32.
        target_probs: y, shape (|V|,), float32.
        uniform: in [0, 1].
    """
    return sample(residual(target_probs, law), uniform)


def rejection(believed: float, wanted: float) -> float:
    """β = max(0, 1 − y_d / q_d); for q_d = 0 it is 0 where y_d > 0, else 1."""
    if wanted >= believed:
        return 0.0 if wanted > 0 else 1.0
    return 1.0 - wanted / believed


def residual(target_probs: Law, law: Law) -> Law:
    """The law of the replacement, r ∝ max(0, y − q), not normalised: shape (|V|,), dtype of the arguments.

    Where q covers y everywhere (q = y up to rounding) nothing is left, and a rejection has probability 0 up to
    rounding; y itself is returned then.
    """
    rest = np.maximum(target_probs, law)
    rest -= law
    return rest if rest.max() > 0 else target_probs


def resampled_law(draft_probs: Law, target_probs: Law, told_law: Law) -> Floats:
    """Exact law of the token where a rejected draft is replaced by one drawn from what was told of y (`split`).

    out_i = min(x_i, y_i) + ρ·r̂_i  with  ρ = Σ max(0, y − x),  r̂ ∝ max(0, ŷ − x). Equals y where ŷ = y.

    Args:
        draft_probs: x, shape (|V|,).
        target_probs: y, shape (|V|,).
        told_law: ŷ, shape (|V|,); need not sum to 1.

    Returns:
        shape (|V|,), float64.
    """
    x, y, told = (np.asarray(law, dtype=np.float64) for law in (draft_probs, target_probs, told_law))
    replaced = residual(told, x)
    return np.asarray(np.minimum(x, y) + np.maximum(0.0, y - x).sum() * replaced / replaced.sum())


def resampling_distance(draft_probs: Law, target_probs: Law, told_law: Law) -> float:
    """How far, at most, `resampled_law` lies from y in total variation: max(Σ (a − b)⁺, Σ (b − a)⁺).

    Here a = max(0, y − x) and b = max(0, ŷ − x), with sums ρ and B, and the distance is ρ·TV(a/ρ, b/B). If ρ ≥ B,
    TV = Σ (a/ρ − b/B)⁺ ≤ Σ (a − b)⁺ / ρ; if B ≥ ρ, it is Σ (b/B − a/ρ)⁺ ≤ Σ (b − a)⁺ / B. Whatever x is, this is at
    most max(Σ (y − ŷ)⁺, Σ (ŷ − y)⁺), as max(0, · − x) moves by no more than its argument. Where ŷ is y on the K
    largest and 0 elsewhere, r̂ is r given that the token is among them: the distance *is* the residual's mass that was
    not told, at most the mass of y there.
    """
    x, y, told = (np.asarray(law, dtype=np.float64) for law in (draft_probs, target_probs, told_law))
    wanted, used = np.maximum(0.0, y - x), np.maximum(0.0, told - x)
    return max(float(np.maximum(0.0, wanted - used).sum()), float(np.maximum(0.0, used - wanted).sum()))


def verified_law(draft_probs: Law, reported_law: Law, target_probs: Law) -> Floats:
    """Exact law of the token that comes out when d ~ `draft_probs` is judged as if d ~ `reported_law`.

    out_i = x_i·a_i + (Σ_d x_d·(1 − a_d))·r_i  with  a = min(1, y / q),  r ∝ max(0, y − q).
    Equals y where `draft_probs` and `reported_law` are the same; their difference is what truncation costs.

    Args:
        draft_probs: x, shape (|V|,); may be a part of a law, with a sum below 1: the result has the same sum.
        reported_law: q, shape (|V|,).
        target_probs: y, shape (|V|,).

    Returns:
        shape (|V|,), float64.
    """
    x, q, y = (np.asarray(law, dtype=np.float64) for law in (draft_probs, reported_law, target_probs))
    accept = np.divide(y, q, out=(y > 0).astype(np.float64), where=q > 0)
    accepted: Floats = x * np.minimum(1.0, accept)
    replacement = residual(y, q)
    accepted += (x.sum() - accepted.sum()) * replacement / replacement.sum()
    return accepted
