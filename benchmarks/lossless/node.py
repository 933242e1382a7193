"""Verifier and device of the benchmark, each in its end of the link; started by `benchmarks.lossless.sockets`.

    python -m benchmarks.lossless.node verifier --listen ADDRESS:0 …
    python -m benchmarks.lossless.node device --verifier ADDRESS:PORT …

Both replay the recorded answers, with passes as long as the cell says; wire, race and arithmetic are the real ones.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
from benchmarks.lossless.recorded import Recorded, recorded
from benchmarks.lossless.replay_engine import ReplayEngine, replayed_prompt

from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.link.grpc import GrpcLink, Security
from cuhlm.messages import Sampling
from cuhlm.methods import find_method
from cuhlm.settings import Settings
from cuhlm.testing import PaddedEngine
from cuhlm.theory.pacing import PassTime
from cuhlm.verifier.host import Verifier
from cuhlm.verifier.server import Server

SAMPLING = Sampling(0.7)
METHODS = ("remote", "lossless")


def serve(options: argparse.Namespace, answers: Sequence[Recorded]) -> None:
    """The target, until it is ended."""
    padded = PaddedEngine(ReplayEngine(answers, "tokens"), PassTime(options.alone, options.per_row))
    with closing(Verifier(padded, max_sessions=4, token=os.environ["CUHLM_TOKEN"])) as verifier:
        asyncio.run(_serve(verifier, options.listen))


async def _serve(verifier: Verifier, listen: str) -> None:
    server = Server(verifier, listen)
    await server.start()
    print(f"listening on {listen.rpartition(':')[0]}:{server.port}", flush=True)
    await server.wait()


def generate(options: argparse.Namespace, answers: Sequence[Recorded]) -> None:
    """Every answer with each method in turn, one JSON line each."""
    padded = PaddedEngine(ReplayEngine(answers, "drafts"), PassTime(options.alone, options.per_row))
    security = Security(os.environ["CUHLM_TOKEN"])
    with (
        closing(GrpcLink(options.verifier, security=security, deadline_seconds=60)) as link,
        closing(Device(padded, link)) as device,
    ):
        for index, answer in enumerate(answers):
            for name in METHODS if index % 2 else METHODS[::-1]:
                print(json.dumps(_said(device, index, answer, name)), flush=True)


def _said(device: Device, index: int, answer: Recorded, name: str) -> dict[str, object]:
    request = Request(replayed_prompt(index, answer), SAMPLING, answer.seed, Limits(len(answer.tokens)))
    settings = Settings(find_method(name))
    decided, records = [], []
    began = time.monotonic()
    for emit in device.generate(settings, request):
        decided.append(time.monotonic() - began)
        records.append(emit.record)
    assert [record.token for record in records] == answer.tokens, "the text is the target's"
    return {
        "answer": index,
        "method": name,
        "delivered_at": decided,
        "records": [msgspec.to_builtins(record) for record in records],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="One end of the benchmark.")
    parser.add_argument("end", choices=("verifier", "device"))
    parser.add_argument("--recorded", type=Path, required=True)
    parser.add_argument("--answers", type=int, required=True)
    parser.add_argument("--alone", type=float, required=True, help="seconds of a pass over one token")
    parser.add_argument("--per-row", type=float, required=True, help="seconds that each further one adds")
    parser.add_argument("--listen")
    parser.add_argument("--verifier")
    options = parser.parse_args()
    answers = chosen(options.recorded, options.answers)
    (serve if options.end == "verifier" else generate)(options, answers)


def chosen(path: Path, count: int) -> list[Recorded]:
    """`count` answers at T = 0.7, spread evenly over the file."""
    all_ = [each for each in recorded(path) if each.temperature == SAMPLING.temperature]
    return [all_[index * len(all_) // count] for index in range(min(count, len(all_)))]


if __name__ == "__main__":
    main()
