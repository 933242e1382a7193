"""What device and verifier say to each other, as frozen values (design 3).

Neither side imports the other: these classes are all they share. Tokens are ids in the shared vocabulary;
a position is the index of a token in the sequence, and the prompt's first token is 0.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ConfigurationError
from cuhlm.given import number, take, whole

Array = npt.NDArray[np.float32]


class Fate(StrEnum):
    """How a token of the answer came to be (design 1)."""

    SKIPPED = "skipped"  # the gate kept the draft without asking
    ACCEPTED = "accepted"  # drafted by the device, let stand by the verifier
    RESAMPLED = "resampled"  # drawn by the verifier instead of the draft it rejected
    BONUS = "bonus"  # drawn by the verifier after a block that stood whole
    LOCAL = "local"  # made without the verifier because the link was down
    TARGET = "target"  # made by the verifier alone


class Verification(StrEnum):
    """The rule by which the verifier decides a token (design 2.2, 2.7)."""

    SPECULATIVE = "speculative"  # a draft stands with min(1, y_d / q_d), or is replaced from the residual
    KEYED = "keyed"  # a draft stands iff it is the token that the target draws with the shared seed
    TARGET = "target"  # the target draws alone; nothing is drafted
    SPLIT = "split"  # as SPECULATIVE, but of x only x_d goes up, and the device draws what replaces a rejected draft
    AUDITED = "audited"  # as KEYED, but a draft that the device keeps stands in any case, and is audited


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a next-token distribution is made of logits; the same on both sides (design 2.1).

    Attributes:
        temperature: T ≥ 0; 0 means one-hot at the argmax.
        top_k: keep the k most probable tokens; 0 keeps all.
        top_p: keep the smallest set of most probable tokens whose mass reaches top_p, in (0, 1].
        min_p: drop tokens less probable than min_p times the most probable one, in [0, 1).
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        take(self, whole, "top_k")
        take(self, number, "temperature", "top_p", "min_p")
        for name, value, holds, expected in (
            ("temperature", self.temperature, 0 <= self.temperature <= 100, "a number from 0 to 100"),
            ("top_k", self.top_k, 0 <= self.top_k < 2**32, "a whole number from 0 (off) to 4294967295"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "a number above 0 and at most 1 (1 is off)"),
            ("min_p", self.min_p, 0 <= self.min_p < 1, "a number from 0 (off) to below 1"),
        ):
            if not holds:  # a NaN fails every comparison and ends here too
                raise ConfigurationError(f"{name} is {value}; expected {expected}")

    def __str__(self) -> str:
        """T, and the filters that are on: "T = 0.7, top-p 0.9"."""
        filters = (
            (self.top_k > 0, f"top-k {self.top_k}"),
            (self.top_p < 1, f"top-p {self.top_p:g}"),
            (self.min_p > 0, f"min-p {self.min_p:g}"),
        )
        return ", ".join([f"T = {self.temperature:g}", *(words for on, words in filters if on)])


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """What makes a model's prompt of messages; it comes with the model.

    Attributes:
        template: a Jinja program; empty where there is none, and a prompt is the contents alone.
        start: the start token as text, ``bos_token`` in the template; empty if there is none.
        end: the end token as text, ``eos_token``; likewise.
        adds_start: whether every prompt begins with the start token.
    """

    template: str = ""
    start: str = ""
    end: str = ""
    adds_start: bool = False


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What one side must know of the other's model before they talk.

    Attributes:
        name: the model's own name, for people.
        vocab_size: length of a logit row, |V|.
        vocab_fingerprint: SHA-256 (hex) over the bytes that all tokens stand for, in order.
        context_length: tokens one sequence can hold.
        batch_invariant: a position's logits do not depend on what else is in the forward pass (design 3).
        max_block: drafted tokens that one block may carry; 0 where the question does not arise.
        max_sessions: sessions that may be open at once; 0 likewise.
        end_tokens: tokens with which this model ends a turn or a text.
        fingerprint: identifies the weights, so that a profile is used only with the pair it was made for.
        chat: how it is spoken to.
        sampling: what its file recommends; None where it says nothing.
    """

    name: str
    vocab_size: int
    vocab_fingerprint: str
    context_length: int
    batch_invariant: bool
    max_block: int = 0
    max_sessions: int = 0
    end_tokens: frozenset[int] = frozenset()
    fingerprint: str = ""
    chat: ChatFormat = ChatFormat()
    sampling: Sampling | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """What a session begins with.

    Attributes:
        prompt: tokens, at least one.
        sampling: how the target's logits become y.
        seed: of the keyed randomness (design 2.6), 0 ≤ seed < 2^64.
        vocab_size: tokens both models share, |V|; ids beyond have probability 0 (design 2.1).
        verification: the rule of all its blocks.
        codec: the name of the code that its payloads are in; see `cuhlm.codec.find`.
        target_fingerprint: `ModelCard.fingerprint` of the target that the device was told of, in case the verifier
            was started with another one since; empty takes whichever it is.
        patience_seconds: how long a target that generates waits for drafts before it makes a token alone; infinite
            waits until the device asks.
        law_entries: where the rule is SPLIT, entries of y that come down on a rejection, the largest; 0 is all of it,
            exactly.
        relaxed: whether a draft that is asked for also stands if it is plausible to the target (design 2.11), where the
            rule is KEYED or AUDITED. The text is no sample of y then.
    """

    prompt: tuple[int, ...]
    sampling: Sampling
    seed: int
    vocab_size: int
    verification: Verification = Verification.SPECULATIVE
    codec: str = "fixed-width-8"
    target_fingerprint: str = ""
    patience_seconds: float = 0.0
    relaxed: bool = False
    law_entries: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted token and the very law it was drawn from (design 2.2).

    Only `theory.verification.draw` and, with the shared seed, `theory.race.draw_keyed` make one, so that the law
    reported is the law used.

    Attributes:
        token: its id.
        law: x.
        gap: of the race that drew it (`theory.race.Race`); None where none did.
    """

    token: int
    law: Array
    gap: float | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """A truncated distribution as the bytes that the uplink pays for; the session's codec reads them.

    Attributes:
        data: k indices and k probabilities, encoded.
        k: entries sent.
    """

    data: bytes
    k: int


@dataclass(frozen=True, slots=True)
class Block:
    """One request of the device.

    Attributes:
        position: where the first drafted (or wanted) token stands, after the synced ones.
        sync: tokens the verifier has not seen, at positions ``position − len(sync)`` and on.
        drafted: drafted tokens to judge, in order.
        payloads: one per drafted token where the rule is SPECULATIVE, else none.
        probabilities: x_d of each drafted token, above 0, where the rule is SPLIT.
        kept: per drafted token, whether the device keeps it without asking; nothing at all where it keeps none.
        generate: tokens that the verifier shall make itself. Without drafted tokens any number, a verdict for each
            pass; after drafted tokens 1, the bonus token of a block that stands whole, or none. Where the rule is
            AUDITED and nothing is drafted here: tokens that are to be decided of what is streamed ahead.
    """

    position: int
    sync: tuple[int, ...]
    drafted: tuple[int, ...] = ()
    payloads: tuple[Payload, ...] = ()
    generate: int = 0
    kept: tuple[bool, ...] = ()
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Drafts that the device streams ahead of the verdicts (design 2.10), in a KEYED or AUDITED session that generates.

    No answer is due. Where they come in time they save the target passes; where not, or where the target has decided
    otherwise since `seen`, they are dropped.

    Attributes:
        position: of the first.
        drafted: each behind the other; none where it only asks.
        seen: length of the decided sequence that the device knew when it drafted them: position of the first token that
            was undecided to it.
        asks: whether the target shall go on now, also one whose patience lasts for ever.
        kept: as a block's.
    """

    position: int
    drafted: tuple[int, ...]
    seen: int
    asks: bool = False
    kept: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """What the target says of a token that the device had kept (design 2.11).

    Attributes:
        plausibility: y_d / max y at T = 1, in [0, 1].
        probability: y_d, as the answer is sampled.
        differs: whether the target's own token, by the shared seed, is another.
    """

    plausibility: float
    probability: float
    differs: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verifier's answer to a block, or what one pass decided of the tokens that it generates.

    Attributes:
        position: of the first token that it decides.
        accepted: how many drafted tokens stand.
        token: the token behind them: it replaces the first that does not stand, or the verifier made it; else None.
        betas: rejection probability of each drafted token up to the first rejected one, where the rule is SPECULATIVE
            or SPLIT.
        target_seconds: the target's forward pass.
        verify_seconds: everything else the verifier did: decoding, sampling, judging.
        judged: drafted tokens that the pass read.
        audits: one for each of the accepted tokens that the device had kept, in order.
        law: y at the first rejected draft, where the rule is SPLIT; no token is behind the accepted ones then.
    """

    position: int
    accepted: int
    token: int | None
    betas: tuple[float, ...] = ()
    target_seconds: float = 0.0
    verify_seconds: float = 0.0
    judged: int = 0
    audits: tuple[Audit, ...] = ()
    law: Payload | None = None
