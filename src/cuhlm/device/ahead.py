"""Drafts made ahead of the verdicts: one live branch behind the decided text (design 2.10).

The draft model works in its own thread, so that neither waits for the other: the loop is resumed when a verdict is
there, or a draft. Nothing here decides a token.
"""

import math
import time
from collections import abc
from concurrent.futures import Future
from dataclasses import dataclass

from cuhlm.device.steps import Reply
from cuhlm.engines.base import Advance
from cuhlm.engines.batching import Batcher
from cuhlm.engines.flows import Flow
from cuhlm.errors import ProtocolError
from cuhlm.messages import Chunk, Fate, Sampling, Verdict
from cuhlm.records import Stages, TokenRecord, recorded_gap
from cuhlm.theory.distributions import LogitRow, law_of
from cuhlm.theory.pacing import Trial, Worth
from cuhlm.theory.race import race

CHUNK_SECONDS = 0.010
"""What is drafted within this time travels together: a chunk costs some 50 bytes beside its drafts."""


@dataclass(frozen=True, slots=True)
class _Foreseen:
    """What the draft model says of one position, how clear the race was, and the seconds of forward pass and race."""

    position: int
    token: int
    gap: float
    draft_seconds: float
    sample_seconds: float


@dataclass(slots=True)
class _Spent:
    """What was drafted since the last verdict."""

    passes: int = 0
    draft_seconds: float = 0.0
    sample_seconds: float = 0.0


