"""One thread owns a model, and what waits for it at the same time shares a forward pass.

Engines are not thread-safe. Whoever has more than one generation, on the device as in the verifier, goes through a
`Batcher`. It is an engine itself, for callers that block, each in a thread of its own. And it runs **flows**:
generators that yield an `Advance`, are sent the `Rows` that came of it, and return a result:

    def next_token(sequence, token):
        rows = yield Advance(sequence, [token])
        return int(rows.logits[0].argmax())

    batcher.run(next_token(sequence, 7)).result()

All flows that shared a pass think before the next one, and take part in it: nobody is left behind. (In this one thread:
16 sessions that judge 4 rows each take 11 ms, and 13 to 24 in a pool of threads.) Long texts are read in pieces, one a
pass and in turn, so that those who want a token wait for a piece and not for a text; one who leaves is waited for no
longer than that.

A lone caller who blocks needs no other thread: while the model is free, its own makes the pass (waking another one and
being woken by it takes 170 µs, measured where a draft pass takes 11 ms).
"""

import weakref
from collections import abc
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from cuhlm.closing import Closing
from cuhlm.engines.base import Advance, Engine, Sequence, Tokenizer
from cuhlm.engines.flows import Flow
from cuhlm.engines.model_thread import BatchedSequence, Call, ModelThread, advanced
from cuhlm.messages import Array, ModelCard
from cuhlm.theory.pacing import PassTime

T = TypeVar("T")


class Batcher(Closing):
    """Implements `engines.base.Engine` over another, for any number of threads; runs flows.

    The engine stays the caller's to close. The thread begins with the first call, and ends with `close`, when nobody
    holds the batcher any more, or with the program.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._owner = ModelThread(engine)
        weakref.finalize(self, self._owner.take_no_more)

    @property
    def card(self) -> ModelCard:
        """The engine's."""
        return self._engine.card

    @property
    def tokenizer(self) -> Tokenizer:
        """The engine's."""
        return self._engine.tokenizer

    @property
    def passes(self) -> int:
        """Forward passes that its thread has made: that they grow shows that it is at work."""
        return self._owner.passes

    @property
    def pass_time(self) -> PassTime:
        """What its passes have cost of late, for one of the flows that shared the last one."""
        return self._owner.times.estimate.shared_by(self._owner.sharers)

    def open(self) -> BatchedSequence:
        """A new, empty sequence.

        Raises:
            ModelBusy: all places are taken.
            ModelClosed: the batcher is closed.
            RuntimeError: a flow calls it, which would wait for itself.
        """
        opened = self.call(self._engine.open)
        try:
            return BatchedSequence(self, self._owner, self._owner.wait(opened))
        except BaseException:  # an interrupt, too, must leave no place taken
            if not opened.cancel():
                opened.add_done_callback(_close_unclaimed)
            raise

    def advance(self, batch: abc.Sequence[Advance]) -> list[Array]:
        """Advance many sequences (each at most once) without anybody else's.

        Raises:
            ContextOverflow: one entry does not fit; no sequence has changed.
            ModelClosed: the batcher is closed.
            RuntimeError: a flow calls it, which would wait for itself.
        """
        entries = [(self._own(entry.sequence), entry) for entry in batch]

        def together() -> list[Array]:
            return advanced(self._engine, entries)

        return self._owner.wait(self.call(together))

    def run(self, flow: Flow[T]) -> "Future[T]":
        """Begin `flow`. To cancel the future ends the flow before it thinks again, and before its next forward pass.

        Raises:
            ModelClosed: the batcher is closed.
        """
        return self._owner.run_flow(flow)

    def call(self, work: Callable[[], T]) -> "Future[T]":
        """Run `work` in the model's thread, between two forward passes.

        Raises:
            ModelClosed: the batcher is closed.
        """
        done: Future[T] = Future()
        self._owner.submit(Call(work, done))
        return done

    def close(self) -> None:
        """Tell all that wait that it ends, and end the thread; closing twice is allowed."""
        self._owner.end()

    def _own(self, sequence: Sequence) -> BatchedSequence:
        if not isinstance(sequence, BatchedSequence) or sequence.owner is not self._owner:
            raise ValueError(f"{sequence!r} is no sequence of this batcher; expected one that its open() returned")
        sequence.check_open()
        return sequence


def _close_unclaimed(opened: "Future[Sequence]") -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()
