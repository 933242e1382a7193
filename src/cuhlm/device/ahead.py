"""Drafts made ahead of the verdicts of a target that never waits: what is sent, and when (design 2.10)."""

import math
from collections import abc

from cuhlm.device.draft_branch import DraftBranch
from cuhlm.device.steps import Reply
from cuhlm.errors import ProtocolError
from cuhlm.messages import Chunk, Fate, Verdict
from cuhlm.records import Stages, TokenRecord, recorded_gap
from cuhlm.theory.pacing import Trial, Worth

CHUNK_SECONDS = 0.010
"""What is drafted within this time travels together: a chunk costs some 50 bytes beside its drafts."""


class Ahead:
    """The drafts of one generation.

    Args:
        branch: makes them.
        asks: whether the target waits for this device, and must be told where no drafts will come soon.
        trial: whether drafting makes tokens come faster, where both models share a machine; None drafts in any case.
    """

    def __init__(self, branch: DraftBranch, *, asks: bool = False, trial: Trial | None = None) -> None:
        self.branch = branch
        self._asks = asks
        self._has_asked = False
        self._sent = 0  # of the branch
        self._sent_at = -math.inf
        self._worth = Worth()
        self._trial = trial
        if trial is not None:
            trial.resume()

    def go_on(self) -> bool:
        """Take the draft that has been made, and begin the next where it is worth it; whether the branch grew.

        Raises:
            ModelError: the draft model failed.
        """
        branch, drafts = self.branch, len(self.branch.drafts)
        foreseen = branch.take()
        if foreseen is not None and foreseen.position < len(branch.history):  # decided meanwhile
            self._worth.agreement.note(foreseen.gap, foreseen.token == branch.history[foreseen.position])
        if branch.under_way is None and self._goes_on:
            branch.begin()
        return len(branch.drafts) > drafts

    def chunk(self, now: float) -> Chunk | None:
        """What is to be sent now: new drafts, unless more will soon travel with them; or a question."""
        unsent = self.branch.tokens[self._sent :]
        has_none = self.branch.under_way is None or not self.branch.has_caught_up
        asks = self._asks and has_none and not self._has_asked
        waits = self.branch.under_way is not None and now - self._sent_at < CHUNK_SECONDS
        if not asks and (not unsent or waits):
            return None
        seen = len(self.branch.history)
        position = seen + self._sent
        self._sent, self._sent_at = len(self.branch.drafts), now
        self._has_asked |= asks
        return Chunk(position, unsent, seen, asks)

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
        tokens = (*self.branch.tokens[: verdict.accepted], verdict.token)
        records = self._records(tokens, reply)
        self._decide(tokens)
        if self.branch.has_caught_up:
            self._worth.note_verdict(len(tokens))
        self._try(len(tokens), now)
        self._has_asked = False
        return records

    def close(self) -> None:
        """Give the draft model's sequence back; closing twice is allowed."""
        self.branch.close()

    def _try(self, made: int, now: float) -> None:
        """Time `made` tokens, where it is tried whether drafting pays; not while the draft model reads to catch up."""
        if self._trial is None:
            return
        if self._trial.drafts and not self.branch.has_caught_up:
            self._trial.resume()
            return
        self._trial.note(made, now)
        self.branch.has_caught_up &= self._trial.drafts

    @property
    def _goes_on(self) -> bool:
        pays = self._trial is None or self._trial.drafts
        return pays and self.branch.has_room and self._worth.drafts_on([each.gap for each in self.branch.drafts])

    def _decide(self, tokens: abc.Sequence[int]) -> None:
        for token in tokens:
            if (draft := self.branch.decide(token)) is not None:
                stands = draft.token == token
                self._worth.agreement.note(draft.gap, stands)
                self._sent = max(0, self._sent - 1) if stands else 0

    def _records(self, tokens: abc.Sequence[int], reply: Reply) -> list[TokenRecord]:
        """One per token; what the pass and the drafts since the last one cost is the first one's."""
        verdict, spent = reply.verdict, self.branch.spend()
        records = []
        for offset, token in enumerate(tokens):
            draft = self.branch.drafts[offset] if offset < len(self.branch.drafts) else None
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
