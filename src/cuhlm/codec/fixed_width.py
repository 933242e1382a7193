"""The paper's fixed-width code: k indices of ⌈log2 |V|⌉ bits, then k probabilities of b_prob bits (design 2.5).

Entries stand in order of falling probability: it is the order in which `top_k` hands them over, the first k' of them
are the payload of k', and it lets the quantiser keep the order. Indices come first, then the codes of `quantiser`; bits
are packed from the most significant on, and the last byte is filled with zeros.

Where the whole vocabulary is sent, nothing is left out over which the decoder could spread what is missing from 1, so
the decoded values are divided by their sum: that is part of the code.

What arrives is checked when it is decoded. What is encoded is the device's own, straight from `top_k`, and is not.
"""

import numpy as np
import numpy.typing as npt

from cuhlm.codec.quantiser import LEVELS, MAX_BITS, MIN_BITS, Codes, quantise
from cuhlm.errors import ConfigurationError, PayloadError
from cuhlm.messages import Array, Payload
from cuhlm.theory.truncation import Indices, TruncatedLaw, payload_bits

Bits = npt.NDArray[np.uint8]

FAMILY = "fixed-width-"
"""What the names of these codes begin with; b_prob follows."""

_WHOLE_BYTES = {8: ">u1", 16: ">u2"}  # widths whose values numpy lays out as the code does

SUM_TOLERANCE = 1e-5
"""Probabilities may sum to this much over 1: the sums of float32 distributions do."""


class FixedWidthCodec:
    """The paper's code.

    Args:
        b_prob: bits per probability, 4 to 16; the paper uses 8.

    Raises:
        ConfigurationError: b_prob is out of range.
    """

    def __init__(self, b_prob: int = 8) -> None:
        if b_prob not in LEVELS:
            raise ConfigurationError(f"b_prob is {b_prob}; expected {MIN_BITS} to {MAX_BITS} (the paper uses 8)")
        self._b_prob = b_prob

    @property
    def name(self) -> str:
        """See `Codec.name`: "fixed-width-8" for 8 bits."""
        return f"{FAMILY}{self._b_prob}"

    def bits(self, k: int, vocab_size: int) -> int:
        """See `Codec.bits`: as the paper counts, k · (b_prob + ⌈log2 |V|⌉)."""
        return payload_bits(k, vocab_size, self._b_prob)

    def encode(self, indices: Indices, kept: Array, vocab_size: int) -> Payload:
        """See `Codec.encode`."""
        codes = quantise(kept.astype(np.float64), LEVELS[self._b_prob])
        data = _packed((indices, index_width(vocab_size)), (codes, self._b_prob))
        return Payload(data, indices.size)

    def decode(self, payload: Payload, vocab_size: int) -> TruncatedLaw:
        """See `Codec.decode`."""
        indices, codes = self._unpacked(payload, vocab_size)
        _check_indices(indices, vocab_size)
        values = LEVELS[self._b_prob][codes]
        total = float(values.sum())
        if total > 1 + SUM_TOLERANCE:
            raise PayloadError(f"the probabilities sum to {total:.6f}; expected at most 1")
        if payload.k == vocab_size:
            if total == 0:
                raise PayloadError("all probabilities are 0; expected a sum above 0 where the whole vocabulary is sent")
            values /= total
        return TruncatedLaw(indices, values.astype(np.float32), vocab_size)

    def _unpacked(self, payload: Payload, vocab_size: int) -> tuple[Indices, Codes]:
        width, b_prob, k = index_width(vocab_size), self._b_prob, payload.k
        if not 1 <= k <= vocab_size:
            raise PayloadError(f"a payload has k = {k}; expected 1 to {vocab_size}")
        used = payload_bits(k, vocab_size, b_prob)
        if len(payload.data) != (used + 7) // 8:
            raise PayloadError(f"a payload has {len(payload.data)} bytes; expected {(used + 7) // 8} for k = {k}")
        split = k * width
        if width in _WHOLE_BYTES and b_prob in _WHOLE_BYTES:
            indices = np.frombuffer(payload.data, _WHOLE_BYTES[width], k)
            codes = np.frombuffer(payload.data, _WHOLE_BYTES[b_prob], k, offset=split // 8)
            return indices.astype(np.intp), codes.astype(np.intp)
        bits = np.unpackbits(np.frombuffer(payload.data, np.uint8))
        if bits[used:].any():
            raise PayloadError("the bits after a payload's last probability are not all 0; expected zeros")
        return _values(bits[:split], width), _values(bits[split:used], b_prob)


def index_width(vocab_size: int) -> int:
    """⌈log2 |V|⌉ bits."""
    return (vocab_size - 1).bit_length()


def _check_indices(indices: Indices, vocab_size: int) -> None:
    if indices.max() >= vocab_size:
        raise PayloadError(f"index {indices.max()} is outside the vocabulary; expected 0 to {vocab_size - 1}")
    # Each writes its number at its id; of two that share an id one does not find its own again. O(k): an array that is
    # not filled costs nothing.
    numbers, owners = np.arange(indices.size, dtype=np.int32), np.empty(vocab_size, np.int32)
    owners[indices] = numbers
    if (owners.take(indices) != numbers).any():
        raise PayloadError(f"index {np.bincount(indices).argmax()} is sent more than once; expected distinct ones")


def _packed(*fields: tuple[npt.NDArray[np.integer], int]) -> bytes:
    """The fields' values one after the other, each of its field's width, most significant bit first."""
    if all(width in _WHOLE_BYTES for _, width in fields):
        return b"".join(values.astype(_WHOLE_BYTES[width]).tobytes() for values, width in fields)
    return np.packbits(np.concatenate([_bits(values, width) for values, width in fields])).tobytes()


def _bits(values: npt.NDArray[np.integer], width: int) -> Bits:
    """The `width` lowest bits of each value below 2^32, most significant first, one bit an element."""
    bytes_of_each = values.astype(">u4").view(np.uint8).reshape(-1, 4)
    return np.unpackbits(bytes_of_each, axis=1)[:, 32 - width :].ravel()


def _values(bits: Bits, width: int) -> Codes:
    if width == 0:  # a vocabulary of one token
        return np.zeros(1, np.int64)
    return bits.reshape(-1, width) @ (1 << np.arange(width - 1, -1, -1, dtype=np.int64))