class Ahead:
    """The branch of one generation, with the draft model's sequence that makes it.

    Args:
        model: the draft model.
        prompt: tokens.
        sampling: of draft and target alike.
        seed: of the shared randomness.
        vocab_size: tokens both models share.
        end_tokens: nothing is drafted behind one.
        longest: text that there can be, the prompt included: nothing is drafted for its last token, or beyond it.
        asks: whether the target waits for this device, and must be told where no drafts will come soon.
        trial: whether drafting makes tokens come faster, where both models share a machine; None drafts in any case.
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
        asks: bool = False,
        trial: Trial | None = None,
    ) -> None:
        self._model = model
        self._sequence = model.open()
        self._sampling = sampling
        self._seed = seed
        self._vocab_size = vocab_size
        self._end_tokens = end_tokens
        self._longest = longest
        self._asks = asks
        self._has_asked = False
        self._history = list(prompt)
        self._branch: list[_Foreseen] = []
        self._sent = 0  # of the branch
        self._sent_at = -math.inf
        self._read = 0  # tokens of the sequence that are those of history and branch
        self._worth = Worth()
        self._trial = trial
        if trial is not None:
            trial.resume()
        self._under_way: Future[_Foreseen] | None = None
        self._has_caught_up = False  # made a draft since it began, or rested: before, it reads
        self._is_stale = False  # what is under way was begun behind a draft that fell
        self._spent = _Spent()

    @property
    def under_way(self) -> "Future[_Foreseen] | None":
        """The draft that is being made."""
        return self._under_way

    @property
    def position(self) -> int:
        """Of the first undecided token."""
        return len(self._history)

    @property
    def drafts(self) -> tuple[int, ...]:
        """The undecided tokens of the branch."""
        return tuple(each.token for each in self._branch)

    def go_on(self) -> bool:
        """Take the draft that has been made, and begin the next where it is worth it; whether the branch grew.

        Raises:
            ModelError: the draft model failed.
        """
        grew = False
        if self._under_way is not None and self._under_way.done():
            foreseen, self._under_way = self._under_way.result(), None
            grew = self._take(foreseen)
        if self._under_way is None and self._goes_on:
            self._begin()
        return grew

    def chunk(self, now: float) -> Chunk | None:
        """What is to be sent now: new drafts, unless more will soon travel with them; or a question."""
        unsent = self.drafts[self._sent :]
        has_none = self._under_way is None or not self._has_caught_up
        asks = self._asks and has_none and not self._has_asked
        waits = self._under_way is not None and now - self._sent_at < CHUNK_SECONDS
        if not asks and (not unsent or waits):
            return None
        position = self.position + self._sent
        self._sent, self._sent_at = len(self._branch), now
        self._has_asked |= asks
        return Chunk(position, unsent, self.position, asks)

    def settle(self, reply: Reply, now: float) -> list[TokenRecord]:
        """The decided tokens of a verdict that came `now`; the branch goes on behind them, or is begun anew.

        Raises:
            ProtocolError: more drafts are said to stand than were sent.
        """
        verdict = reply.verdict
        if not (verdict.accepted <= self._sent and verdict.token is not None):
            raise ProtocolError(
                f"the verifier lets {verdict.accepted} drafts stand; expected at most the {self._sent} that it was "
                "sent, and a token behind them; use a verifier of the same version"
            )
        tokens = (*self.drafts[: verdict.accepted], verdict.token)
        records = self._records(tokens, reply)
        self._decide(tokens)
        if self._has_caught_up:
            self._worth.note_verdict(len(tokens))
        self._try(len(tokens), now)
        self._has_asked = False
        return records

    def close(self) -> None:
        """Give the sequence back; closing twice is allowed."""
        if (under_way := self._under_way) is not None:  # once: another thread may take it meanwhile
            under_way.cancel()
        self._sequence.close()

    def _try(self, made: int, now: float) -> None:
        """Time `made` tokens, where it is tried whether drafting pays; not while the draft model reads to catch up."""
        if self._trial is None:
            return
        if self._trial.drafts and not self._has_caught_up:
            self._trial.resume()
            return
        self._trial.note(made, now)
        self._has_caught_up &= self._trial.drafts

    @property
    def _goes_on(self) -> bool:
        ends = bool(self._branch) and self._branch[-1].token in self._end_tokens
        # The last token is the target's: nothing is behind it that a draft could save a pass for.
        has_room = len(self._history) + len(self._branch) < self._longest - 1
        pays = self._trial is None or self._trial.drafts
        return pays and has_room and not ends and self._worth.drafts_on([each.gap for each in self._branch])

    def _begin(self) -> None:
        text = len(self._history) + len(self._branch)
        keep = min(self._read, text - 1)
        history = self._history[keep:]
        tokens = [*history, *self.drafts[max(0, keep - len(self._history)) :]]
        self._read, self._is_stale = text, False
        self._under_way = self._model.run(self._drafting(keep, tokens, text))

    def _drafting(self, keep: int, tokens: abc.Sequence[int], position: int) -> Flow[_Foreseen]:
        self._sequence.drop(keep)
        rows = yield Advance(self._sequence, tokens)
        started = time.perf_counter()
        law = law_of(LogitRow.of(rows.logits[0, : self._vocab_size]), self._sampling)
        ended = race(law, self._seed, position)
        return _Foreseen(position, ended.token, ended.gap, rows.seconds, time.perf_counter() - started)

    def _take(self, foreseen: _Foreseen) -> bool:
        self._spent.passes += 1
        self._spent.draft_seconds += foreseen.draft_seconds
        self._spent.sample_seconds += foreseen.sample_seconds
        self._has_caught_up = True
        if self._is_stale:
            return False
        if foreseen.position < len(self._history):  # decided meanwhile
            self._worth.agreement.note(foreseen.gap, foreseen.token == self._history[foreseen.position])
            return False
        self._branch.append(foreseen)
        return True

    def _decide(self, tokens: abc.Sequence[int]) -> None:
        for token in tokens:
            if self._branch:
                stands = self._branch[0].token == token
                self._worth.agreement.note(self._branch[0].gap, stands)
                if stands:
                    del self._branch[0]
                    self._sent = max(0, self._sent - 1)
                else:
                    self._branch.clear()
                    self._sent = 0
                    self._read = min(self._read, len(self._history))
                    self._is_stale = True
            self._history.append(token)

    def _records(self, tokens: abc.Sequence[int], reply: Reply) -> list[TokenRecord]:
        """One per token; what the pass and the drafts since the last one cost is the first one's."""
        verdict, spent, self._spent = reply.verdict, self._spent, _Spent()
        records = []
        for offset, token in enumerate(tokens):
            draft = self._branch[offset] if offset < len(self._branch) else None
            first = offset == 0
            records.append(
                TokenRecord(
                    position=verdict.position + offset,
                    token=token,
                    fate=_fate(offset, verdict, stands=draft is not None and draft.token == token),
                    draft_token=None if draft is None else draft.token,
                    gap=None if draft is None else recorded_gap(draft.gap),
                    wire_bytes_up=reply.bytes_up if first else _nothing_of(reply.bytes_up),
                    wire_bytes_down=reply.bytes_down if first else _nothing_of(reply.bytes_down),
                    draft_passes=spent.passes if first else 0,
                    target_passes=int(first),
                    target_rows=verdict.judged + 1 if first else 0,
                    transmitted=draft is not None and offset < self._sent,
                    stages=Stages(
                        draft=spent.draft_seconds,
                        sample=spent.sample_seconds,
                        link=reply.seconds,
                        target=verdict.target_seconds,
                        verify=verdict.verify_seconds,
                    )
                    if first
                    else Stages(),
                )
            )
        return records


def _fate(offset: int, verdict: Verdict, *, stands: bool) -> Fate:
    if offset < verdict.accepted or (stands and offset < verdict.judged):  # the latter at an end token
        return Fate.ACCEPTED
    if verdict.accepted < verdict.judged:
        return Fate.RESAMPLED
    return Fate.BONUS if verdict.judged else Fate.TARGET


def _nothing_of(count: int | None) -> int | None:
    return None if count is None else 0
