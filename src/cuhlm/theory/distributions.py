"""From logits to the next-token distribution, the same on both sides (design 2.1).

All that is made of a row of logits, x and every measure of u, begins with its largest. Where several are wanted, as on
the device, `LogitRow` looks for it once, and `law_of` and `cuhlm.theory.uncertainty` go on from there.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ModelError
from cuhlm.messages import Array, Sampling
from cuhlm.theory.truncation import top_k

_COLDEST = float(np.finfo(np.float32).tiny)  # a smaller T is 0 in float32
_FIRST_HEAD = 1024  # entries that top-p sorts before it sorts more


@dataclass(frozen=True, slots=True)
class LogitRow:
    """One row of logits and its largest one; made by `of`.

    Attributes:
        logits: raw, shape (|V|,), float32; −∞ excludes a token.
        largest: max z.
    """

    logits: Array
    largest: np.float32

    @classmethod
    def of(cls, logits: Array) -> Self:
        """The row of these logits, shape (|V|,); one scan of |V|.

        Raises:
            ModelError: the logits make no distribution: one is not a number or +∞, or all are −∞.
        """
        return cls(logits, _largest(logits)[0])

    def gap(self, token: int) -> float:
        """max z − z_token in float64."""
        return float(self.largest) - float(self.logits[token])


def law_of(row: LogitRow, sampling: Sampling) -> Array:
    """`distribution` of a row's logits."""
    return _law(row.logits, row.largest, sampling)


def distribution(logits: Array, sampling: Sampling) -> Array:
    """Next-token probabilities: temperature first, then top-k, top-p and min-p, each on what the one before left.

    Args:
        logits: raw logits, shape (…, |V|), float32; −inf excludes a token, but not all of them.
        sampling: T = 0 gives one-hot at the first argmax.

    Returns:
        probabilities, shape (…, |V|), float32, a new array.

    Raises:
        ModelError: the logits make no distribution: one is not a number or +∞, or all are −∞.
    """
    return _law(logits, _largest(logits), sampling)


def _law(logits: Array, largest: Array | np.float32, sampling: Sampling) -> Array:
    if sampling.temperature == 0:
        return _one_hot(logits)
    probs = _softmax(logits, largest, sampling.temperature)
    if sampling.top_k or sampling.top_p < 1 or sampling.min_p > 0:
        for row in probs.reshape(-1, probs.shape[-1]):
            _filter(row, sampling)
    return probs


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """softmax(z / T) along the last axis, T > 0, float32, a new array.

    Five scans of |V|: maximum, difference, exponential, sum, scaling; one more where T ≠ 1.

    Raises:
        ModelError: the logits make no distribution: one is not a number or +∞, or all are −∞.
    """
    return _softmax(logits, _largest(logits), temperature)


def _largest(logits: Array) -> Array:
    """max z of each row, shape (…, 1)."""
    largest: Array = logits.max(axis=-1, keepdims=True)
    # Not numpy's isfinite and all: for one row they cost 12 µs where a forward pass has emptied the caches.
    if not all(map(math.isfinite, largest.flat)):  # the maximum of numbers and a NaN is NaN
        raise ModelError(
            "the model's logits make no distribution: one is not a number or infinite, or all are −∞; "
            "expected finite ones: is the model file damaged?"
        )
    return largest


def _softmax(logits: Array, largest: Array | np.float32, temperature: float) -> Array:
    probs: Array = np.subtract(logits, largest, dtype=np.float32)
    if temperature != 1:
        with np.errstate(over="ignore"):  # near T = 0 a far logit becomes −inf, as it should
            probs /= np.float32(max(temperature, _COLDEST))
    np.exp(probs, out=probs)
    # numpy's float32 sum is pairwise: its error is below 1e-6 for any vocabulary.
    probs *= 1 / probs.sum(axis=-1, keepdims=True)
    return probs


def _one_hot(logits: Array) -> Array:
    probs = np.zeros(logits.shape, dtype=np.float32)
    np.put_along_axis(probs, logits.argmax(axis=-1, keepdims=True), 1, axis=-1)
    return probs


def _filter(probs: Array, sampling: Sampling) -> None:
    """Apply top-k, top-p and min-p to one distribution, in place, and renormalise it."""
    if sampling.top_k or sampling.top_p < 1:
        indices, kept = _head(probs, sampling)
        indices = indices[kept >= sampling.min_p * kept[0]]
    else:
        indices = np.flatnonzero(probs >= sampling.min_p * probs.max())
    kept = probs[indices]
    probs[:] = 0
    probs[indices] = kept / kept.sum()


def _head(probs: Array, sampling: Sampling) -> tuple[npt.NDArray[np.intp], Array]:
    """The most probable tokens that top-k and then top-p leave, most probable first."""
    if sampling.top_k:
        indices, kept = top_k(probs, min(sampling.top_k, probs.size))
        size = _nucleus(kept, sampling.top_p * float(kept.sum(dtype=np.float64)))
        return indices[:size], kept[:size]
    count = min(_FIRST_HEAD, probs.size)
    mass = sampling.top_p * float(probs.sum(dtype=np.float64))
    while True:
        indices, kept = top_k(probs, count)
        size = _nucleus(kept, mass)
        if size <= count or count == probs.size:
            return indices[:size], kept[:size]
        count = min(8 * count, probs.size)


def _nucleus(kept: Array, mass: float) -> int:
    """How many of `kept` it takes to reach `mass`; one more than there are where they do not reach it."""
    return 1 + int(np.searchsorted(np.cumsum(kept, dtype=np.float64), mass))
