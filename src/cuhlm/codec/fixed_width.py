"""The paper's fixed-width code: k indices of ⌈log2 |V|⌉ bits, then k probabilities of b_prob bits (design 2.5).

Indices come first, in order of falling probability, then the codes of the probabilities in the same order; bits are
packed from the most significant on, and the last byte is filled with zeros.

**The quantiser** is logarithmic: code 0 is 0, the highest code is 1, and the others divide e^−16 … 1 in equal ratios,
so that an 8-bit code is off by at most 3.2 % of the probability, be it large or small. Linear codes lose the tail,
square-root ones lose half of it (`benchmarks/quantisers.py` has the numbers).

**Rounding keeps the mass.** Each probability goes to its nearest level; then some go to the other neighbour, the
largest that fit first, until the decoded sum meets the true one from below. What the decoder spreads over the entries
that were not sent is then the mass that was not sent, not rounding error. At k = |V| there is nothing to spread it
over, and the decoded values are divided by their sum instead: that is part of the code.
"""

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ConfigurationError, PayloadError
from cuhlm.messages import Array, Payload
from cuhlm.theory.truncation import Indices, payload_bits, reconstruct

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

SMALLEST = float(np.exp(-16.0))
"""The lowest level above 0, about 1.1e-7."""
MIN_BITS, MAX_BITS = 4, 16
_SUM_TOLERANCE = 1e-6
_ROUNDING_PASSES = 12


def levels(b_prob: int) -> Floats:
    """The value of each code: shape (2^b_prob,), ascending, first 0, last 1."""
    steps = 2**b_prob - 2
    return np.concatenate(([0.0], SMALLEST ** (np.arange(steps, -1, -1) / steps)))


_LEVELS = {b_prob: levels(b_prob) for b_prob in range(MIN_BITS, MAX_BITS + 1)}


class FixedWidthCodec:
    """The paper's code. Decodes payloads of any supported width.

    Args:
        b_prob: bits per probability, 4 to 16; the paper uses 8.

    Raises:
        ConfigurationError: b_prob is out of range.
    """

    def __init__(self, b_prob: int = 8) -> None:
        if b_prob not in _LEVELS:
            raise ConfigurationError(f"b_prob is {b_prob}; expected {MIN_BITS} to {MAX_BITS} (the paper uses 8)")
        self._b_prob = b_prob

    def encode(self, indices: Indices, kept: Array, vocab_size: int) -> Payload:
        """See `Codec.encode`."""
        k = len(indices)
        if kept.shape != (k,) or not 1 <= k <= vocab_size:
            raise PayloadError(f"{k} indices and {kept.size} probabilities; expected as many, 1 to {vocab_size}")
        codes = quantise(kept.astype(np.float64), _LEVELS[self._b_prob])
        bits = np.concatenate((_bits(indices, index_width(vocab_size)), _bits(codes, self._b_prob)))
        return Payload(np.packbits(bits).tobytes(), k, self._b_prob, payload_bits(k, vocab_size, self._b_prob))

    def decode(self, payload: Payload, vocab_size: int) -> Array:
        """See `Codec.decode`."""
        indices, codes = _unpacked(payload, vocab_size)
        _check_indices(indices, vocab_size)
        values = _LEVELS[payload.b_prob][codes]
        total = float(values.sum())
        if total > 1 + _SUM_TOLERANCE:
            raise PayloadError(f"the probabilities sum to {total:.6f}; expected at most 1")
        if payload.k == vocab_size:
            if total <= 0:
                raise PayloadError("all probabilities are 0; expected a sum above 0 where the whole vocabulary is sent")
            values = values / total
        return reconstruct(indices, values.astype(np.float32), vocab_size)


def index_width(vocab_size: int) -> int:
    """⌈log2 |V|⌉ bits."""
    return (vocab_size - 1).bit_length()


def quantise(kept: Floats, table: Floats) -> Codes:
    """Codes of probabilities, rounded so that the decoded sum meets theirs from below (see the module's text).

    Args:
        kept: shape (k,), each in [0, 1], sum at most 1.
        table: `levels`.
    """
    below = np.searchsorted(table, kept, side="right") - 1
    above = np.minimum(below + 1, table.size - 1)
    gap = table[above] - table[below]
    up = kept - table[below] > gap / 2
    up &= below > 0  # what is below the lowest level stays 0: an exact zero must remain one
    missing = float(kept.sum() - table[below].sum() - gap[up].sum())
    _balance(up, gap, missing, movable=(gap > 0) & (below > 0))
    return np.where(up, above, below)


def _balance(up: npt.NDArray[np.bool_], gap: Floats, missing: float, *, movable: npt.NDArray[np.bool_]) -> None:
    """Turn roundings around until what is missing from the sum is small and not negative; changes `up`."""
    for _ in range(_ROUNDING_PASSES):
        candidates = np.flatnonzero(movable & (up if missing < 0 else ~up))
        if missing >= 0:
            candidates = candidates[gap[candidates] <= missing]
        if candidates.size == 0:
            return
        order = candidates[np.argsort(-gap[candidates], kind="stable")]
        moved = np.cumsum(gap[order])
        take = int(np.searchsorted(moved, abs(missing), side="right"))
        take = max(1, take) if missing >= 0 else min(take + 1, order.size)
        up[order[:take]] ^= True
        missing -= float(np.copysign(moved[take - 1], missing))


def _bits(values: npt.NDArray[np.integer], width: int) -> npt.NDArray[np.uint8]:
    """The `width` lowest bits of each value, most significant first, one bit an element."""
    shifts = np.arange(width - 1, -1, -1)
    return ((values[:, None] >> shifts) & 1).astype(np.uint8).ravel()


def _unpacked(payload: Payload, vocab_size: int) -> tuple[Indices, Codes]:
    width = index_width(vocab_size)
    k, b_prob = payload.k, payload.b_prob
    if b_prob not in _LEVELS:
        raise PayloadError(f"{b_prob} bits per probability; expected {MIN_BITS} to {MAX_BITS}")
    if not 1 <= k <= vocab_size:
        raise PayloadError(f"k is {k}; expected 1 to {vocab_size}")
    expected = (payload_bits(k, vocab_size, b_prob) + 7) // 8
    if len(payload.data) != expected:
        raise PayloadError(f"{len(payload.data)} bytes; expected {expected} for k = {k}")
    bits = np.unpackbits(np.frombuffer(payload.data, np.uint8))
    if bits[k * (width + b_prob) :].any():
        raise PayloadError("the bits after the last probability are not all 0")
    return _values(bits[: k * width], width), _values(bits[k * width : k * (width + b_prob)], b_prob)


def _values(bits: npt.NDArray[np.uint8], width: int) -> Codes:
    if width == 0:  # a vocabulary of one token
        return np.zeros(1, np.int64)
    return bits.reshape(-1, width) @ (1 << np.arange(width - 1, -1, -1, dtype=np.int64))


def _check_indices(indices: Indices, vocab_size: int) -> None:
    largest = int(indices.max())
    if largest >= vocab_size:
        raise PayloadError(f"index {largest} is outside the vocabulary of {vocab_size}")
    counts = np.bincount(indices, minlength=1)
    if counts.max() > 1:
        raise PayloadError(f"index {int(counts.argmax())} is sent {int(counts.max())} times; expected once")
