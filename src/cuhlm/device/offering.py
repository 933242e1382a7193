"""What the device sends of an uncertain draft: truncation, encoding, and which law the draft is drawn from.

With ``draft_from = x`` (the paper's) the token is the one the gate saw, drawn from x, and the verifier judges it
against the x̂ it rebuilds. With ``draft_from = xhat`` a fresh token is drawn from x̂ as the verifier will decode it,
so that verification is exact for every k (design 2.5). It must be fresh: the gate and k* looked at the first one,
and given that look it is no sample of x̂ any more.
"""

from dataclasses import dataclass

from cuhlm.codec.base import Codec
from cuhlm.codec.whole_law import PROBABILITY_BITS
from cuhlm.device.drafting import Proposal
from cuhlm.device.stopwatch import Stopwatch
from cuhlm.messages import Array, Payload, Verification
from cuhlm.methods import DraftFrom, TruncationRule
from cuhlm.settings import Settings
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.truncation import Indices, online_top, top_k
from cuhlm.theory.verification import draw


@dataclass(frozen=True, slots=True)
class Offer:
    """What a block carries of drafts (nothing where the method sends none).

    Attributes:
        drafted: tokens to be judged.
        payloads: one per drafted token.
        bits: the payloads' size as a bill counts it.
        probabilities: x_d of each drafted token, where it is sent in place of a payload.
    """

    drafted: tuple[int, ...] = ()
    payloads: tuple[Payload, ...] = ()
    bits: int = 0
    probabilities: tuple[float, ...] = ()

    @property
    def k(self) -> int:
        """Entries sent."""
        return sum(payload.k for payload in self.payloads)


class Offering:
    """Makes offers by the settings' truncation rule."""

    def __init__(self, settings: Settings, codec: Codec, seed: int, vocab_size: int) -> None:
        self._settings = settings
        self._codec = codec
        self._seed = seed
        self._vocab_size = vocab_size

    def offer(self, proposal: Proposal, u: float | None, watch: Stopwatch) -> Offer:
        """What to send of `proposal`."""
        if self._settings.method.truncation is TruncationRule.NONE:
            return self._bare(proposal)
        indices, kept = self._truncated(proposal, u)
        watch.lap("truncate")
        payload = self._codec.encode(indices, kept, self._vocab_size)
        token = proposal.token
        if self._settings.draft_from is DraftFrom.XHAT:
            law = self._codec.decode(payload, self._vocab_size).rebuilt()
            token = draw(law, uniform(self._seed, proposal.position, Purpose.REDRAFT)).token
        watch.lap("encode")
        return Offer((token,), (payload,), self._codec.bits(payload.k, self._vocab_size))

    def _bare(self, proposal: Proposal) -> Offer:
        """What is sent without a distribution."""
        match self._settings.method.verification:
            case Verification.KEYED:
                return Offer((proposal.token,))
            case Verification.SPLIT:
                probability = float(proposal.law[proposal.token])
                return Offer((proposal.token,), bits=PROBABILITY_BITS, probabilities=(probability,))
            case _:
                return Offer()

    def _truncated(self, proposal: Proposal, u: float | None) -> tuple[Indices, Array]:
        settings = self._settings
        match settings.method.truncation:
            case TruncationRule.FULL:
                return top_k(proposal.law, self._vocab_size)
            case TruncationRule.OFFLINE:
                return top_k(proposal.law, min(settings.k, self._vocab_size))
            case TruncationRule.ONLINE:
                assert u is not None, "the online rule goes with the uncertainty gate"
                assert settings.rejection is not None, "and with a rejection model"
                beta_hat = settings.rejection.predict(u)
                return online_top(proposal.law, float(proposal.law[proposal.token]), beta_hat, settings.vartheta)
            case TruncationRule.NONE:
                raise AssertionError("nothing is sent")
