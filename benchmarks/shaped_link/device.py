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
from cuhlm.measuring.prompts import encode_prompt
from cuhlm.messages import Sampling
from cuhlm.methods import find_method
from cuhlm.profiles import load_profile
from cuhlm.records import TokenRecord, trace_file
from cuhlm.settings import Settings, settings_for

METHODS = ("local", "remote", "hlm", "u-hlm", "cu-hlm-offline", "cu-hlm", "route")
PROMPT = "Write a short story about a robot that learns to paint."
# Not a rule: the built-in pair's two lie outside [0, 1], so that one never skips and the other always does.
THRESHOLD = 0.5
DEADLINE_SECONDS = 300.0


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
    tokens: int = 64
    fewest: int = 3


def answer(device: Device, settings: Settings, seed: int, budget: Budget) -> tuple[list[TokenRecord], list[float]]:
    """The records of an answer, and when each token was decided, on `time.monotonic`."""
    prompt = encode_prompt(device.draft.tokenizer, PROMPT)
    records: list[TokenRecord] = []
    decided: list[float] = []
    began = time.monotonic()
    request = Request(prompt, Sampling(), seed, Limits(budget.tokens))
    with closing(device.generate(settings, request)) as generation:
        for emit in generation:
            records.append(emit.record)
            decided.append(time.monotonic())
            if decided[-1] - began > budget.seconds and len(records) >= budget.fewest:
                break
    return records, decided


def answers(
    device: Device, methods: Sequence[str], budget: Budget
) -> Iterator[tuple[str, list[TokenRecord], list[float]]]:
    """Every method's answers, methods interleaved. A method that has used all its seconds begins no further round."""
    profile = load_profile(DRAFT_PROFILE)
    left = dict.fromkeys(methods, budget.rounds * budget.seconds)
    for seed in range(budget.rounds):
        for name in methods:
            if left[name] > 0:
                began = time.monotonic()
                settings = settings_for(find_method(name), profile, threshold=THRESHOLD)
                yield name, *answer(device, settings, seed, budget)
                left[name] -= time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="Decode with every method; started by the benchmark.")
    parser.add_argument("--verifier", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for the traces")
    parser.add_argument("--method", action="append", required=True, help="once per method")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    security = Security(os.environ["CUHLM_TOKEN"])
    with (
        closing(load_engine("smollm2-draft", context_length=512, threads=1)) as draft,
        closing(GrpcLink(options.verifier, security=security, deadline_seconds=DEADLINE_SECONDS)) as link,
    ):
        device = Device(draft, link)
        budget = Budget(options.rounds, options.seconds)
        for number, (method, records, decided) in enumerate(answers(device, options.method, budget)):
            trace = options.folder / f"{number}-{method}.jsonl"
            with trace_file(trace) as add:
                for record in records:
                    add(record)
            print(json.dumps({"method": method, "trace": str(trace), "decided_at": decided}), flush=True)


if __name__ == "__main__":
    main()
