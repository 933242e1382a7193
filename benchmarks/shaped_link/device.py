"""The device of the benchmark, in its namespace: decodes with every method in turn, one JSON line per answer."""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cuhlm.data import DRAFT_PROFILE
from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.engines.load import load_engine
from cuhlm.link.grpc import GrpcLink, Security
from cuhlm.messages import Sampling
from cuhlm.methods import find_method
from cuhlm.pair import Reach, open_device
from cuhlm.profiles import load_profile
from cuhlm.records import TokenRecord, trace_file
from cuhlm.settings import Settings, settings_for

METHODS = ("lossless", "local", "remote", "hlm", "u-hlm", "cu-hlm-offline", "cu-hlm", "route")
PROMPT = "Write a short story about a robot that learns to paint."
# Not a rule: the built-in pair's two lie outside [0, 1], so that one never skips and the other always does.
THRESHOLD = 0.5
DEADLINE_SECONDS = 300.0
CONTEXT = 512
MOST_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Budget:
    """How much each method may decode.

    Attributes:
        rounds: answers at most, with as many seeds; methods take turns.
        seconds: per answer, after which it is cut short.
        tokens: per answer at most.
        fewest: tokens per answer, however long they take.
    """

    rounds: int
    seconds: float
    tokens: int = MOST_TOKENS
    fewest: int = 3


def answer(device: Device, settings: Settings, seed: int, budget: Budget) -> tuple[list[TokenRecord], list[float]]:
    """The records of an answer, and when each token was decided, on `time.monotonic`."""
    records: list[TokenRecord] = []
    decided: list[float] = []
    began = time.monotonic()
    with closing(device.generate(settings, _request(device, seed, budget.tokens))) as generation:
        for emit in generation:
            records.append(emit.record)
            decided.append(time.monotonic())
            if decided[-1] - began > budget.seconds and len(records) >= budget.fewest:
                break
    return records, decided


def path(seed: int, tokens: int) -> list[TokenRecord]:
    """The records of the target's own answer, which has the draft at every position; made here, over no link."""
    with open_device("smollm2-draft", Reach(target="smollm2-135m"), context=CONTEXT) as device:
        settings = Settings(find_method("lossless"))
        return [emit.record for emit in device.generate_path(settings, _request(device, seed, tokens))]


def _request(device: Device, seed: int, tokens: int) -> Request:
    return Request(device.prompt(PROMPT), Sampling(), seed, Limits(tokens))


def answers(
    device: Device, methods: Sequence[str], budget: Budget
) -> Iterator[tuple[str, int, list[TokenRecord], list[float]]]:
    """Every method's answers and their seeds, methods interleaved. A method out of seconds begins none again."""
    profile = load_profile(DRAFT_PROFILE)
    left = dict.fromkeys(methods, budget.rounds * budget.seconds)
    for seed in range(budget.rounds):
        for name in methods:
            if left[name] > 0:
                began = time.monotonic()
                settings = settings_for(find_method(name), profile, threshold=THRESHOLD)
                yield name, seed, *answer(device, settings, seed, budget)
                left[name] -= time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="Decode with every method; started by the benchmark.")
    parser.add_argument("--verifier", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for the traces")
    parser.add_argument("--method", action="append", required=True, help="once per method")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    security = Security(os.environ["CUHLM_TOKEN"], insecure=True)  # within this machine
    with (
        closing(load_engine("smollm2-draft", context_length=CONTEXT, threads=1)) as draft,
        closing(GrpcLink(options.verifier, security=security, deadline_seconds=DEADLINE_SECONDS)) as link,
    ):
        device = Device(draft, link)
        budget = Budget(options.rounds, options.seconds)
        for number, (method, seed, records, decided) in enumerate(answers(device, options.method, budget)):
            trace = options.folder / f"{number}-{method}.jsonl"
            with trace_file(trace) as add:
                for record in records:
                    add(record)
            print(json.dumps({"method": method, "seed": seed, "trace": str(trace), "decided_at": decided}), flush=True)


if __name__ == "__main__":
    main()
