"""How much of a distribution is worth sending: k entries, the rest levelled (design 2.5).

`x̂` keeps the k largest entries of `x` and spreads what is left evenly over the others. Its distance from `x`,

    D(k) = Σ_i |x_i − x̂_i|,    over Σ_i max(0, y_i − x_i)    bounds the error of the output law:  U(k) ≤ ϑ.

**D never rises with k.** Let μ be the mean of the rest R. Since the rest sums to |R|·μ, D = 2·Σ_R max(0, μ − x_i).
Moving the largest a ≥ μ from the rest to the kept removes a term that is 0 and lowers μ, hence no other term grows.
So the smallest k that meets a budget is found by search, and everything here relies on it.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ConfigurationError
from cuhlm.messages import Array

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_ONE_BITS = int(np.float32(1).view(np.int32))


def payload_bits(k: int, vocab_size: int, b_prob: int = 8) -> int:
    """Size of a payload as the paper counts it: k · (b_prob + ⌈log2 |V|⌉) bits."""
    return k * (b_prob + (vocab_size - 1).bit_length())


def top_k(probs: Array, k: int) -> tuple[Indices, Array]:
    """The k largest entries, largest first; of equal ones the lower id comes first.

    Args:
        probs: shape (|V|,), float32.
        k: 1 ≤ k ≤ |V|.

    Returns:
        ids and probabilities, each of shape (k,).

    Raises:
        ConfigurationError: k is out of range.
    """
    if not 1 <= k <= probs.size:
        raise ConfigurationError(f"k is {k}; expected 1 to {probs.size}, the size of the vocabulary")
    return _leading(probs, (probs >= _floor_of_top(probs, k)).nonzero()[0], k)


def _leading(probs: Array, candidates: Indices, k: int) -> tuple[Indices, Array]:
    """`top_k`, given ascending ids that hold it."""
    # Bits of floats ≥ 0 ascend as the floats do. One integer per candidate, (falling probability, id), sorts several
    # times faster than a stable argsort.
    keys = np.subtract(_ONE_BITS, probs.take(candidates).view(np.int32), dtype=np.int64)
    keys <<= 32
    keys += candidates
    keys.sort()
    order: Indices = (keys[:k] & 0xFFFFFFFF).astype(np.intp, copy=False)
    return order, probs.take(order)


def _floor_of_top(probs: Array, k: int) -> float:
    """A value that at least k entries reach, and few more than needed."""
    height = max(1, probs.size // (2 * k))
    groups = probs.size // height
    # The k-th largest of the groups' maxima is reached in k groups: a bound for the price of one scan.
    maxima = probs[: height * groups].reshape(height, groups).max(axis=0)
    return float(np.partition(maxima, groups - k)[groups - k])


@dataclass(frozen=True, slots=True)
class TruncatedLaw:
    """x̂ by its kept entries: what is left of 1 is spread evenly over the other ids.

    Attributes:
        indices: ids of the kept entries, shape (k,), distinct.
        kept: their probabilities, shape (k,), float32.
        vocab_size: |V|.
    """

    indices: Indices
    kept: Array
    vocab_size: int

    def probability(self, token: int) -> float:
        """x̂ of one token, to the bit as in `rebuilt`; no scan of |V|."""
        sent = np.flatnonzero(self.indices == token)
        return float(self.kept[sent[0]] if sent.size else np.float32(self._level()))

    def rebuilt(self) -> Array:
        """x̂, shape (|V|,), float32, a new array."""
        law = np.full(self.vocab_size, self._level(), dtype=np.float32)
        law[self.indices] = self.kept
        return law

    def alone(self) -> Array:
        """The kept entries, and 0 elsewhere, shape (|V|,), float32, a new array."""
        law = np.zeros(self.vocab_size, np.float32)
        law[self.indices] = self.kept
        return law

    def _level(self) -> float:
        """What each id that was not kept gets."""
        rest = self.vocab_size - self.indices.size
        return max(0.0, 1.0 - float(self.kept.sum(dtype=np.float64))) / rest if rest else 0.0


def distortion_by_k(probs: Array) -> Floats:
    """D(k) = Σ_i |x_i − x̂_i| for every k, by one sort and prefix sums.

    Args:
        probs: shape (|V|,), float32.

    Returns:
        D, shape (|V|,), float64; D[k − 1] belongs to k. Never rising; the last is 0.
    """
    return _distortions(np.sort(probs)[::-1].astype(np.float64), probs.size, float(probs.sum(dtype=np.float64)))


def _distortions(ordered: Floats, vocab_size: int, total: float) -> Floats:
    """D(1) … D(n) from the n largest entries, given that no other entry lies above the mean of its rest.

    Where that is not given the value is too small.
    """
    sums = np.concatenate(([0.0], np.cumsum(ordered)))
    k = np.arange(1, ordered.size + 1)
    mean = np.maximum(0.0, total - sums[1:]) / np.maximum(1, vocab_size - k)
    above = np.maximum(k, np.searchsorted(-ordered, -mean))  # entries larger than the mean, kept ones included
    distortion = 2.0 * (sums[above] - sums[1:] - (above - k) * mean)
    return np.minimum.accumulate(np.maximum(0.0, distortion))  # rounding must not break the order


@overload
def smallest_k(distortion: Floats, budget: float) -> int: ...
@overload
def smallest_k(distortion: Floats, budget: Floats) -> Indices: ...
def smallest_k(distortion: Floats, budget: float | Floats) -> int | Indices:
    """The smallest k with D(k) ≤ budget, for one budget or for an array of them.

    Args:
        distortion: D as `distortion_by_k` returns it.
        budget: ϑ times the denominator of U, at least 0; any shape.

    Returns:
        k, of the shape of `budget`; an int for a single one.
    """
    # D falls, so −D is ascending; the first index with −D ≥ −budget.
    k = 1 + np.searchsorted(-distortion, np.negative(budget), side="left")
    return int(k) if np.ndim(k) == 0 else np.asarray(k, dtype=np.intp)


def _softplus(s: float, eta: float) -> float:
    """ℓ(s) = (1/η)·ln(1 + e^{ηs}), without overflow."""
    return (max(0.0, eta * s) + math.log1p(math.exp(-abs(eta * s)))) / eta


def denominator_online(x_d: float, beta_hat: float, eta: float = 1.0) -> float:
    """Stand-in for Σ_i max(0, y_i − x_i) on a device that does not know y.

    (1 − x_d)·ℓ(−1) + x_d·ℓ(−β̂) with ℓ(s) = (1/η)·ln(1 + e^{ηs}) (CU-HLM; design 2.5).
    """
    return (1.0 - x_d) * _softplus(-1.0, eta) + x_d * _softplus(-beta_hat, eta)


def denominators_online(x_d: Floats, beta_hat: Floats, eta: float = 1.0) -> Floats:
    """`denominator_online` for many tokens at once; arrays of one shape."""
    return (1.0 - x_d) * _softplus(-1.0, eta) + x_d * np.logaddexp(0.0, -eta * beta_hat) / eta


def online_top(
    probs: Array, x_d: float, beta_hat: float, vartheta: float = 0.1, eta: float = 1.0
) -> tuple[Indices, Array]:
    """The k*(t) largest entries, k*(t) the smallest k with U(k) ≤ ϑ, with the denominator of `denominator_online`.

    Only entries above budget / (2·|V|) are looked at. While D(k) is over the budget, the rest's mass r is over half
    of it, since D ≤ 2r; so its mean r / (|V| − k) is over that bound, and D(k), which needs the rest's entries above
    their mean, is exact. For larger k what is computed is at most the true D, which is within the budget there.

    Args:
        probs: x, shape (|V|,), float32.
        x_d: probability of the draft token.
        beta_hat: predicted rejection probability, in [0, 1].
        vartheta: ϑ, above 0.
        eta: η.

    Returns:
        ids and probabilities as from `top_k`, each of shape (k*,), k* from 1 to |V|.
    """
    budget = vartheta * denominator_online(x_d, beta_hat, eta)
    # Positions, because a mask is several times slower where the hits are many and scattered.
    candidates = (probs > budget / (2 * probs.size)).nonzero()[0]
    if candidates.size == 0:
        return top_k(probs, 1)
    values = probs.take(candidates)
    rising = np.sort(values)
    k = _online_k(rising, probs.size, budget)
    return _leading(probs, candidates.take((values >= rising[-k]).nonzero()[0]), k)


def _online_k(rising: Array, vocab_size: int, budget: float) -> int:
    """The smallest k with D(k) ≤ budget, from the largest entries in rising order."""
    # Of the k largest, at k − 1. Single elements of a memoryview come several times faster than an array's.
    sums = rising[::-1].cumsum(dtype=np.float64).data

    def meets_budget(k: int) -> bool:
        mean = np.float32(max(0.0, 1.0 - sums[k - 1]) / (vocab_size - k))
        above = max(k, rising.size - int(rising.searchsorted(mean, side="right")))
        return 2.0 * (sums[above - 1] - sums[k - 1] - float((above - k) * mean)) <= budget

    return bisect_left(range(1, rising.size), True, key=meets_budget) + 1


def residual_mass(draft_probs: Array, target_probs: Array) -> float:
    """Σ_i max(0, y_i − x_i), the denominator of U; the total variation of x and y when both sum to 1."""
    excess = np.maximum(target_probs, draft_probs)
    excess -= draft_probs
    return float(excess.sum(dtype=np.float64))


class MeanBound:
    """Mean of U(k) over calibration tokens, for every k, fed one token at a time.

    A token with x = y has denominator 0 and U infinite or undefined for most k, whatever is sent; it is left out of
    the mean and counted in `left_out`. (Its output law is y for a full payload; one such token would otherwise forbid
    every k below |V|.)
    """

    def __init__(self, vocab_size: int) -> None:
        self._sum = np.zeros(vocab_size)
        self.used = 0
        self.left_out = 0

    def add(self, draft_probs: Array, target_probs: Array) -> None:
        """Take one calibration token's x and y, each of shape (|V|,), into the mean."""
        denominator = residual_mass(draft_probs, target_probs)
        if denominator <= 0.0:
            self.left_out += 1
            return
        self._sum += distortion_by_k(draft_probs) / denominator
        self.used += 1

    @property
    def values(self) -> Floats:
        """Mean U(k), shape (|V|,), float64; index k − 1.

        Raises:
            ConfigurationError: no token was usable.
        """
        if self.used == 0:
            raise ConfigurationError("no calibration token has x ≠ y; expected at least one to average U(k) over")
        return self._sum / self.used


def offline_k(mean_bound: Floats, vartheta: float = 0.1) -> int:
    """k*: the smallest k whose mean U(k) over the calibration tokens is within ϑ.

    Args:
        mean_bound: `MeanBound.values`.
        vartheta: ϑ, above 0.

    Returns:
        k*, from 1 to |V|.
    """
    return min(mean_bound.size, smallest_k(mean_bound, vartheta))
