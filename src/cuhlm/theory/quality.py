"""How far the tokens that came out are from the target's own: exact measures first (design 2.9)."""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from cuhlm.theory.verification import verified_law

Floats = npt.NDArray[np.float64]
Law = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


def total_variation(p: Law, q: Law) -> float:
    """TV(p, q) = ½ Σ |p_i − q_i|, in [0, 1]; both of shape (|V|,)."""
    return float(0.5 * np.abs(np.subtract(p, q, dtype=np.float64)).sum())


def kl_divergence(p: Law, q: Law) -> float:
    """KL(p ‖ q) = Σ p_i·ln(p_i / q_i) in nats; ∞ where q lacks a token that p has; both of shape (|V|,)."""
    present = p > 0
    p, q = p[present].astype(np.float64), q[present].astype(np.float64)
    return float(np.sum(p * np.log(p / q))) if (q > 0).all() else float("inf")


def negative_log_likelihood(target_probs: Law, token: int) -> float:
    """−ln y_token in nats; ∞ where the target would never say it."""
    probability = float(target_probs[token])
    return -float(np.log(probability)) if probability > 0 else float("inf")


def gated_law(
    draft_probs: Law, target_probs: Law, skips: Mask, groups: Sequence[tuple[Mask, Law]] | None = None
) -> Floats:
    """Exact law of the token that a gated method puts out at one position.

    Σ_d x_d·(δ_d where d is skipped, else the law of the verified outcome with the distribution reported for that d).

    Args:
        draft_probs: x, shape (|V|,).
        target_probs: y, shape (|V|,).
        skips: tokens that the gate would keep if they were drafted, shape (|V|,), bool.
        groups: the other tokens, split by what is reported for them (one group for each k): pairs of a mask over
            tokens and the reported law. Masks are disjoint, and together with `skips` cover all tokens that x has.
            None where what is transmitted comes out as y: a draft drawn again from x̂, or `route`.

    Returns:
        shape (|V|,), float64.
    """
    x = np.asarray(draft_probs, dtype=np.float64)
    law: Floats = np.where(skips, x, 0.0)
    if groups is None:
        law += (x.sum() - law.sum()) * target_probs
        return law
    for mask, reported in groups:
        law += verified_law(np.where(mask, x, 0.0), reported, target_probs)
    return law


def agreement(tokens_a: Sequence[int], tokens_b: Sequence[int]) -> float:
    """Share of positions where both sequences hold the same token, of the longer one's positions; 1 for two empty ones.

    A position that only one of them has counts as a difference.
    """
    longer = max(len(tokens_a), len(tokens_b))
    same = sum(a == b for a, b in zip_longest(tokens_a, tokens_b))
    return same / longer if longer else 1.0
