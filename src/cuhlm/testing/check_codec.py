"""What every codec must do (design 3), as plain functions.

Use it for a codec of your own, with pytest or without:

    check_codec(lambda: MyCodec())

or, to have one test per promise:

    @pytest.mark.parametrize("check", CODEC_CHECKS, ids=lambda check: check.__name__)
    def test_my_codec_keeps_the_contract(check):
        check(MyCodec())
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from cuhlm.codec.base import Codec
from cuhlm.errors import PayloadError
from cuhlm.messages import Array, Payload
from cuhlm.theory.truncation import top_k

CodecCheck = Callable[[Codec], None]

VOCABULARIES = (1, 2, 3, 1000, 32_000)
_SUM_TOLERANCE = 1e-5
_MASS_TOLERANCE = 0.05
"""Of the sent entries' mass, this much may be lost on the way; a quantiser of 8 bits loses at most 0.012."""


def check_codec(make_codec: Callable[[], Codec]) -> None:
    """Run every check on a codec made by `make_codec`.

    Raises:
        AssertionError: a promise is not kept; the message says which.
    """
    for check in CODEC_CHECKS:
        check(make_codec())


def check_decoded_law(codec: Codec) -> None:
    """Decoding gives a law: shape (|V|,), float32, no entry below 0, sum 1."""
    for probs in _distributions():
        for k in _sizes(probs.size):
            law = _sent(codec, probs, k)
            _expect(law.shape == probs.shape, f"the law has shape ({probs.size},)")
            _expect(law.dtype == np.float32, "the law is float32")
            _expect(bool(np.all(law >= 0)), "no probability is negative")
            _expect(abs(float(law.sum(dtype=np.float64)) - 1) < _SUM_TOLERANCE, "the law sums to 1")


def check_same_law(codec: Codec) -> None:
    """Encoding is deterministic, and decoding a payload twice gives the same bits."""
    for probs in _distributions():
        for k in _sizes(probs.size):
            payload = _encoded(codec, probs, k)
            _expect(payload == _encoded(codec, probs, k), "the same entries give the same payload")
            first, second = (codec.decode(payload, probs.size).rebuilt() for _ in range(2))
            _expect(first.tobytes() == second.tobytes(), "the same payload gives the same bits")


def check_one_token(codec: Codec) -> None:
    """The probability of one token is, to the bit, its entry in the whole law; the verifier judges a draft by it."""
    for probs in _distributions():
        for k in _sizes(probs.size):
            law = codec.decode(_encoded(codec, probs, k), probs.size)
            whole = law.rebuilt()
            for token in {0, probs.size - 1, int(probs.argmax()), int(probs.argmin())}:
                _expect(law.probability(token) == float(whole[token]), "one token's probability is its entry's")


