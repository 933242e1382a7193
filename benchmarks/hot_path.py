"""What each stage of a token costs beside the two forward passes, on the built-in pair over loopback gRPC.

    python benchmarks/hot_path.py [--tokens 48] [--rounds 4] [--json]

Every token is transmitted (u_th = −1), so that each pays for every stage of its method; a skipped token pays for
draft, sample and gate only. Methods are interleaved: each round decodes the same prompt with every one of them, at
T = 1, the model's own distribution. Draft and verifier have one thread each. The stage times are those of the trace.
A second table says what the keyed race costs, with which the target draws alone (`race.py`).
"""

import argparse
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import race
from reporting import machine, summary
from rich.console import Console
from rich.table import Table

from cuhlm.data import DRAFT_PROFILE
from cuhlm.device.device import Device, Request, collect
from cuhlm.device.ending import Limits
from cuhlm.engines.load import load_engine
from cuhlm.engines.prompting import encode_prompt
from cuhlm.link.grpc import GrpcLink, Security
from cuhlm.messages import Sampling
from cuhlm.methods import METHODS
from cuhlm.profiles import load_profile
from cuhlm.records import TokenRecord
from cuhlm.settings import Settings, settings_for
from cuhlm.verifier.process import verifier_process

RACE_ROUNDS = 60
COMPARED = ("hlm", "u-hlm", "cu-hlm-offline", "cu-hlm", "route")
PROMPT = "Write a short story about a robot that learns to paint."

STAGES: dict[str, Callable[[TokenRecord], float]] = {
    "draft pass": lambda record: record.stages.draft,
    "sample": lambda record: record.stages.sample,
    "gate": lambda record: record.stages.gate,
    "truncate": lambda record: record.stages.truncate,
    "encode": lambda record: record.stages.encode,
    "target pass": lambda record: record.stages.target,
    "decode and verify": lambda record: record.stages.verify,
    "link": lambda record: record.stages.link - record.stages.target - record.stages.verify,
    "device arithmetic": lambda record: record.stages.arithmetic,
}
TRAFFIC: dict[str, Callable[[TokenRecord], float]] = {
    "bytes up": lambda record: counted(record.wire_bytes_up),
    "bytes down": lambda record: counted(record.wire_bytes_down),
}


def counted(count: int | None) -> float:
    return float("nan") if count is None else count


def always_asking() -> dict[str, Settings]:
    """Each method's settings, with a threshold that no u lies below: every token is transmitted."""
    profile = load_profile(DRAFT_PROFILE)
    return {name: replace(settings_for(METHODS[name], profile), threshold=-1.0) for name in COMPARED}


def measure(tokens: int, rounds: int) -> dict[str, list[TokenRecord]]:
    """Records by method, without each answer's first, whose wait includes the reading of the prompt."""
    records: dict[str, list[TokenRecord]] = {name: [] for name in COMPARED}
    with (
        verifier_process("smollm2-135m", threads=1) as verifier,
        closing(load_engine("smollm2-draft", threads=1)) as draft,
        closing(GrpcLink(verifier.address, security=Security(verifier.token))) as link,
    ):
        device = Device(draft, link)
        prompt = encode_prompt(draft.tokenizer, draft.card.chat, PROMPT)
        for seed in range(rounds):
            for name, settings in always_asking().items():
                answer = collect(device.generate(settings, Request(prompt, Sampling(), seed, Limits(tokens))))
                records[name] += answer.records[1:]
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of each stage of a token, by method.")
    parser.add_argument("--tokens", type=int, default=48, help="per answer")
    parser.add_argument("--rounds", type=int, default=4, help="answers per method")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    records = measure(options.tokens, options.rounds)
    times = {
        name: {stage: summary([1e6 * cost(record) for record in of]) for stage, cost in STAGES.items()}
        for name, of in records.items()
    }
    traffic = {
        name: {what: summary([count(record) for record in of])["median_us"] for what, count in TRAFFIC.items()}
        for name, of in records.items()
    }
    if options.json:
        said = {"machine": machine(), "microseconds": times, "bytes_per_token": traffic}
        print(json.dumps(said | race.measure(RACE_ROUNDS), indent=2))
        return
    table = Table(title="µs per transmitted token, median (quartiles)", caption=str(machine()))
    table.add_column("stage")
    for name, of in records.items():
        table.add_column(f"{name}, n = {len(of)}", justify="right")
    for stage in STAGES:
        cells = [times[name][stage] for name in records]
        table.add_row(
            stage,
            *(f"{c['median_us']:.0f} ({c['quartile_us']:.0f} … {c['upper_quartile_us']:.0f})" for c in cells),
            end_section=stage == "link",
        )
    shares = [
        times[name]["device arithmetic"]["median_us"] / times[name]["draft pass"]["median_us"] for name in records
    ]
    table.add_row("beside the draft pass", *(f"{share:.1%}" for share in shares), end_section=True)
    for what in TRAFFIC:
        table.add_row(what, *(f"{traffic[name][what]:.0f}" for name in records))
    Console(width=150).print(table, *race.tables(race.measure(RACE_ROUNDS)), sep="\n")


if __name__ == "__main__":
    main()
