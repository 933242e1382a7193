"""The thread that owns a model: what has come, who takes part in the next forward pass, who thinks after it."""

import math
import queue
import threading
import time
from collections import abc
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, TypeVar

from cuhlm.engines.base import Advance, Engine, Sequence, check_keeps, check_sequence_open
from cuhlm.engines.flows import SHORT, Flow, Rows, UnderWay, tell
from cuhlm.engines.pass_times import PassTimes
from cuhlm.errors import ModelClosed
from cuhlm.messages import Array

T = TypeVar("T")


class BatchedSequence:
    """Implements `engines.base.Sequence`; each of one user at a time, but for `close`.

    Args:
        keeps: what must live as long as it does: the batcher, with which the thread ends.
        owner: of its model.
        inner: the engine's own.
    """

    def __init__(self, keeps: object, owner: "ModelThread", inner: Sequence) -> None:
        self.owner = owner
        self._keeps = keeps
        self._inner = inner
        self._length = 0  # what the inner one holds beyond it is dropped before it reads on
        self._open = True
        self._reading: Future[Rows] | None = None

    def __len__(self) -> int:
        """Tokens read so far."""
        return self._length

    def append(self, tokens: abc.Sequence[int], rows: int = 1) -> Array:
        """Read `tokens`; the logits after each of the last `rows`, shape (rows, |V|), float32, owned by the caller.

        Raises:
            ContextOverflow: the tokens do not fit; the sequence is unchanged.
            ModelError: the forward pass failed, or a token is not in the vocabulary; the sequence is unchanged.
            ModelClosed: the batcher is closed.
            ValueError: the sequence is closed, perhaps meanwhile, by another thread.
            RuntimeError: a flow calls it, which would wait for itself.
        """
        self.check_open()
        advance = Advance(self, list(tokens), rows)
        if len(tokens) <= SHORT and (logits := self.owner.advance_at_once(self, advance)) is not None:
            return logits
        self._reading = self.owner.run_flow(_once(advance))
        try:
            return self.owner.wait(self._reading).logits
        except CancelledError:
            self.check_open()
            raise

    def drop(self, length: int) -> None:
        """Forget all but the first `length` tokens (0 ≤ length ≤ len)."""
        self.check_open()
        check_keeps(length, self._length)
        self._length = length

    def close(self) -> None:
        """Give the place back once the model is free, and end what is being read; closing twice is allowed."""
        if self._open:
            self._open = False
            if self._reading is not None:
                self._reading.cancel()
            self.owner.call_when_free(self._inner.close)

    def check_open(self) -> None:
        """Raise ValueError if the sequence is closed."""
        check_sequence_open(self._open)

    def inner(self) -> Sequence:
        """The engine's own sequence, holding what this one does; in the model's thread only."""
        if self._length < len(self._inner):
            self._inner.drop(self._length)
        return self._inner

    def note_length(self, length: int) -> None:
        """Note how far the engine's own sequence counts."""
        self._length = length


def _once(advance: Advance) -> Flow[Rows]:
    return (yield advance)


@dataclass(frozen=True, slots=True)
class Call:
    """Anything else than a forward pass that is to be done with the engine, and who waits for it."""

    work: Callable[[], Any]
    done: "Future[Any]"


_Work = UnderWay | Call


