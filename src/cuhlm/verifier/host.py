"""The verifier without a transport: sessions joined to the target model.

The gRPC server and the in-process link both use it. Neither waits in it: what a session does is a flow in the model's
thread (`cuhlm.engines.batching`), and tells its verdicts as they are made.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue

from cuhlm.closing import Closing
from cuhlm.engines.base import Advance, Engine
from cuhlm.engines.batching import Batcher
from cuhlm.engines.flows import Flow, Wait
from cuhlm.errors import ConfigurationError, LinkTimeout, ModelBusy, ModelClosed, ProtocolError, VerifierBusy
from cuhlm.given import whole
from cuhlm.messages import Block, Chunk, ModelCard, Opening, Verdict, Verification
from cuhlm.theory.pacing import Pace
from cuhlm.verifier.admission import Admission
from cuhlm.verifier.branch import Branch
from cuhlm.verifier.session import Session

_MOST_OFFERED = 256  # chunks that wait for a session's next pass

LONGEST_PATIENCE_SECONDS = 60.0
"""A device drafts within seconds: one that is silent for so long is waited for no more in this answer."""

MAX_BLOCK = 256
"""Drafted tokens one block may carry. Each costs a row of |V| logits; far above need, far below what would hurt."""


class Verifier(Closing):
    """A target model that judges drafts for several devices.

    Args:
        engine: the target; used from one thread of the verifier's, and closed by the caller.
        max_sessions: sessions that may be open at once.
        token: what devices must present; None admits everyone.

    Raises:
        ConfigurationError: no session would have room, or no header could carry the token.
    """

    def __init__(self, engine: Engine, *, max_sessions: int = 1, token: str | None = None) -> None:
        if whole("the number of sessions", max_sessions) < 1:
            raise ConfigurationError(f"the number of sessions is {max_sessions}; expected 1 or more")
        self._engine = engine
        self._admission = Admission(token, max_sessions)
        self._batcher = Batcher(engine)
        self.card: ModelCard = replace(engine.card, max_block=MAX_BLOCK, max_sessions=max_sessions)

    def vocabulary(self) -> list[bytes]:
        """What the target's tokens stand for."""
        return self._engine.tokenizer.vocabulary()

    @property
    def passes(self) -> int:
        """Forward passes that the target has made."""
        return self._batcher.passes

    @property
    def has_token(self) -> bool:
        """Whether devices must present a token."""
        return self._admission.token is not None

    def authenticate(self, token: str | None) -> None:
        """Check a device's token.

        Raises:
            Unauthenticated: it is missing or wrong.
        """
        self._admission.authenticate(token)

    def open(self, opening: Opening) -> "HostedSession":
        """Begin a generation.

        Raises:
            VerifierBusy: no place is free.
            ProtocolError: the opening does not fit the model, or is meant for another.
        """
        if opening.target_fingerprint not in ("", self.card.fingerprint):
            raise ProtocolError(
                f"this verifier serves {self.card.name!r} ({self.card.fingerprint[:12]}) now; the device was told of "
                f"another model ({opening.target_fingerprint[:12]}); start the device anew"
            )
        session = Session(
            opening,
            vocab_size=self.card.vocab_size,
            context_length=self.card.context_length,
            max_block=MAX_BLOCK,
            end_tokens=self.card.end_tokens,
        )
        self._admission.enter()
        try:
            return HostedSession(session, opening, self._batcher, self._admission, self.card.end_tokens)
        except BaseException as error:
            self._admission.leave()
            if isinstance(error, ModelBusy):
                raise VerifierBusy(f"the target model has no room for another session ({error})") from error
            raise

    def close(self) -> None:
        """End the model's thread, and with an error whatever its sessions still do; closing twice is allowed."""
        self._batcher.close()


