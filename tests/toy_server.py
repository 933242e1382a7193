"""A gRPC server for the toy target, in this process, on a port of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.eventually import HANG_SECONDS

from cuhlm.testing import ToyEngine
from cuhlm.verifier.host import Verifier
from cuhlm.verifier.server import Certificate, Server


@contextmanager
def serving(
    engine: ToyEngine,
    *,
    sessions: int = 4,
    token: str | None = None,
    certificate: Certificate | None = None,
    idle_seconds: float = 60,
    port: int = 0,
) -> Iterator[str]:
    """Serve `engine`; yields the address."""
    ready, address = threading.Event(), []
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve(verifier: Verifier) -> None:
        server = Server(verifier, f"127.0.0.1:{port}", certificate=certificate, idle_seconds=idle_seconds)
        await server.start()
        stop = asyncio.Event()
        address.append(f"127.0.0.1:{server.port}")
        loops.append((asyncio.get_running_loop(), stop))
        ready.set()
        await stop.wait()
        await server.stop(grace_seconds=1)

    with closing(Verifier(engine, max_sessions=sessions, token=token)) as verifier:
        thread = threading.Thread(target=asyncio.run, args=(serve(verifier),))
        thread.start()
        assert ready.wait(HANG_SECONDS)
        try:
            yield address[0]
        finally:
            loop, stop = loops[0]
            loop.call_soon_threadsafe(stop.set)
            thread.join()
