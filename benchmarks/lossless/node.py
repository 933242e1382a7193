"""Verifier and device of the benchmark, each in its end of the link; started by `benchmarks.lossless.sockets`.

    python -m benchmarks.lossless.node verifier --listen ADDRESS:0 …
    python -m benchmarks.lossless.node device --verifier ADDRESS:PORT …

Both replay the recorded answers, with passes as long as the cell says; wire, race and arithmetic are the real ones.
With --live the built-in pair writes them anew, one thread each, in passes padded to that length.
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
from cuhlm.engines.base import Engine
from cuhlm.engines.load import load_engine
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
    with (
        closing(_engine(options, answers)) as engine,
        closing(Verifier(_padded(engine, options), max_sessions=4, token=os.environ["CUHLM_TOKEN"])) as verifier,
    ):
        asyncio.run(_serve(verifier, options.listen))


async def _serve(verifier: Verifier, listen: str) -> None:
    server = Server(verifier, listen)
    await server.start()
    print(f"listening on {listen.rpartition(':')[0]}:{server.port}", flush=True)
    await server.wait()


def generate(options: argparse.Namespace, answers: Sequence[Recorded]) -> None:
    """Every answer with each method in turn, one JSON line each."""
    security = Security(os.environ["CUHLM_TOKEN"], insecure=True)  # within this machine
    with (
        closing(_engine(options, answers)) as engine,
        closing(GrpcLink(options.verifier, security=security, deadline_seconds=60)) as link,
        closing(Device(_padded(engine, options), link)) as device,
    ):
        for index, answer in enumerate(answers):
            prompt = tuple(answer.prompt_tokens) if options.live else replayed_prompt(index, answer)
            request = Request(prompt, SAMPLING, answer.seed, Limits(len(answer.tokens)))
            for name in METHODS if index % 2 else METHODS[::-1]:
                print(json.dumps({"answer": index} | _said(device, request, answer, name)), flush=True)


def _engine(options: argparse.Namespace, answers: Sequence[Recorded]) -> Engine:
    if options.live:
        model = "smollm2-135m" if options.end == "verifier" else "smollm2-draft"
        return load_engine(model, context_length=1024, threads=1)
    return ReplayEngine(answers, "tokens" if options.end == "verifier" else "drafts")


def _padded(engine: Engine, options: argparse.Namespace) -> Engine:
    return PaddedEngine(engine, PassTime(options.alone, options.per_row))


def _said(device: Device, request: Request, answer: Recorded, name: str) -> dict[str, object]:
    settings = Settings(find_method(name))
    decided, records = [], []
    began = time.monotonic()
    for emit in device.generate(settings, request):
        decided.append(time.monotonic() - began)
        records.append(emit.record)
    assert [record.token for record in records] == answer.tokens, "the text is the target's"
    return {
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
    parser.add_argument("--live", action="store_true", help="the built-in pair itself")
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