def check_certainty(codec: Codec) -> None:
    """A one-hot law survives exactly, for every k (a draft at T = 0)."""
    for vocab_size in VOCABULARIES:
        probs = np.zeros(vocab_size, np.float32)
        probs[vocab_size // 2] = 1
        for k in _sizes(vocab_size):
            _expect(np.array_equal(_sent(codec, probs, k), probs), "a one-hot law survives exactly")


def check_zeros(codec: Codec) -> None:
    """Tokens that a filter removed keep probability 0 where k covers what it left."""
    probs = np.zeros(1000, np.float32)
    probs[[3, 500, 999]] = 0.5, 0.3, 0.2
    law = _sent(codec, probs, 1000)
    _expect(set(np.flatnonzero(law)) <= {3, 500, 999}, "an exact 0 stays 0 where the whole vocabulary is sent")


def check_order(codec: Codec) -> None:
    """Of two sent entries the more probable one is not decoded to less than the other."""
    for probs in _distributions():
        for k in _sizes(probs.size):
            indices, _ = top_k(probs, k)
            _expect(bool(np.all(np.diff(_sent(codec, probs, k)[indices]) <= 0)), "the order of the entries is kept")


def check_mass(codec: Codec) -> None:
    """The mass of the entries sent is kept and not exceeded, so that what the decoder spreads is what was not sent."""
    for probs in _distributions():
        for k in _sizes(probs.size)[:-1]:
            indices, kept = top_k(probs, k)
            mass = float(kept.sum(dtype=np.float64))
            decoded = float(_sent(codec, probs, k)[indices].sum(dtype=np.float64))
            _expect(decoded <= mass + _SUM_TOLERANCE, "the decoded mass is not above the true one")
            _expect(decoded >= mass - _MASS_TOLERANCE, f"the decoded mass is within {_MASS_TOLERANCE} of the true one")


def check_size(codec: Codec) -> None:
    """The payload says its k, and its bytes are no more than its bits need."""
    for probs in _distributions():
        for k in _sizes(probs.size):
            payload = _encoded(codec, probs, k)
            _expect(payload.k == k, "the payload says its k")
            _expect(
                len(payload.data) == (codec.bits(k, probs.size) + 7) // 8,
                "the bytes are the bits, filled to a whole byte",
            )


def check_damage(codec: Codec) -> None:
    """A payload that is too short or too long, or whose k is out of range, is refused."""
    payload = _encoded(codec, _distributions()[-1], 30)
    vocab_size = _distributions()[-1].size
    for what, damaged in (
        ("a byte is missing", replace(payload, data=payload.data[:-1])),
        ("a byte is added", replace(payload, data=payload.data + b"\0")),
        ("it is empty", replace(payload, data=b"")),
        ("k is 0", replace(payload, k=0)),
        ("k is negative", replace(payload, k=-1)),
        ("k is above |V|", replace(payload, k=vocab_size + 1)),
    ):
        _expect_refusal(partial(codec.decode, damaged, vocab_size), f"a payload where {what}")


def check_noise(codec: Codec) -> None:
    """Whatever bytes arrive, decoding gives a law or refuses."""
    vocab_size = 1000
    payload = _encoded(codec, _zipf(vocab_size, 1.0), 5)
    noise = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(payload.data)
        for offset in noise.integers(0, len(data), 2):
            data[offset] = int(noise.integers(256))
        try:
            law = codec.decode(replace(payload, data=bytes(data)), vocab_size).rebuilt()
        except PayloadError:
            continue
        _expect(bool(np.all(law >= 0)), "a damaged payload that is decoded gives no negative probability")
        _expect(abs(float(law.sum(dtype=np.float64)) - 1) < _SUM_TOLERANCE, "it gives a law that sums to 1")


CODEC_CHECKS: tuple[CodecCheck, ...] = (
    check_decoded_law,
    check_same_law,
    check_one_token,
    check_certainty,
    check_zeros,
    check_order,
    check_mass,
    check_size,
    check_damage,
    check_noise,
)


def _zipf(vocab_size: int, exponent: float) -> Array:
    weights = np.arange(1, vocab_size + 1) ** -exponent
    scattered = np.random.default_rng(vocab_size).permutation(weights / weights.sum())
    return scattered.astype(np.float32)


def _distributions() -> list[Array]:
    """Flat, natural and peaked ones, over vocabularies of every size."""
    return [_zipf(vocab_size, exponent) for vocab_size in VOCABULARIES for exponent in (0.0, 1.2, 4.0)]


def _sizes(vocab_size: int) -> list[int]:
    """k from 1 to |V|, which comes last."""
    return sorted({min(k, vocab_size) for k in (1, 2, 30, vocab_size - 1, vocab_size) if k})


def _encoded(codec: Codec, probs: Array, k: int) -> Payload:
    indices, kept = top_k(probs, k)
    return codec.encode(indices, kept, probs.size)


def _sent(codec: Codec, probs: Array, k: int) -> Array:
    """What the verifier rebuilds."""
    return codec.decode(_encoded(codec, probs, k), probs.size).rebuilt()


def _expect(holds: bool, promise: str) -> None:
    if not holds:
        raise AssertionError(f"not so: {promise}")


def _expect_refusal(call: Callable[[], object], what: str) -> None:
    try:
        call()
    except PayloadError:
        return
    raise AssertionError(f"not so: {what} is refused with a PayloadError")
