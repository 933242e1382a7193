"""The verifier without a transport: sessions joined to the target model.

The gRPC server and the in-process link both use it; each calls `HostedSession.answer` from a thread of its own.
"""

import time
from collections.abc import Iterator
from dataclasses import replace

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.engines.base import Engine
from cuhlm.engines.batching import Batcher, Timed
from cuhlm.errors import ProtocolError
from cuhlm.messages import Block, ModelCard, Opening, Verdict
from cuhlm.verifier.admission import Admission
from cuhlm.verifier.session import Session, Work

MAX_BLOCK = 256
"""Drafted tokens one block may carry. Each costs a row of |V| logits; far above need, far below what would hurt."""


class Verifier:
    """A target model that judges drafts for several devices.

    Args:
        engine: the target; used from one thread of the verifier's, and closed by the caller.
        max_sessions: sessions that may be open at once.
        token: what devices must present; None admits everyone.
    """

    def __init__(self, engine: Engine, *, max_sessions: int = 1, token: str | None = None) -> None:
        self._engine = engine
        self._admission = Admission(token, max_sessions)
        self._batcher = Batcher(engine)
        self.card: ModelCard = replace(engine.card, max_block=MAX_BLOCK, max_sessions=max_sessions)

    def token_strings(self) -> list[str]:
        """The target's vocabulary."""
        return self._engine.tokenizer.token_strings()

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
            FixedWidthCodec(),
            vocab_size=self.card.vocab_size,
            context_length=self.card.context_length,
            max_block=MAX_BLOCK,
        )
        self._admission.enter()
        try:
            return HostedSession(session, self._batcher, self._admission, self.card.end_tokens)
        except BaseException:
            self._admission.leave()
            raise

    def close(self) -> None:
        """End the model's thread. Close the sessions first."""
        self._batcher.close()


class HostedSession:
    """A session with its place in the target model.

    The answers to the last block are stored, so that a block sent twice gets the same ones even from an engine whose
    numerics are not batch-invariant.
    """

    def __init__(self, session: Session, batcher: Batcher, admission: Admission, end_tokens: frozenset[int]) -> None:
        self._session = session
        self._end_tokens = end_tokens
        self._batcher = batcher
        self._admission = admission
        self._sequence = batcher.open()
        self._closed = False
        self._asked: Block | None = None
        self._answers: list[Verdict] = []

    def prefill(self) -> None:
        """Read the prompt, but its last token."""
        work = self._session.prefill()
        if work.tokens:
            self._advance(work)

    def answer(self, block: Block) -> Iterator[Verdict]:
        """The verdict on `block`, or one per token that it asks the verifier to make alone, up to an end token.

        Raises:
            ProtocolError: the block does not continue this session, or is malformed.
        """
        answers = self._answers if block == self._asked else []
        for ordinal in range(max(1, block.generate)):
            if ordinal < len(answers):
                verdict = replace(answers[ordinal], target_seconds=0.0, verify_seconds=0.0)  # it costs nothing again
            else:
                verdict = self._judge(block if ordinal == 0 else Block(self._session.length, (), generate=1))
                answers.append(verdict)
                self._asked, self._answers = block, answers
            yield verdict
            if verdict.token in self._end_tokens:
                return

    def close(self) -> None:
        """Give the place back; closing twice is allowed."""
        if not self._closed:
            self._closed = True
            self._batcher.discard(self._sequence)
            self._admission.leave()

    def _judge(self, block: Block) -> Verdict:
        started = time.perf_counter()
        work = self._session.plan(block, len(self._sequence))
        planned = time.perf_counter()
        timed = self._advance(work)
        judging = time.perf_counter()
        verdict = self._session.judge(block, timed.logits)
        verify_seconds = (planned - started) + (time.perf_counter() - judging)
        return replace(verdict, target_seconds=timed.seconds, verify_seconds=verify_seconds)

    def _advance(self, work: Work) -> Timed:
        return self._batcher.advance(self._sequence, work.keep, work.tokens, work.rows)
