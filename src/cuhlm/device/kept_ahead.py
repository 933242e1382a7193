"""Drafts that are kept within a risk budget, ahead of those that the target is asked about (design 2.11).

The branch behind what the verifier has decided begins with tokens that are final already, kept and not audited yet;
behind them, from the first asked one on, all waits for its verdict: where that one falls, the rest is gone.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from cuhlm.device.ahead import CHUNK_SECONDS
from cuhlm.device.draft_branch import DraftBranch, Foreseen
from cuhlm.device.keeping import Keeping, Kept, RiskReport, audits_of
from cuhlm.device.steps import Reply
from cuhlm.errors import ProtocolError
from cuhlm.messages import Audit, Chunk, Fate, Verdict
from cuhlm.records import Stages, TokenRecord, recorded_gap
from cuhlm.settings import MOST_UNAUDITED
from cuhlm.theory.pacing import Worth


@dataclass(slots=True)
class _Due:
    """What passes of the target cost that no record has yet."""

    passes: int = 0
    rows: int = 0
    bytes_up: int | None = 0
    bytes_down: int | None = 0
    link: float = 0.0
    target: float = 0.0
    verify: float = 0.0

    def add(self, reply: Reply) -> None:
        """A pass."""
        verdict = reply.verdict
        self.passes += 1
        self.rows += verdict.judged
        self.bytes_up = _sum(self.bytes_up, reply.bytes_up)
        self.bytes_down = _sum(self.bytes_down, reply.bytes_down)
        self.link += reply.seconds
        self.target += verdict.target_seconds
        self.verify += verdict.verify_seconds


class KeptAhead:
    """The drafts of one generation.

    Args:
        branch: makes them, with their signals.
        keeping: which are kept.

    Attributes:
        has_ended: whether the answer has: `end` was called.
        is_alone: whether the verifier is lost: all is kept.
    """

    def __init__(self, branch: DraftBranch, keeping: Keeping) -> None:
        self._branch = branch
        self._keeping = keeping
        self._kept: list[Kept | None] = []  # one per draft of the branch; None is asked for
        self._final = 0  # drafts of the branch that are of the answer
        self._sent = 0
        self._asked = 0  # drafts of the branch, from its first, that the target was asked about
        self._sent_at: float | None = None
        self._worth = Worth()
        self.has_ended = False
        self.is_alone = False
        self._due = _Due()

    @property
    def under_way(self) -> "Future[Foreseen] | None":
        """The draft that is being made."""
        return self._branch.under_way

    @property
    def position(self) -> int:
        """Of the first token that is not final."""
        return len(self._branch.history) + self._final

    @property
    def open_drafts(self) -> tuple[int, ...]:
        """Drafts that are not final."""
        return self._branch.tokens[self._final :]

    @property
    def verified(self) -> tuple[int, ...]:
        """The prompt, and what the verifier has decided."""
        return tuple(self._branch.history)

    @property
    def is_unaudited(self) -> bool:
        """Whether a verdict on final tokens is due, and can come."""
        return self._final > 0 and not self.is_alone

    def report(self) -> RiskReport:
        """What was risked; passes that no record has were for audits behind the last token."""
        return self._keeping.report(self._due.passes, self._due.rows)

    def go_on(self, reply: Reply | None) -> Iterator[TokenRecord]:
        """Take the verdict that has come, and the draft that has been made; begin the next, where it is worth it.

        Returns:
            The tokens that become final: decided by the verdict, or kept with nothing before them that is asked for.

        Raises:
            ProtocolError: the verdict does not fit what was sent.
            ModelError: the draft model failed.
        """
        if reply is not None:
            yield from self._judged(reply)
        self._draft()
        while self._final < len(self._kept) and (kept := self._kept[self._final]) is not None:
            self._keeping.note_final(kept)
            self._final += 1
            draft = self._branch.drafts[self._final - 1]
            yield self._record(draft, draft.token, _fate(kept))

    def end(self) -> None:
        """The answer has ended: what is not final is none of it."""
        self.has_ended = True
        self._forget(self._final)

    def go_alone(self) -> None:
        """The verifier is lost: what it was asked about is kept, as all is from now on."""
        self.is_alone = True
        self._sent = self._asked = 0
        for at, draft in enumerate(self._branch.drafts[: len(self._kept)]):
            if self._kept[at] is None:
                assert draft.signals is not None, "the branch was made to measure them"
                self._kept[at] = self._keeping.force(draft.signals, draft.probability)

    def find_verifier(self) -> None:
        """It is back, in a new session: what was made meanwhile is to be judged."""
        self.is_alone = False

    def chunk(self, now: float) -> Chunk | None:
        """What is to be sent now: all there is, once the target must be asked, or has not audited for long."""
        if self._sent_at is None:
            self._sent_at = now
        waits = self._asked > 0 and self._branch.under_way is not None and now - self._sent_at < CHUNK_SECONDS
        there = min(len(self._kept), MOST_UNAUDITED)  # more than a verifier holds can be due after an outage
        if not self._is_to_ask(there, now) or (waits and not self.has_ended):
            return None
        seen, sent = len(self._branch.history), self._sent
        self._sent = max(sent, there)
        self._asked, self._sent_at = there, now
        kept = tuple(each is not None for each in self._kept[sent:there])
        return Chunk(seen + sent, self._branch.tokens[sent:there], seen, asks=True, kept=kept)

    def hear_audits(self, reply: Reply) -> None:
        """A verdict that came after the answer had ended.

        Raises:
            ProtocolError: it does not fit what was sent.
        """
        for _ in self._judged(reply):
            pass

    def close(self) -> None:
        """Give the draft model's sequence back; closing twice is allowed."""
        self._branch.close()

    def _draft(self) -> None:
        self._branch.take()
        for draft in self._branch.drafts[len(self._kept) :]:
            assert draft.signals is not None, "the branch was made to measure them"
            decide = self._keeping.force if self.is_alone else self._keeping.keep
            self._kept.append(decide(draft.signals, draft.probability))
        asked = [draft.gap for draft, kept in zip(self._branch.drafts, self._kept, strict=True) if kept is None]
        if self._branch.under_way is None and self._branch.has_room and self._worth.drafts_on(asked):
            self._branch.begin()

    def _is_to_ask(self, there: int, now: float) -> bool:
        unasked = self._kept[self._asked : there]
        if not unasked:
            return False
        settings, final = self._keeping.settings, self._final - self._asked
        is_stuck = self._branch.under_way is None and self._asked == 0
        is_due = final >= settings.audit_every or (final > 0 and now - (self._sent_at or now) >= settings.audit_seconds)
        return None in unasked or is_due or is_stuck or self.has_ended

    def _judged(self, reply: Reply) -> Iterator[TokenRecord]:
        verdict = reply.verdict
        self._check(verdict)
        self._due.add(reply)
        accepted = self._kept[: verdict.accepted]  # fewer where the answer ended before what was sent
        audits = audits_of(verdict, len(accepted) - accepted.count(None))
        for _ in accepted:
            yield from self._stood(audits)
        if verdict.token is not None and self._kept:
            yield self._replaced(verdict.token)

    def _check(self, verdict: Verdict) -> None:
        has_token = verdict.token is not None
        replaced = self._kept[verdict.accepted : verdict.accepted + 1] if has_token else []
        if verdict.accepted + has_token > self._sent or any(replaced):
            raise ProtocolError(
                f"the verifier lets {verdict.accepted} drafts stand and replaces {int(has_token)}; expected at most "
                f"the {self._sent} that it was sent, and none that is kept; use a verifier of the same version"
            )

    def _stood(self, audits: Iterator[Audit]) -> Iterator[TokenRecord]:
        """The first draft of the branch is decided as it is; its record, where it was not final."""
        draft, kept, was_final = self._branch.drafts[0], self._kept.pop(0), self._final > 0
        self._branch.decide(draft.token)
        self._final, self._sent, self._asked = (max(0, each - 1) for each in (self._final, self._sent, self._asked))
        if kept is None:
            self._worth.agreement.note(draft.gap, True)
            self._keeping.note_asked()
            yield self._record(draft, draft.token, Fate.ACCEPTED)
            return
        if not was_final:
            self._keeping.note_final(kept)
        audit = next(audits)
        self._worth.agreement.note(draft.gap, not audit.differs)
        self._keeping.note_audit(kept, audit)
        if not was_final:
            yield self._record(draft, draft.token, _fate(kept))

    def _replaced(self, token: int) -> TokenRecord:
        """The first draft of the branch is decided otherwise, or ends the target's turn."""
        draft = self._branch.drafts[0]
        stands = draft.token == token
        self._forget(1)
        self._kept.clear()
        self._branch.decide(token)
        self._final = self._sent = self._asked = 0
        self._worth.agreement.note(draft.gap, stands)
        self._keeping.note_asked()
        return self._record(draft, token, Fate.ACCEPTED if stands else Fate.RESAMPLED)

    def _forget(self, length: int) -> None:
        """Nothing of the branch beyond its first `length` drafts will be of the answer."""
        for kept in self._kept[length:]:
            if kept is not None:
                self._keeping.forget(kept)
        del self._kept[length:]

    def _record(self, draft: Foreseen, token: int, fate: Fate) -> TokenRecord:
        """With all that was spent since the last one."""
        spent, due, self._due = self._branch.spend(), self._due, _Due()
        return TokenRecord(
            position=draft.position,
            token=token,
            fate=fate,
            draft_token=draft.token,
            u=None if draft.signals is None else draft.signals.u,
            gap=recorded_gap(draft.gap),
            wire_bytes_up=due.bytes_up,
            wire_bytes_down=due.bytes_down,
            draft_passes=spent.passes,
            target_passes=due.passes,
            target_rows=due.rows,
            transmitted=fate not in (Fate.SKIPPED, Fate.LOCAL),
            stages=Stages(
                draft=spent.draft_seconds,
                sample=spent.sample_seconds,
                gate=spent.gate_seconds,
                link=due.link,
                target=due.target,
                verify=due.verify,
            ),
        )


def _fate(kept: Kept) -> Fate:
    return Fate.LOCAL if kept.is_forced else Fate.SKIPPED


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
