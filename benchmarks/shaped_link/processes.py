"""The verifier and the device as processes in their ends of the link; ended whatever happens."""

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.shaped_link.namespaces import End

from cuhlm.errors import LinkError

_ROOT = Path(__file__).parents[2]
_ANNOUNCED = re.compile(r"listening on (\S+:\d+)")


@dataclass(frozen=True, slots=True)
class RunningVerifier:
    """Where it listens, and the access token it asks for."""

    address: str
    token: str


@contextmanager
def verifier_in(end: End, command: list[str] | None = None) -> Generator[RunningVerifier, None, None]:
    """A verifier that `command` starts: by default `cuhlm verifier` for the built-in target, on one thread.

    Raises:
        LinkError: it ended before it listened; its own words are in the message.
    """
    token = secrets.token_hex(16)
    if command is None:
        command = [sys.executable, "-m", "cuhlm", "verifier", "--model", "smollm2-135m", "--listen", f"{end.address}:0"]
        command += ["--sessions", "1", "--context", "512", "--threads", "1"]
    with _running(end.command(*command), token) as process:
        announced = _ANNOUNCED.search(_lines(process.stdout).readline())
        if announced is None:
            raise LinkError(f"the verifier did not start: {_lines(process.stderr).read().strip()}")
        yield RunningVerifier(announced[1], token)


@contextmanager
def device_in(end: End, verifier: RunningVerifier, command: list[str]) -> Generator[Iterator[str], None, None]:
    """A device that `command` starts; yields the lines that it prints.

    Raises:
        LinkError: it failed; its own words are in the message.
    """
    with _running(end.command(*command), verifier.token) as process:
        yield iter(_lines(process.stdout))
        if process.wait() != 0:
            said = _lines(process.stderr).read().strip() or "it ended silently"
            raise LinkError(f"the device failed: {said.splitlines()[-1]}")  # the last line of a traceback says what


@contextmanager
def _running(command: list[str], token: str) -> Generator["subprocess.Popen[str]", None, None]:
    """A session of its own: Ctrl-C reaches us alone, and we end it."""
    environment = {**os.environ, "CUHLM_TOKEN": token}
    with subprocess.Popen(
        command,
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()


def _lines(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
