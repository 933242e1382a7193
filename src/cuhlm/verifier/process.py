"""A verifier in a process of its own, for as long as it is needed."""

import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from cuhlm.errors import LinkError

_ANNOUNCED = re.compile(r"listening on (\S+:\d+)")


@dataclass(frozen=True, slots=True)
class VerifierProcess:
    """Where it listens, the token it asks for, and the process itself."""

    address: str
    token: str
    process: "subprocess.Popen[str]"


@contextmanager
def verifier_process(
    model: str, *, sessions: int = 1, context: int = 2048, threads: int | None = None
) -> Generator[VerifierProcess, None, None]:
    """`cuhlm verifier` for `model` on a free loopback port, with a token made for it; ended afterwards.

    Raises:
        LinkError: it ended before it listened; its own words are in the message.
    """
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "cuhlm", "verifier", "--model", model, "--listen", "127.0.0.1:0"]
    command += ["--sessions", str(sessions), "--context", str(context), "--until-eof"]
    command += [] if threads is None else ["--threads", str(threads)]
    environment = {**os.environ, "CUHLM_TOKEN": token}
    with (
        tempfile.TemporaryFile("w+") as said,  # a pipe that nobody empties would stop it one day
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        try:
            announced = _ANNOUNCED.search(process.stdout.readline())
            if announced is None:
                process.wait()
                said.seek(0)
                raise LinkError(f"the verifier process did not start: {said.read().strip() or 'it ended silently'}")
            yield VerifierProcess(announced[1], token, process)
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
