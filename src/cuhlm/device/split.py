"""The device's part of `split`: it draws what replaces a rejected draft (design 2.7)."""

from cuhlm.codec.base import Codec
from cuhlm.codec.whole_law import decode_law, law_bits
from cuhlm.device.drafting import Proposal
from cuhlm.errors import PayloadError, ProtocolError
from cuhlm.messages import Array, Payload, Verdict
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.verification import replacement


class Splitting:
    """Draws from max(0, y − x) with the device's own x.

    Args:
        codec: of y's largest entries; None where y comes whole.
        seed: of the keyed randomness.
        vocab_size: tokens both models share.
    """

    def __init__(self, codec: Codec | None, seed: int, vocab_size: int) -> None:
        self._codec = codec
        self._seed = seed
        self._vocab_size = vocab_size

    def replaced(self, proposal: Proposal, verdict: Verdict) -> int:
        """The token in place of `proposal`, which the verdict rejects.

        Raises:
            ProtocolError: the verifier sent no y, or none that is a law.
        """
        if verdict.law is None:
            raise ProtocolError(
                f"the verifier rejects the draft at position {proposal.position} and sends no y; expected it, to draw "
                "from; use a verifier of the same version"
            )
        try:
            target_probs = self._decoded(verdict.law)
        except PayloadError as error:
            raise ProtocolError(f"y of position {proposal.position} is malformed: {error}") from error
        return replacement(proposal.law, target_probs, uniform(self._seed, proposal.position, Purpose.RESIDUAL))

    def bits(self, law: Payload) -> int:
        """What a bill counts of a y that came down."""
        return law_bits(self._codec, law, self._vocab_size)

    def _decoded(self, law: Payload) -> Array:
        if self._codec is None:
            return decode_law(law, self._vocab_size)
        # Levelled over the vocabulary, what was not sent would come out as tokens that the target never says.
        target_probs = self._codec.decode(law, self._vocab_size).alone()
        if not target_probs.any():
            raise PayloadError(f"all {law.k} entries are 0; expected a sum above 0")
        return target_probs
