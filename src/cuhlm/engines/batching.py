"""One thread owns the target model; what waits for it at the same time shares a forward pass.

Engines are not thread-safe, and every session runs in a thread of its own. The batcher is where they meet: jobs
queue, and whenever the model is free, all waiting forward passes go into one `Engine.advance`.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cuhlm.engines.base import Advance, Engine, Sequence
from cuhlm.errors import LinkError
from cuhlm.messages import Array


@dataclass(frozen=True, slots=True)
class Timed:
    """Logits, and the seconds of the forward pass that made them."""

    logits: Array
    seconds: float


@dataclass(frozen=True, slots=True)
class _Job:
    """A forward pass, or any other call on the engine."""

    work: Advance | Callable[[], Any]
    keep: int = 0
    done: "Future[Any]" = field(default_factory=Future)


class Batcher:
    """Runs an engine's calls on one thread, merging forward passes that wait together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._closed = False
        self._submitting = threading.Lock()  # nothing is queued behind the end
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="cuhlm-target", daemon=True)
        self._thread.start()

    def advance(self, sequence: Sequence, keep: int, tokens: tuple[int, ...], rows: int) -> Timed:
        """Drop `sequence` to `keep` tokens, let it read `tokens`, and wait for its last `rows` logit rows.

        Raises:
            ContextOverflow: the tokens do not fit.
        """
        timed: Timed = self._wait(_Job(Advance(sequence, tokens, rows), keep))
        return timed

    def open(self) -> Sequence:
        """A new sequence.

        Raises:
            VerifierBusy: all places are taken.
        """
        sequence: Sequence = self._wait(_Job(self._engine.open))
        return sequence

    def discard(self, sequence: Sequence) -> None:
        """Close `sequence` when the model is free; does not wait."""
        with suppress(LinkError):  # the thread has ended, and frees nothing any more
            self._submit(_Job(sequence.close))

    def close(self) -> None:
        """Finish what waits and end the thread; closing twice is allowed. The engine stays the caller's."""
        with self._submitting:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _wait(self, job: _Job) -> Any:
        self._submit(job)
        return job.done.result()

    def _submit(self, job: _Job) -> None:
        with self._submitting:
            if self._closed:
                raise LinkError("the verifier is shutting down; connect to another or try again later")
            self._jobs.put(job)

    def _run(self) -> None:
        closing = False
        while not closing:
            waiting = [self._jobs.get()]
            while not self._jobs.empty():
                waiting.append(self._jobs.get())
            closing = None in waiting
            self._serve([job for job in waiting if job is not None])

    def _serve(self, waiting: list[_Job]) -> None:
        passes = [job for job in waiting if isinstance(job.work, Advance)]
        if passes:
            self._advance(passes)
        for job in waiting:
            if not isinstance(job.work, Advance):
                _resolve(job, job.work)

    def _advance(self, passes: list[_Job]) -> None:
        """One forward pass for all; each alone where one of them does not fit, so that only that one fails."""
        try:
            for job, timed in zip(passes, self._timed(passes), strict=True):
                job.done.set_result(timed)
        except Exception as error:
            if len(passes) == 1:
                passes[0].done.set_exception(error)
            else:
                for job in passes:
                    self._advance([job])

    def _timed(self, passes: list[_Job]) -> list[Timed]:
        started = time.perf_counter()
        for job in passes:
            assert isinstance(job.work, Advance)
            if job.keep < len(job.work.sequence):
                job.work.sequence.drop(job.keep)
        rows = self._engine.advance([job.work for job in passes if isinstance(job.work, Advance)])
        seconds = time.perf_counter() - started
        if len(rows) != len(passes):
            raise RuntimeError(f"the engine answered {len(rows)} of {len(passes)} sequences that it was to advance")
        return [Timed(logits, seconds) for logits in rows]


def _resolve(job: _Job, call: Callable[[], Any]) -> None:
    try:
        job.done.set_result(call())
    except Exception as error:
        job.done.set_exception(error)
