"""From logits to the next-token distribution, the same on both sides (design 2.1)."""

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ModelError
from cuhlm.messages import Array, Sampling
from cuhlm.theory.truncation import top_k

_COLDEST = float(np.finfo(np.float32).tiny)  # a smaller T is 0 in float32
_FIRST_HEAD = 1024  # entries that top-p sorts before it sorts more


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
    if sampling.temperature == 0:
        return _one_hot(logits)
    probs = softmax(logits, sampling.temperature)
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
    probs: Array = np.subtract(logits, _checked(logits.max(axis=-1, keepdims=True)), dtype=np.float32)
    if temperature != 1:
        with np.errstate(over="ignore"):  # near T = 0 a far logit becomes −inf, as it should
            probs /= np.float32(max(temperature, _COLDEST))
    np.exp(probs, out=probs)
    # numpy's float32 sum is pairwise: its error is below 1e-6 for any vocabulary.
    probs *= 1 / probs.sum(axis=-1, keepdims=True)
    return probs


def _one_hot(logits: Array) -> Array:
    probs = np.zeros(logits.shape, dtype=np.float32)
    first = logits.argmax(axis=-1, keepdims=True)
    _checked(np.take_along_axis(logits, first, axis=-1))
    np.put_along_axis(probs, first, 1, axis=-1)
    return probs


def _checked(largest: Array) -> Array:
    """The largest logits, which are numbers unless a row makes no distribution: both maximum and argmax find a NaN."""
    if not np.isfinite(largest).all():
        raise ModelError(
            "the model's logits make no distribution: one is not a number or infinite, or all are −∞; "
            "expected finite ones: is the model file damaged?"
        )
    return largest


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
