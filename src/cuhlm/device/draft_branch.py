"""What the draft model drafts ahead: one live branch behind the decided text (design 2.10).

The draft model works in its own thread, so that neither waits for the other: a loop is resumed when a verdict is there,
or a draft. Nothing here decides a token.
"""

import time
from collections import abc
from concurrent.futures import Future
from dataclasses import dataclass

from cuhlm.device.gate import Measurement
from cuhlm.engines.base import Advance
from cuhlm.engines.batching import Batcher
from cuhlm.engines.flows import Flow
from cuhlm.messages import Sampling
from cuhlm.theory.distributions import LogitRow, law_of
from cuhlm.theory.race import race
from cuhlm.theory.score import Signals, signals_of


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What the draft model says of one position.

    Attributes:
        position: in the sequence.
        token: the drafted one.
        gap: how clear its race was.
        probability: x_d.
        signals: what may foresee that it is wrong; None where nobody asks.
        draft_seconds, sample_seconds, gate_seconds: of forward pass, race, and signals.
    """

    position: int
    token: int
    gap: float
    probability: float
    signals: Signals | None
    draft_seconds: float
    sample_seconds: float
    gate_seconds: float


@dataclass(slots=True)
class Spent:
    """What was drafted since somebody was charged with it."""

    passes: int = 0
    draft_seconds: float = 0.0
    sample_seconds: float = 0.0
    gate_seconds: float = 0.0


class DraftBranch:
    """The decided text, the branch behind it, and the draft model's sequence that makes it.

    Args:
        model: the draft model.
        prompt: tokens.
        sampling: of draft and target alike.
        seed: of the shared randomness.
        vocab_size: tokens both models share.
        end_tokens: nothing is drafted behind one.
        longest: nothing is drafted from this position on.
        measure: computes u, for the signals of each draft; None makes none.

    Attributes:
        history: the decided text.
        drafts: the live drafts behind it.
        has_caught_up: whether a draft was made since it began, or rested: before, it reads.
    """

    def __init__(
        self,
        model: Batcher,
        prompt: abc.Sequence[int],
        sampling: Sampling,
        seed: int,
        vocab_size: int,
        *,
        end_tokens: frozenset[int],
        longest: int,
        measure: Measurement | None = None,
    ) -> None:
        self.history = list(prompt)
        self.drafts: list[Foreseen] = []
        self.has_caught_up = False
        self._model = model
        self._sequence = model.open()
        self._sampling = sampling
        self._seed = seed
        self._vocab_size = vocab_size
        self._end_tokens = end_tokens
        self._longest = longest
        self._measure = measure
        self._read = 0  # tokens of the sequence that are those of history and branch
        self._under_way: Future[Foreseen] | None = None
        self._is_stale = False  # what is under way was begun behind a draft that fell
        self._spent = Spent()

    @property
    def under_way(self) -> "Future[Foreseen] | None":
        """The draft that is being made."""
        return self._under_way

    @property
    def tokens(self) -> tuple[int, ...]:
        """Of the live drafts."""
        return tuple(each.token for each in self.drafts)

    @property
    def has_room(self) -> bool:
        """Whether another draft may follow."""
        ends = bool(self.drafts) and self.drafts[-1].token in self._end_tokens
        return not ends and len(self.history) + len(self.drafts) < self._longest

    def take(self) -> Foreseen | None:
        """The draft that has been made, unless what it was drafted behind fell; in `drafts`, if its position is open.

        Raises:
            ModelError: the draft model failed.
        """
        if self._under_way is None or not self._under_way.done():
            return None
        foreseen, self._under_way = self._under_way.result(), None
        self._spent.passes += 1
        self._spent.draft_seconds += foreseen.draft_seconds
        self._spent.sample_seconds += foreseen.sample_seconds
        self._spent.gate_seconds += foreseen.gate_seconds
        self.has_caught_up = True
        if self._is_stale:
            return None
        if foreseen.position >= len(self.history):
            self.drafts.append(foreseen)
        return foreseen

    def begin(self) -> None:
        """Let the draft model make the next one."""
        text = len(self.history) + len(self.drafts)
        keep = min(self._read, text - 1)
        history = self.history[keep:]
        tokens = [*history, *self.tokens[max(0, keep - len(self.history)) :]]
        self._read, self._is_stale = text, False
        self._under_way = self._model.run(self._drafting(keep, tokens, text))

    def decide(self, token: int) -> Foreseen | None:
        """The next position is decided; the draft for it, if there is one. What is behind one that falls is gone."""
        draft = self.drafts[0] if self.drafts else None
        if draft is not None and draft.token == token:
            del self.drafts[0]
        elif draft is not None:
            self.drafts.clear()
            self._read = min(self._read, len(self.history))
            self._is_stale = True
        self.history.append(token)
        return draft

    def spend(self) -> Spent:
        """What was drafted since this was asked last."""
        spent, self._spent = self._spent, Spent()
        return spent

    def close(self) -> None:
        """Give the sequence back; closing twice is allowed."""
        if (under_way := self._under_way) is not None:  # once: another thread may take it meanwhile
            under_way.cancel()
        self._sequence.close()

    def _drafting(self, keep: int, tokens: abc.Sequence[int], position: int) -> Flow[Foreseen]:
        self._sequence.drop(keep)
        rows = yield Advance(self._sequence, tokens)
        started = time.perf_counter()
        row = LogitRow.of(rows.logits[0, : self._vocab_size])
        law = law_of(row, self._sampling)
        ended = race(law, self._seed, position)
        raced = time.perf_counter()
        signals = None
        if self._measure is not None:
            signals = signals_of(row, ended.token, ended.gap, self._measure(row, ended.token, position))
        return Foreseen(
            position=position,
            token=ended.token,
            gap=ended.gap,
            probability=float(law[ended.token]),
            signals=signals,
            draft_seconds=rows.seconds,
            sample_seconds=raced - started,
            gate_seconds=time.perf_counter() - raced,
        )