class ModelThread:
    """The model's thread: takes what has come, chooses who takes part in the next pass, lets flows think.

    Attributes:
        passes: forward passes made.
        times: what they cost, the thinking after each included.
        sharers: flows that wanted rows of the last one, at least 1.
    """

    def __init__(self, engine: Engine) -> None:
        self.passes = 0
        self.times = PassTimes()
        self.sharers = 1
        self._engine = engine
        self._inbox: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()  # None: the end
        self._busy = threading.Lock()  # held by whichever thread uses the engine
        self._submitting = threading.Lock()  # nothing is queued behind the end
        self._closed = False
        self._thread: threading.Thread | None = None
        self._flows: list[UnderWay] = []

    def submit(self, work: _Work) -> None:
        """Queue `work`; does not wait.

        Raises:
            ModelClosed: the end has come.
        """
        with self._submitting:
            if self._closed:
                raise _closed()
            self._inbox.put(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cuhlm-model", daemon=True)
                self._thread.start()

    def run_flow(self, flow: Flow[T]) -> "Future[T]":
        """See `Batcher.run`."""
        done: Future[T] = Future()
        self.submit(UnderWay(flow, done))
        return done

    def wait(self, done: "Future[T]") -> T:
        """The result of `done`, for any thread but the model's own."""
        if self._is_here:
            raise RuntimeError(
                "a flow, or who is told of its end, waits for its own model; expected it to yield instead"
            )
        return done.result()

    def advance_at_once(self, sequence: BatchedSequence, advance: Advance) -> Array | None:
        """What `BatchedSequence.append` gives, made by the caller's own thread; None where the model is not free."""
        if not self._inbox.empty() or not self._busy.acquire(blocking=False):
            return None
        try:
            if self._closed:
                raise _closed()
            return advanced(self._engine, [(sequence, advance)])[0]
        finally:
            self._busy.release()

    def call_when_free(self, work: Callable[[], None]) -> None:
        """Run `work` in the model's thread, or here where it has ended; does not wait for a thread that lives."""
        try:
            self.submit(Call(work, Future()))
        except ModelClosed:
            if self._is_here:
                work()
            else:
                with self._busy:  # the last pass may still be under way
                    work()

    def take_no_more(self) -> None:
        """Let the thread end soon; does not wait for it."""
        with self._submitting:
            self._closed = True
            self._inbox.put(None)

    def end(self) -> None:
        """Let the thread end, and wait for it, and for the pass that another has under way."""
        self.take_no_more()
        if self._is_here:
            return
        if self._thread is not None:
            self._thread.join()
        with self._busy:
            pass

    @property
    def _is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        """Until the end is in the inbox."""
        goes_on = True
        try:
            while goes_on:
                arrived = self._wait()
                with self._busy:
                    goes_on = self._serve(arrived)
        finally:  # also after an error of ours: nobody is to wait for ever
            self._closed = True
            self._tell_the_rest()

    def _wait(self) -> list[_Work | None]:
        """What has come; nothing where a flow has waited long enough."""
        until = min((flow.waits.until for flow in self._flows if flow.waits is not None), default=math.inf)
        try:
            seconds = min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
            return [self._inbox.get(timeout=None if until == math.inf else seconds)]
        except queue.Empty:
            return []

    def _serve(self, arrived: list[_Work | None]) -> bool:
        """Work until nothing is left to do but to wait; false where the end has come."""
        goes_on = self._take(arrived)
        while goes_on and (turn := self._next_turn()):
            started = time.perf_counter()
            tokens = self._pass(turn)
            if tokens:
                self.times.note(tokens, time.perf_counter() - started)
            goes_on = self._take([])
        return goes_on

    def _take(self, arrived: list[_Work | None]) -> bool:
        """Begin new flows, do calls, wake those who have waited, forget those who are done; false at the end."""
        while not self._inbox.empty():
            arrived.append(self._inbox.get())
        self._forget_cancelled()
        for work in arrived:
            if isinstance(work, Call):
                _do(work)
            elif work is not None:
                work.resume(None)
                self._flows.append(work)
        for flow in self._flows:
            flow.look()
        self._flows = [flow for flow in self._flows if not flow.has_ended]
        return None not in arrived

    def _tell_the_rest(self) -> None:
        while not self._inbox.empty():
            work = self._inbox.get()
            if isinstance(work, Call):
                _do(work)
            elif work is not None:
                tell(work.done, None, _closed())
        for flow in self._flows:
            flow.resume(_closed())

    def _forget_cancelled(self) -> None:
        for flow in self._flows:
            if flow.done.cancelled():
                flow.leave()
        self._flows = [flow for flow in self._flows if not flow.done.cancelled()]

    def _next_turn(self) -> list[UnderWay]:
        """All that want little, and one of those that read a text; whoever had that turn goes to the end."""
        turn = [flow for flow in self._flows if flow.wanted is not None and not flow.is_long]
        reader = next((flow for flow in self._flows if flow.is_long), None)
        if reader is not None:
            self._flows.remove(reader)
            self._flows.append(reader)
            turn.append(reader)
        return turn

    def _pass(self, turn: list[UnderWay]) -> int:
        """One forward pass for all, and what they think after it; how many tokens it read, all of them for rows.

        0 where texts were read beside them, which cost otherwise. Each alone, and 0, where one of them does not fit, so
        that only that one fails.
        """
        started = time.perf_counter()
        try:
            pieces = [flow.piece() for flow in turn]
            logits = advanced(self._engine, [(_batched(piece.sequence), piece) for piece in pieces])
        except BaseException as error:  # whatever it is belongs to whoever waits for it
            if len(turn) > 1:
                for flow in turn:
                    self._pass([flow])
            else:
                self._fail(turn[0], error)
            return 0
        self.passes += 1
        self.sharers = max(1, sum(piece.rows > 0 for piece in pieces))
        tokens = sum(len(piece.tokens) for piece in pieces)
        per_token = (time.perf_counter() - started) / tokens
        for flow, piece, own in zip(turn, pieces, logits, strict=True):
            rows = flow.has_read(piece, own, per_token * len(piece.tokens))
            if rows is not None:
                flow.resume(rows)
        return tokens if all(piece.rows for piece in pieces) else 0

    def _fail(self, flow: UnderWay, error: BaseException) -> None:
        """Tell a flow that its pass failed; pieces that were read before are forgotten."""
        assert flow.wanted is not None
        if isinstance(flow.wanted.sequence, BatchedSequence):
            flow.wanted.sequence.note_length(flow.begun_at)
        flow.resume(error)


def _batched(sequence: Sequence) -> BatchedSequence:
    if not isinstance(sequence, BatchedSequence):
        raise TypeError(f"a flow advances {sequence!r}; expected a sequence that its batcher opened")
    return sequence


def advanced(engine: Engine, entries: abc.Sequence[tuple[BatchedSequence, Advance]]) -> list[Array]:
    """One forward pass of the engine over batched sequences."""
    rows = engine.advance([Advance(sequence.inner(), entry.tokens, entry.rows) for sequence, entry in entries])
    if len(rows) != len(entries):
        raise RuntimeError(f"the engine answered {len(rows)} of {len(entries)} sequences that it was to advance")
    for sequence, entry in entries:
        sequence.note_length(len(sequence) + len(entry.tokens))
    return rows


def _do(call: Call) -> None:
    if not call.done.set_running_or_notify_cancel():
        return
    try:
        result = call.work()
    except BaseException as error:  # belongs to whoever asked
        tell(call.done, None, error)
    else:
        tell(call.done, result, None)


def _closed() -> ModelClosed:
    return ModelClosed("the model is being closed, and answers no more; load it again, or ask another verifier")
