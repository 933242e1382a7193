"""The seam between a truncated distribution and the bytes that the uplink pays for (design 3)."""

from typing import Protocol

from cuhlm.messages import Array, Payload
from cuhlm.theory.truncation import Indices, TruncatedLaw


class Codec(Protocol):
    """A code for truncated distributions; `cuhlm.testing.check_codec` says what every codec must do.

    Device and verifier agree on one by its name (`cuhlm.codec.find`), which stands for all that its code depends on.
    """

    @property
    def name(self) -> str:
        """What an opening calls it."""
        ...

    def bits(self, k: int, vocab_size: int) -> int:
        """Size of a payload of `k` entries, without what fills its last byte: what a bill counts."""
        ...

    def encode(self, indices: Indices, kept: Array, vocab_size: int) -> Payload:
        """The payload of the kept entries, which are trusted to be as `top_k` returns them.

        Args:
            indices: ids of the kept entries, shape (k,), distinct.
            kept: their probabilities, shape (k,), largest first, sum at most 1.
            vocab_size: |V|.
        """
        ...

    def decode(self, payload: Payload, vocab_size: int) -> TruncatedLaw:
        """x̂ as the verifier knows it: entries at least 0, sum 1.

        The device calls it on its own payload where it draws from x̂: both sides then hold the same law to the bit.

        Raises:
            PayloadError: the payload is malformed, whoever made it.
        """
        ...
