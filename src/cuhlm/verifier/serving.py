"""A verifier from a model reference to its end: load, serve, stop on a signal."""

import asyncio
import contextlib
import signal
from collections.abc import Callable

from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.locate import locate
from cuhlm.verifier.host import Verifier
from cuhlm.verifier.server import Certificate, Server


async def serve(
    model: str,
    listen: str,
    token: str | None,
    sessions: int,
    context: int | None,
    threads: int | None,
    certificate: Certificate | None,
    announce: Callable[[str], None],
) -> None:
    """Serve `model` at `listen` until SIGINT or SIGTERM.

    Args:
        model: a reference that `locate` understands.
        listen: HOST:PORT; port 0 takes a free one.
        token: what devices must present; None admits everyone, on loopback only.
        sessions: devices served at once.
        context: tokens one sequence can hold; None takes the engine's default.
        threads: of the model; None takes all cores.
        certificate: for TLS.
        announce: is told, in one line, when devices can come.

    Raises:
        ModelError: the model cannot be loaded.
        ConfigurationError: the address cannot be served.
    """
    engine = LlamaCppEngine.load(locate(model), context_length=context, sequences=sessions, threads=threads)
    verifier = Verifier(engine, max_sessions=sessions, token=token)
    try:
        server = Server(verifier, listen, certificate=certificate)
        await server.start()
        host = listen.rpartition(":")[0]
        exact = "exact to the bit" if verifier.card.batch_invariant else "exact in law"
        announce(f"{verifier.card.name}: listening on {host}:{server.port} for {sessions} devices ({exact})")
        await _until_signalled()
        await server.stop()
    finally:
        verifier.close()
        engine.close()


async def _until_signalled() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # not on Windows' event loops
            loop.add_signal_handler(name, stop.set)
    await stop.wait()
