"""What a device feels while the verifier reads another one's long prompt, and what ends such a reading.

    python benchmarks/long_prompt.py [--tokens 6000] [--seconds 60] [--json]

One device has the target stream its tokens. Meanwhile another opens a session with a long prompt; measured are the gaps
between the first one's tokens before and during the reading. Then the second leaves in the middle of another such
prompt: how long until the first one's tokens come as before. Last, SIGTERM while a prompt is read: how long until the
process has ended. A reading of its own process, one thread, the built-in target.
"""

import argparse
import json
import threading
import time
from contextlib import closing, suppress

import numpy as np
from reporting import machine
from rich.console import Console
from rich.table import Table

from cuhlm.errors import LinkError
from cuhlm.link.base import LinkSession
from cuhlm.link.grpc import GrpcLink, Security
from cuhlm.messages import Block, Opening, Sampling
from cuhlm.verifier.process import VerifierProcess, verifier_process

CONTEXT = 8192
CALM_SECONDS = 3.0


class Stream:
    """A session in which the target writes on and on; notes when each token came."""

    def __init__(self, session: LinkSession, begins_at: int) -> None:
        self.came_at: list[float] = []
        self._session = session
        session.ready()
        session.send(Block(begins_at, (), generate=CONTEXT - begins_at - 1))
        threading.Thread(target=self._note, daemon=True).start()

    def gaps(self, since: float, until: float) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """Seconds between tokens in a stretch of time, the wait that it ends in included."""
        inside = [at for at in self.came_at if since <= at <= until]
        return np.diff(np.array([since, *inside, until]))

    def _note(self) -> None:
        with suppress(LinkError):  # the verifier is ended
            while self._session.receive(None) is not None:
                self.came_at.append(time.perf_counter())


def opening(tokens: int, vocab_size: int) -> Opening:
    prompt = tuple(int(token) for token in np.random.default_rng(0).integers(1000, 40_000, tokens))
    return Opening(prompt, Sampling(), 0, vocab_size)


def milliseconds(gaps: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> dict[str, float]:
    return {"median_ms": float(np.median(gaps)) * 1000, "max_ms": float(gaps.max()) * 1000, "tokens": len(gaps) - 1}


def measure(running: VerifierProcess, tokens: int, seconds: float) -> dict[str, object]:
    security = Security(running.token)
    with (
        closing(GrpcLink(running.address, security=security, deadline_seconds=600)) as near,
        closing(GrpcLink(running.address, security=security, deadline_seconds=600)) as far,
    ):
        vocab_size = near.describe().vocab_size
        stream = Stream(near.open(opening(8, vocab_size)), 8)
        began = time.perf_counter()
        time.sleep(CALM_SECONDS)
        found: dict[str, object] = {"alone": milliseconds(stream.gaps(began, time.perf_counter()))}

        began = time.perf_counter()
        session = far.open(opening(tokens, vocab_size))
        session.ready()
        session.send(Block(tokens, (), generate=1))
        session.receive(seconds)
        found["while it is read"] = milliseconds(stream.gaps(began, time.perf_counter()))
        found["reading_seconds"] = time.perf_counter() - began
        session.close()
        left = time.perf_counter()
        time.sleep(CALM_SECONDS)
        usual = 3 * float(np.median(stream.gaps(left + CALM_SECONDS / 2, time.perf_counter())))
        found["after its device left"] = milliseconds(stream.gaps(left, time.perf_counter()))
        found["usual_again_after_ms"] = 1000 * next(
            (
                at - left
                for at, gap in zip(stream.came_at[1:], np.diff(stream.came_at), strict=True)
                if at > left and gap < usual
            ),
            float("nan"),
        )

        session = far.open(opening(tokens, vocab_size))
        session.ready()
        time.sleep(1)
        began = time.perf_counter()
        running.process.terminate()
        running.process.wait(120)
        found["sigterm_seconds"] = time.perf_counter() - began
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="What a device feels of another one's long prompt.")
    parser.add_argument("--tokens", type=int, default=6000, help="of the long prompt")
    parser.add_argument("--seconds", type=float, default=60, help="that its reading is watched at most")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    with verifier_process("smollm2-135m", sessions=2, context=CONTEXT, threads=1) as running:
        found = measure(running, options.tokens, options.seconds)
    if options.json:
        print(json.dumps({"machine": machine(), **found}, indent=2))
        return
    table = Table(title=f"a device's tokens while another's {options.tokens} are read", caption=str(machine()))
    for heading in ("", "tokens", "median gap", "longest gap"):
        table.add_column(heading, justify="right" if heading else "left")
    for when, gaps in found.items():
        if isinstance(gaps, dict):
            table.add_row(when, f"{gaps['tokens']}", f"{gaps['median_ms']:.0f} ms", f"{gaps['max_ms']:.0f} ms")
    Console(width=120).print(
        table,
        f"read or watched for {found['reading_seconds']:.1f} s; usual again {found['usual_again_after_ms']:.0f} ms "
        f"after its device left; SIGTERM in mid-prompt: {found['sigterm_seconds']:.1f} s",
    )


if __name__ == "__main__":
    main()