class HostedSession:
    """A session with its place in the target model.

    It answers one block after another. The answers to the last one are stored, so that a block sent twice gets the
    same ones even from an engine whose numerics are not batch-invariant. While it generates, drafts may come at any
    time: what is there when a pass begins takes part in it (design 2.10).
    """

    def __init__(
        self,
        session: Session,
        opening: Opening,
        batcher: Batcher,
        admission: Admission,
        end_tokens: frozenset[int],
    ) -> None:
        self._session = session
        self._audits = opening.verification is Verification.AUDITED
        self._takes_drafts = self._audits or opening.verification is Verification.KEYED
        self._patience_seconds = math.inf if self._audits else opening.patience_seconds if self._takes_drafts else 0.0
        self._pace = Pace()
        self._branch = Branch(self._pace.agreement)
        self._offered: SimpleQueue[Chunk] = SimpleQueue()  # filled by any thread, emptied by the model's
        self._asked_on = False
        self._expects_drafts = True
        self._heard_at = time.monotonic()
        self._end_tokens = end_tokens
        self._batcher = batcher
        self._admission = admission
        self._sequence = batcher.open()
        self._closed = False
        self._working: Future[None] | None = None
        self._asked: Block | None = None
        self._answers: list[Verdict] = []

    @property
    def prompt_read(self) -> int:
        """Tokens of the prompt that the target has read."""
        return min(len(self._sequence), self._session.length)

    def prefill(self) -> "Future[None]":
        """Begin to read the prompt, but its last token; done when it is read."""
        return self._run(self._prefilling())

    def answer(self, block: Block, tell: Callable[[Verdict], None]) -> "Future[None]":
        """Begin to answer `block`; done, or failed, when all is told. An answer under way is given up.

        Args:
            block: the device's request.
            tell: is called with the verdict, or with one for each token that the verifier makes alone, up to an end
                token. In the model's thread, so it must not wait.

        Raises (the future):
            ProtocolError: the block does not continue this session, or is malformed.
            ModelError: the forward pass failed.
        """
        self._give_up()
        self._expects_drafts = True
        self._heard_at = time.monotonic()
        return self._run(self._answering(block, tell))

    def offer(self, chunk: Chunk) -> None:
        """Take drafts that were streamed ahead; any thread's, does not wait.

        Raises:
            ProtocolError: the session takes none, or not such.
        """
        if not self._takes_drafts:
            raise ProtocolError("drafts are streamed ahead; expected none in a session that was opened without")
        self._session.check_chunk(chunk)
        is_generating = self._working is not None and not self._working.done()
        if not is_generating or self._offered.qsize() >= _MOST_OFFERED:  # in vain, as what comes too late
            return
        self._offered.put(chunk)
        self._heard_at = time.monotonic()
        self._look_again()

    def expect_no_more(self) -> None:
        """Let the answer under way wait for no drafts: the device will send none for it; any thread's."""
        self._expects_drafts = False
        self._look_again()

    def _look_again(self) -> None:
        """Let the model's thread ask this session, if it waits, whether it still does."""
        if self._patience_seconds > 0:
            with suppress(ModelClosed):  # whoever is answered is told
                self._batcher.call(_nothing)

    def close(self) -> None:
        """Give the place back, and whatever is being done up; closing twice is allowed."""
        if not self._closed:
            self._closed = True
            self._give_up()
            self._sequence.close()
            self._admission.leave()

    def _run(self, flow: Flow[None]) -> "Future[None]":
        self._give_up()
        self._working = self._batcher.run(flow)
        return self._working

    def _give_up(self) -> None:
        if self._working is not None:
            self._working.cancel()

    def _prefilling(self) -> Flow[None]:
        work = self._session.prefill()
        if work.tokens:
            yield Advance(self._sequence, work.tokens, work.rows)

    def _answering(self, block: Block, tell: Callable[[Verdict], None]) -> Flow[None]:
        answers = self._answers if block == self._asked else []
        if not answers:
            self._session.check(block)
        made, ordinal = 0, 0
        while made < max(1, block.generate):
            if ordinal < len(answers):
                verdict = replace(answers[ordinal], target_seconds=0.0, verify_seconds=0.0)  # it costs nothing again
            elif self._audits and not block.drafted:
                if not (yield from self._waiting_for_a_question()):
                    return
                verdict = yield from self._auditing(block.generate - made)
            elif block.generate <= 1:
                verdict = yield from self._judging(block)
            else:
                verdict = yield from self._deciding(block.sync if ordinal == 0 else (), block.generate - made)
            if ordinal == len(answers):
                answers.append(verdict)
                self._asked, self._answers = block, answers
            tell(verdict)
            made += verdict.accepted + (verdict.token is not None)
            ordinal += 1
            if block.drafted or (ordinal == len(answers) and self._session.has_ended):
                return

    def _deciding(self, sync: tuple[int, ...], left: int) -> Flow[Verdict]:
        """One pass of a session that generates, over the live drafts that are worth it; at most `left` tokens."""
        if left > 1 and not sync:  # else no draft could take part
            yield from self._waiting()
        self._take_offered()
        time_ = self._batcher.pass_time
        if self._patience_seconds == math.inf:  # it is passes that such a device saves, whatever a row costs
            time_ = replace(time_, per_draft=0.0)
        position = self._session.length + len(sync)
        drafts = 0 if sync else self._pace.drafts(min(len(self._branch.drafts), left - 1), time_)
        verdict = yield from self._judging(Block(position, sync, tuple(self._branch.drafts[:drafts]), generate=1))
        self._pace.note(drafts, verdict.accepted + 1, time_)
        return verdict

    def _auditing(self, left: int) -> Flow[Verdict]:
        """One pass over all that the device has drafted, kept or not; at most `left` tokens."""
        self._asked_on = False
        taken = slice(min(left, MAX_BLOCK))
        drafted, kept = tuple(self._branch.drafts[taken]), tuple(self._branch.kept[taken])
        return (yield from self._judging(Block(self._session.length, (), drafted, kept=kept)))

    def _waiting_for_a_question(self) -> Flow[bool]:
        """Wait until the device asks, or will no more; whether it does.

        Raises:
            LinkTimeout: it has been silent for too long, and holds a place.
        """
        while not self._has_question() and self._expects_drafts:
            silent = self._heard_at + LONGEST_PATIENCE_SECONDS
            if time.monotonic() >= silent:
                raise LinkTimeout(
                    f"nothing came from this device for {LONGEST_PATIENCE_SECONDS:g} s while it was to say what it "
                    "keeps, so its place was given back; ask again"
                )
            yield Wait(lambda: self._has_question() or not self._expects_drafts, silent)
        return self._has_question()

    def _has_question(self) -> bool:
        self._take_offered()
        return self._asked_on and bool(self._branch.drafts)

    def _waiting(self) -> Flow[None]:
        """Wait as long as there is patience, for the device to ask, or, where patience ends, for drafts.

        A device that has said nothing for too long holds its place no longer than the rest of its answer takes.
        """
        if self._patience_seconds <= 0:
            return
        silent = self._heard_at + LONGEST_PATIENCE_SECONDS
        yield Wait(self._is_answered, min(time.monotonic() + self._patience_seconds, silent))
        self._asked_on = False
        if time.monotonic() >= silent:
            self._expects_drafts = False

    def _is_answered(self) -> bool:
        self._take_offered()
        has_drafts = bool(self._branch.drafts) and self._patience_seconds < math.inf
        return self._asked_on or has_drafts or not self._expects_drafts

    def _take_offered(self) -> None:
        for _ in range(self._offered.qsize()):  # no longer, however fast more comes
            chunk = self._offered.get()
            is_live = self._branch.take(chunk, self._session.history)
            self._asked_on |= chunk.asks and is_live

    def _judging(self, block: Block) -> Flow[Verdict]:
        started = time.perf_counter()
        work = self._session.plan(block, len(self._sequence))
        self._sequence.drop(work.keep)
        planned = time.perf_counter()
        rows = yield Advance(self._sequence, work.tokens, work.rows)
        judging = time.perf_counter()
        begins = self._session.length
        verdict = self._session.judge(block, rows.logits)
        self._branch.decide(self._session.history[begins:], begins)
        verify_seconds = (planned - started) + (time.perf_counter() - judging)
        return replace(verdict, target_seconds=rows.seconds, verify_seconds=verify_seconds)


def _nothing() -> None:
    """Between two passes those who wait are asked whether they still do; that is all."""
