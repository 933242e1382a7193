"""Every codec keeps the contract of `cuhlm.testing.check_codec`, and the contract notices one that does not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cuhlm.codec.base import Codec
from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.messages import Array, Payload
from cuhlm.testing.check_codec import CODEC_CHECKS, CodecCheck, check_codec
from cuhlm.theory.truncation import Indices, TruncatedLaw


@pytest.mark.parametrize("b_prob", [8, 12, 16])
@pytest.mark.parametrize("check", CODEC_CHECKS, ids=lambda check: check.__name__)
def test_the_fixed_width_code_keeps_the_contract(check: CodecCheck, b_prob: int) -> None:
    check(FixedWidthCodec(b_prob))


class _Untidy(FixedWidthCodec):
    def decode(self, payload: Payload, vocab_size: int) -> TruncatedLaw:
        law = super().decode(payload, vocab_size)
        return replace(law, kept=law.kept - np.float32(0.001))


class _Blurs(FixedWidthCodec):
    def decode(self, payload: Payload, vocab_size: int) -> TruncatedLaw:
        law = super().decode(payload, vocab_size)
        return replace(law, kept=(law.kept + np.float32(1)) / np.float32(1 + vocab_size))


class _AnswersDifferently(TruncatedLaw):
    def probability(self, token: int) -> float:
        return super().probability((token + 1) % self.vocab_size)


class _Hasty(FixedWidthCodec):
    def decode(self, payload: Payload, vocab_size: int) -> TruncatedLaw:
        law = super().decode(payload, vocab_size)
        return _AnswersDifferently(law.indices, law.kept, law.vocab_size)


class _ForgetsEntries(FixedWidthCodec):
    def encode(self, indices: Indices, kept: Array, vocab_size: int) -> Payload:
        return super().encode(indices[:20], kept[:20], vocab_size)


class _LosesMass(FixedWidthCodec):
    def encode(self, indices: Indices, kept: Array, vocab_size: int) -> Payload:
        full = indices.size == vocab_size
        return super().encode(indices, kept if full else (kept * 0.9).astype(np.float32), vocab_size)


class _Turns(FixedWidthCodec):
    def encode(self, indices: Indices, kept: Array, vocab_size: int) -> Payload:
        return super().encode(indices[::-1], kept, vocab_size)


class _TrustsEveryone(FixedWidthCodec):
    def decode(self, payload: Payload, vocab_size: int) -> TruncatedLaw:
        if len(payload.data) > (self.bits(payload.k, vocab_size) + 7) // 8:
            payload = Payload(payload.data[:-1], payload.k)
        return super().decode(payload, vocab_size)


@pytest.mark.parametrize("broken", [_Untidy, _Blurs, _Hasty, _ForgetsEntries, _LosesMass, _Turns, _TrustsEveryone])
def test_the_contract_notices(broken: Callable[[], Codec]) -> None:
    with pytest.raises(AssertionError, match="not so: "):
        check_codec(broken)
