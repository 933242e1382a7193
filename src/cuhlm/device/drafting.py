"""The draft model's side of a generation: read what was decided, propose the next token."""

from collections import abc
from dataclasses import dataclass

from cuhlm.device.stopwatch import Stopwatch
from cuhlm.engines.base import Sequence
from cuhlm.messages import Array, Draft, Sampling
from cuhlm.theory.distributions import LogitRow, law_of
from cuhlm.theory.race import draw_keyed
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.verification import draw


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the draft model says of one position.

    Attributes:
        position: where the token would stand.
        row: its logits, cut to the shared vocabulary.
        draft: a token drawn from x, with x.
    """

    position: int
    row: LogitRow
    draft: Draft

    @property
    def token(self) -> int:
        """The drafted token."""
        return self.draft.token

    @property
    def law(self) -> Array:
        """x."""
        return self.draft.law


class Drafting:
    """Proposes tokens for one generation.

    Args:
        sequence: of the draft model, empty.
        sampling: how x is made of the logits.
        seed: of the keyed randomness.
        vocab_size: tokens both models share.
        keyed: whether the target draws by the same race (design 2.6); else drafts have randomness of their own.
    """

    def __init__(
        self, sequence: Sequence, sampling: Sampling, seed: int, vocab_size: int, *, keyed: bool = False
    ) -> None:
        self._sequence = sequence
        self._sampling = sampling
        self._seed = seed
        self._vocab_size = vocab_size
        self._keyed = keyed

    def prefill(self, prompt: abc.Sequence[int]) -> None:
        """Read the prompt but its last token, which the first proposal's forward pass reads."""
        if len(prompt) > 1:
            self._sequence.append(prompt[:-1], rows=0)

    def propose(self, history: abc.Sequence[int], watch: Stopwatch) -> Proposal:
        """A draft for the position after `history`, whose unread part is read first."""
        logits = self._sequence.append(history[len(self._sequence) :])[0, : self._vocab_size]
        watch.lap("draft")
        position = len(history)
        row = LogitRow.of(logits)
        law = law_of(row, self._sampling)
        if self._keyed:
            draft = draw_keyed(law, self._seed, position)
        else:
            draft = draw(law, uniform(self._seed, position, Purpose.DRAFT))
        watch.lap("sample")
        return Proposal(position, row, draft)

    def rewind(self, length: int) -> None:
        """Forget what was read beyond the first `length` tokens."""
        self._sequence.drop(min(length, len(self._sequence)))

    def close(self) -> None:
        """Give the sequence back."""
        self._sequence.close()
