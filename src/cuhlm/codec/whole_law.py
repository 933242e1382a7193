"""A whole law as bytes, exactly: what comes down where `split` rejects a draft and nothing may be lost (design 2.7).

Its support alone, as filters make it small: ids of 32 bits and probabilities as float32; where ids would cost more than
they save, a probability for every token.
"""

import numpy as np

from cuhlm.codec.base import Codec
from cuhlm.errors import PayloadError
from cuhlm.messages import Array, Payload

PROBABILITY_BITS = 32
"""Of one probability, x_d too."""

_TOLERANCE = 1e-3
"""A law of float32 sums to 1 within this."""


def law_bits(codec: Codec | None, law: Payload, vocab_size: int) -> int:
    """What a bill counts of a y that came down, by this code or, if by none, whole."""
    return 8 * len(law.data) if codec is None else codec.bits(law.k, vocab_size)


def encode_law(law: Array) -> Payload:
    """`law`, shape (|V|,), float32, sum 1; `k` of the payload is the number of entries sent."""
    (support,) = np.nonzero(law)
    if 2 * len(support) >= len(law):
        return Payload(law.astype("<f4").tobytes(), len(law))
    return Payload(support.astype("<u4").tobytes() + law[support].astype("<f4").tobytes(), len(support))


def decode_law(payload: Payload, vocab_size: int) -> Array:
    """The law in `payload`, shape (|V|,), float32.

    Raises:
        PayloadError: it is none.
    """
    k, data = payload.k, payload.data
    if not 1 <= k <= vocab_size or len(data) != 4 * k * (1 if k == vocab_size else 2):
        raise PayloadError(
            f"a law has {k} entries in {len(data)} bytes; expected 1 to {vocab_size}, of 4 or 8 bytes each"
        )
    law = np.zeros(vocab_size, np.float32)
    if k == vocab_size:
        law[:] = np.frombuffer(data, "<f4")
    else:
        indices = np.frombuffer(data, "<u4", k)
        if indices[-1] >= vocab_size or (indices[1:] <= indices[:-1]).any():
            raise PayloadError(f"the ids of a law do not ascend below {vocab_size}; expected distinct ones, in order")
        law[indices] = np.frombuffer(data, "<f4", k, offset=4 * k)
    with np.errstate(invalid="ignore"):  # infinities of both signs
        total = float(law.sum(dtype=np.float64))
    if not (abs(total - 1) <= _TOLERANCE and float(law.min()) >= 0):  # a NaN ends here too
        raise PayloadError(f"the entries of a law sum to {total:g}; expected at least 0 each, and 1 in all")
    return law
