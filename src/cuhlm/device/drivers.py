"""Drivers of the decoding loop: each carries out its steps in its own world (design 3).

`drive` blocks, `drive_async` keeps an event loop free, `drive_simulated` runs on a virtual clock. They own deadlines
and clocks; the loop decides.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self, TypeVar

from cuhlm.channel.billing import device_seconds
from cuhlm.channel.clock import VirtualClock
from cuhlm.channel.compute import ComputeTable
from cuhlm.device.loop import Loop
from cuhlm.device.steps import Emit, Finish, Receive, Reply, Send, Step
from cuhlm.link.base import LinkSession, Traffic

T = TypeVar("T")


def drive(loop: Loop, session: LinkSession | None) -> Generator[Emit, None, Finish]:
    """Run `loop` over `session`, blocking; yields tokens as they are decided.

    Args:
        loop: of `cuhlm.device.loop`.
        session: None where the method never transmits.

    Raises:
        LinkError: the verifier is lost; what was yielded before stands.
        ProtocolError: the verifier refused a block.
    """
    exchange = _Exchange(session, time.perf_counter)
    reply: Reply | None = None
    while not isinstance(step := _advance(loop, reply), Finish):
        reply = exchange.carry_out(step)
        if isinstance(step, Emit):
            yield step
    return step


async def drive_async(loop: Loop, session: LinkSession | None, worker: "Worker") -> AsyncGenerator[Emit | Finish, None]:
    """Run `loop` over `session` without blocking the event loop; the last item is the `Finish`.

    The engine blocks, so the loop is advanced by the generation's `worker`, which also waits for verdicts.

    Raises:
        LinkError, ProtocolError: as `drive`.
    """
    exchange = _Exchange(session, time.perf_counter)
    give_up = session.close if session else None
    reply: Reply | None = None
    while not isinstance(step := await worker.run(_advance, loop, reply), Finish):
        reply = await worker.run(exchange.carry_out, step, give_up=give_up)
        if isinstance(step, Emit):
            yield step
    yield step


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
    exchange = _Exchange(session, lambda: clock.now)
    reply: Reply | None = None
    while not isinstance(step := _advance(loop, reply), Finish):
        if isinstance(step, Send):
            clock.advance(device_seconds(step.stages, step.draft_passes, compute))
        elif isinstance(step, Emit) and not step.record.transmitted:
            clock.advance(device_seconds(step.record.stages, step.record.draft_passes, compute))
        reply = exchange.carry_out(step)
        if isinstance(step, Emit):
            yield step
    return step


class _Exchange:
    """Carries out `Send` and `Receive`, and measures what they cost."""

    def __init__(self, session: LinkSession | None, clock: Callable[[], float]) -> None:
        self._session = session
        self._clock = clock
        self._since = clock()
        self._traffic = session.traffic() if session else None

    def carry_out(self, step: Step) -> Reply | None:
        """The reply to a `Receive`; None to anything else."""
        if isinstance(step, Emit):
            return None
        assert self._session is not None, "a method that transmits is driven over a session"
        if isinstance(step, Send):
            self._since = self._clock()
            self._session.send(step.block)
            return None
        return self._receive(self._session, step)

    def _receive(self, session: LinkSession, step: Receive) -> Reply | None:
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


def _advance(loop: Loop, reply: Reply | None) -> Step | Finish:
    """Resume `loop`; its next step, or its result."""
    try:
        return loop.send(reply)
    except StopIteration as end:
        finish: Finish = end.value
        return finish


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
