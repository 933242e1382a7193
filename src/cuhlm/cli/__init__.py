"""The command line: one file per command, no logic. A `CuhlmError` is one line and exit code 2."""

import os
import signal
import sys
from typing import Annotated

import typer

from cuhlm.cli.calibrate import calibrate
from cuhlm.cli.demo import demo
from cuhlm.cli.describe import describe
from cuhlm.cli.distill import distill
from cuhlm.cli.experiment import experiment
from cuhlm.cli.generate import generate
from cuhlm.cli.plan import plan
from cuhlm.cli.terminal import check_output, streams_watched, visible
from cuhlm.cli.verifier import verifier
from cuhlm.errors import CuhlmError

app = typer.Typer(
    name="cuhlm",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"cuhlm {version('cuhlm')}")
        raise typer.Exit


@app.callback()
def _program(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Decode with a small language model here and a large one behind a bad network."""


for command in (demo, generate, verifier, calibrate, plan, experiment, distill, describe):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its errors are translated; its own log would stand beside them
    signal.signal(signal.SIGTERM, _end)  # so that what was opened is closed, a demo's verifier process above all
    with streams_watched():
        try:
            _run()
        except CuhlmError as error:
            said = " ".join(str(error).splitlines())  # some of it may be the verifier's words
            print(f"cuhlm: {visible(said)}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)


def _run() -> None:
    check_output()
    try:
        app()
    finally:
        sys.stdout.flush()  # while a failure can still be told


def _end(signum: int, _frame: object) -> None:
    sys.exit(128 + signum)
