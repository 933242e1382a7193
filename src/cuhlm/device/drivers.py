"""Drivers of the decoding loop: each carries out its steps in its own world (design 3).

`drive` blocks, `drive_async` keeps an event loop free, `drive_simulated` runs on a virtual clock. They own deadlines
and clocks; the loop decides.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, Self, TypeVar

from cuhlm.channel.billing import device_seconds
from cuhlm.channel.clock import VirtualClock
from cuhlm.channel.compute import ComputeTable
from cuhlm.device.loop import Loop
from cuhlm.device.steps import Drafted, Emit, Finish, Reading, Receive, Reopen, Reply, Send, Step, Stream
from cuhlm.errors import LinkError
from cuhlm.link.base import LinkSession, Traffic
from cuhlm.link.lasting import LastingSession

T = TypeVar("T")


Listener = Callable[[Drafted | Reading], None]
"""Is told of what is not decided yet, in the generation's own thread: drafts, and how far the prompt is read."""


def not_heard(_news: Drafted | Reading) -> None:
    """A listener who wants to know nothing."""


def drive(loop: Loop, session: LinkSession | None, listener: Listener = not_heard) -> Generator[Emit, None, Finish]:
    """Run `loop` over `session`, blocking; yields tokens as they are decided.

    Args:
        loop: of `cuhlm.device.loop` or `cuhlm.device.streaming`.
        session: None where the method never transmits.
        listener: is told of drafts.

    Raises:
        LinkError: the verifier is lost; what was yielded before stands.
        ProtocolError: the verifier refused a block.
    """
    exchange = _Exchange(loop, session, time.perf_counter, listener=listener)
    while isinstance(item := exchange.next(), Emit):
        yield item
    return item


async def drive_async(
    loop: Loop,
    session: LinkSession | None,
    worker: "Worker",
    *,
    give_up: Callable[[], None],
    listener: Listener = not_heard,
) -> AsyncGenerator[Emit | Finish, None]:
    """Run `loop` over `session` without blocking the event loop; the last item is the `Finish`.

    Engine and link block, so the loop and its steps run in the generation's `worker`: one visit there for each token.

    Args:
        loop: of `cuhlm.device.loop`.
        session: None where the method never transmits.
        worker: of this generation.
        give_up: ends what the worker waits for, where the caller is cancelled.
        listener: is told of drafts.

    Raises:
        LinkError, ProtocolError: as `drive`.
    """
    exchange = _Exchange(loop, session, time.perf_counter, listener=listener)
    item: Emit | Finish | None = None
    while not isinstance(item, Finish):
        item = await worker.run(exchange.next, give_up=give_up)
        yield item


def drive_simulated(
    loop: Loop, session: LinkSession | None, clock: VirtualClock, compute: ComputeTable
) -> Generator[Emit, None, Finish]:
    """Run `loop` over a `SimulatedSession` on the virtual `clock`, which device compute and the link advance.

    To look for a verdict takes no time: a loop that did nothing else would look for ever.

    Args:
        loop: of `cuhlm.device.loop`.
        session: simulated, on the same clock; None where the method never transmits.
        clock: virtual seconds.
        compute: what device compute costs.
    """

    def spend(step: Step) -> None:
        if isinstance(step, Send):
            clock.advance(device_seconds(step.stages, step.draft_passes, compute))
        elif isinstance(step, Emit) and not step.record.transmitted:
            clock.advance(device_seconds(step.record.stages, step.record.draft_passes, compute))

    exchange = _Exchange(loop, session, lambda: clock.now, spend)
    while isinstance(item := exchange.next(), Emit):
        yield item
    return item


class _Exchange:
    """Runs a loop from token to token: carries out what it asks of the link, and measures what that costs."""

    def __init__(
        self,
        loop: Loop,
        session: LinkSession | None,
        clock: Callable[[], float],
        spend: Callable[[Step], None] = lambda _: None,
        *,
        listener: Listener = not_heard,
    ) -> None:
        self._loop = loop
        self._session = session
        self._clock = clock
        self._spend = spend  # is told of every step before it is carried out
        self._listener = listener
        self._awaited: Future[Any] | None = None
        self._since = clock()
        self._traffic = session.traffic() if session else None

    def next(self) -> Emit | Finish:
        """The next token that is decided, or the end."""
        resume = partial(self._loop.send, None)
        while True:
            try:
                step = resume()
            except StopIteration as end:
                finish: Finish = end.value
                return finish
            self._spend(step)
            if isinstance(step, Emit):
                return step
            try:
                resume = partial(self._loop.send, self._carried_out(step))
            except LinkError as error:  # a loop may know what to do without a verifier
                resume = partial(self._loop.throw, error)

    def _carried_out(self, step: Send | Stream | Receive | Reopen | Drafted) -> Reply | None:
        """The reply to a `Receive`; None to all else."""
        assert self._session is not None, "a method that transmits is driven over a session"
        match step:
            case Send(block):
                self._since = self._clock()
                self._session.send(block)
            case Stream(chunk):
                self._session.offer(chunk)
            case Drafted():
                self._listener(step)
            case Receive():
                return self._receive(self._session, step)
            case Reopen():
                self._reopen(self._session, step)
        return None

    def _reopen(self, session: LinkSession, step: Reopen) -> None:
        assert isinstance(session, LastingSession), "a method that goes on alone is driven over a lasting session"
        if step.until is not None:
            wait((step.until,))
        step.has_succeeded = session.reopened(step.prompt)
        if step.has_succeeded:
            self._traffic, self._awaited = session.traffic(), None

    def _receive(self, session: LinkSession, step: Receive) -> Reply | None:
        if step.until is not None and step.until is not self._awaited:
            self._awaited = step.until
            step.until.add_done_callback(lambda _: session.wake())  # also where it is done already
        verdict = session.receive(None if step.wait else 0.0)
        if verdict is None:
            return None
        now, traffic = self._clock(), session.traffic()
        up, down = _between(self._traffic, traffic)
        reply = Reply(verdict, now - self._since, up, down)
        self._since, self._traffic = now, traffic
        return reply


def _between(before: Traffic | None, after: Traffic | None) -> tuple[int, int] | tuple[None, None]:
    """Bytes up and down meanwhile; None for both where they were not counted."""
    if before is None or after is None:
        return None, None
    return after.up - before.up, after.down - before.down


class Worker:
    """The thread of one generation. Its own: asyncio's are few, and silent verifiers could hold them all."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cuhlm-generation")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=False)

    async def run(self, call: Callable[..., T], *arguments: object, give_up: Callable[[], None] | None = None) -> T:
        """`call` in the thread.

        A caller that is cancelled, however often, waits for the call's end: the models it uses must not be freed yet.

        Args:
            call: what blocks.
            arguments: of `call`.
            give_up: shortens the wait of a cancelled caller.
        """
        running = asyncio.get_running_loop().run_in_executor(self._thread, partial(call, *arguments))
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
                if give_up is not None:
                    give_up()
        if cancelled is not None:
            running.exception()  # looked at, or asyncio would complain that nobody did
            raise cancelled
        return running.result()
