"""A verifier from a model reference to its end: load, serve, stop on a signal."""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable

from cuhlm.engines.load import load_engine
from cuhlm.verifier.host import Verifier
from cuhlm.verifier.server import Certificate, Server, check_exposure
from cuhlm.wire.addresses import host_and_port, is_loopback

_log = logging.getLogger(__name__)


def serve(
    model: str,
    listen: str,
    *,
    token: str | None,
    sessions: int,
    context: int | None,
    threads: int | None,
    certificate: Certificate | None,
    idle_seconds: float,
    until_eof: bool,
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
        idle_seconds: a device that says nothing for so long loses its place.
        until_eof: stop also when standard input ends, as it does when the program that started this one is gone.
        announce: is told, in one line, when devices can come.

    Raises:
        ModelError: the model cannot be loaded.
        ConfigurationError: the address cannot be served.
    """
    check_exposure(listen, has_token=token is not None)  # before the model takes its time
    with (
        load_engine(model, context_length=context, sequences=sessions, threads=threads) as engine,
        Verifier(engine, max_sessions=sessions, token=token) as verifier,
    ):
        asyncio.run(_serve(verifier, listen, certificate, idle_seconds, until_eof, announce))


async def _serve(
    verifier: Verifier,
    listen: str,
    certificate: Certificate | None,
    idle_seconds: float,
    until_eof: bool,
    announce: Callable[[str], None],
) -> None:
    stop = _stop_on_signal()
    if until_eof:
        threading.Thread(target=_await_eof, args=(asyncio.get_running_loop(), stop), daemon=True).start()
    server = Server(verifier, listen, certificate=certificate, idle_seconds=idle_seconds)
    await server.start()
    try:
        host = listen.rpartition(":")[0]
        exact = "exact to the bit" if verifier.card.batch_invariant else "exact in law"
        devices = verifier.card.max_sessions
        if certificate is None and not is_loopback(host_and_port(listen, lowest_port=0)[0]):
            _log.warning("without --tls-cert and --tls-key all that is said here, the token too, goes in clear")
        announce(f"{verifier.card.name}: listening on {host}:{server.port} for {devices} devices ({exact})")
        await stop.wait()
    finally:
        await server.stop()


def _await_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop has ended on its own
        loop.call_soon_threadsafe(stop.set)


def _stop_on_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # not on Windows' event loops
            loop.add_signal_handler(name, stop.set)
    return stop
