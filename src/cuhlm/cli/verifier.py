"""`cuhlm verifier`: serve a target model."""

from pathlib import Path
from typing import Annotated

import typer

from cuhlm.cli import options


def verifier(
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="Target model: a GGUF file, hf:…, or a name.")],
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Port 0 takes a free one.")] = (
        "127.0.0.1:50051"
    ),
    token: options.Token = None,
    sessions: Annotated[int, typer.Option("--sessions", min=1, help="Devices served at once.")] = 4,
    idle: Annotated[
        float, typer.Option("--idle", min=1, help="A device silent for so long loses its place, seconds.")
    ] = 300.0,
    until_eof: Annotated[
        bool, typer.Option("--until-eof", help="Stop also when standard input ends: with the program that started it.")
    ] = False,
    context: options.Context = None,
    threads: options.Threads = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", metavar="PEM", help="Certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="Its private key.")] = None,
) -> None:
    """Serve a target model to devices, until interrupted.

    Example: `cuhlm verifier --model smollm2-135m --listen 127.0.0.1:50051`
    """
    import logging
    from functools import partial

    from cuhlm.errors import ConfigurationError
    from cuhlm.verifier.server import Certificate
    from cuhlm.verifier.serving import serve

    if (tls_cert is None) != (tls_key is None):
        raise ConfigurationError("one of --tls-cert and --tls-key is missing; expected both or neither")
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")  # on standard error
    certificate = Certificate(tls_cert, tls_key) if tls_cert and tls_key else None
    serve(
        model,
        listen,
        token=token,
        sessions=sessions,
        context=context,
        threads=threads,
        certificate=certificate,
        idle_seconds=idle,
        until_eof=until_eof,
        announce=partial(print, flush=True),
    )
