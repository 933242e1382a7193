"""On one machine, without a network: `lossless` beside llama.cpp's own decoding and its own speculative decoding.

    python -m benchmarks.lossless.beside_llama_cpp DRAFT TARGET PROMPTS.jsonl [--limit 6] [--tokens 96] [--json]

Both models share the machine's cores. Ways take turns, prompt by prompt, with as many threads each. Tokens a second
are those after the first: llama.cpp's by its own count (`predicted_ms`), ours from the first token to the last.
"""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import xllamacpp
from benchmarks.reporting import machine
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.engines.cores import usable_cores
from cuhlm.engines.locate import locate
from cuhlm.measuring.prompts import read_prompts
from cuhlm.messages import Sampling
from cuhlm.methods import find_method
from cuhlm.pair import Reach, open_device
from cuhlm.settings import Settings

TEMPERATURES = (0.0, 0.7)
CONTEXT = 2048
DRAFTS = 8
"""Tokens that llama.cpp drafts before it asks the target, at most; its default is 3."""

Way = Callable[[tuple[int, ...], float, int, int], "Spent"]
"""Answers a prompt, at a temperature, with a seed and so many tokens at most."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens after the first, seconds that they took, drafts that were judged and that stood."""

    tokens: int
    seconds: float
    judged: int
    stood: int


def ours(device: Device, settings: Settings) -> Way:
    """A method of cuhlm."""

    def answer(prompt: tuple[int, ...], temperature: float, seed: int, tokens: int) -> Spent:
        at, records = [], []
        for emit in device.generate(settings, Request(prompt, Sampling(temperature), seed, Limits(tokens))):
            at.append(time.perf_counter())
            records.append(emit.record)
        passes = sum(record.target_passes for record in records)
        judged = sum(record.target_rows for record in records) - passes
        return Spent(len(at) - 1, at[-1] - at[0], judged, len(at) - passes)

    return answer


def llama_cpp(target: str, draft: str | None, threads: int) -> Way:
    """llama.cpp's server, in this process, with its own speculation where there is a draft."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(locate(target))
    parameters.n_ctx, parameters.n_parallel = CONTEXT, 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.verbosity = -1
    parameters.port = 0
    if draft is not None:
        speculative = parameters.speculative
        speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
        speculative.draft.mparams.path = str(locate(draft))
        speculative.draft.n_max = DRAFTS
        speculative.draft.cpuparams.n_threads = speculative.draft.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(parameters)

    def answer(prompt: tuple[int, ...], temperature: float, seed: int, tokens: int) -> Spent:
        request = {
            **{"prompt": list(prompt), "temperature": temperature, "seed": seed, "n_predict": tokens},
            **{"top_k": 0, "top_p": 1.0, "min_p": 0.0, "cache_prompt": False},
        }
        timings = server.handle_completions(request)["timings"]
        made, seconds = timings["predicted_n"] - 1, timings["predicted_ms"] / 1e3
        return Spent(made, seconds, timings.get("draft_n", 0), timings.get("draft_n_accepted", 0))

    return answer


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Totals by temperature and way."""
    threads = usable_cores()
    prompts = [prompt for path in options.prompts for prompt in read_prompts(path, options.limit)]
    with ExitStack() as stack:
        device = stack.enter_context(open_device(options.draft, Reach(target=options.target), context=CONTEXT))
        lossless = Settings(find_method("lossless"))
        ways = {
            "remote": ours(device, Settings(find_method("remote"))),
            "lossless": ours(device, lossless),
            "lossless, patience inf": ours(device, replace(lossless, patience_seconds=inf)),
            "llama.cpp": llama_cpp(options.target, None, threads),
            "llama.cpp, speculative": llama_cpp(options.target, options.draft, threads),
        }
        spent: dict[tuple[float, str], list[Spent]] = {}
        turns = [(temperature, *numbered) for temperature in TEMPERATURES for numbered in enumerate(prompts)]
        for temperature, seed, prompt in track(turns, "decoding", console=Console(stderr=True), transient=True):
            tokens = device.prompt(prompt.text)
            for name, answer in ways.items():
                spent.setdefault((temperature, name), []).append(answer(tokens, temperature, seed, options.tokens))
    return [_total(temperature, name, of) for (temperature, name), of in spent.items()]


def _total(temperature: float, name: str, of: list[Spent]) -> dict[str, Any]:
    total = Spent(*(sum(getattr(each, field) for each in of) for field in Spent.__slots__))
    return {"temperature": temperature, "way": name, "answers": len(of), "rate": total.tokens / total.seconds} | asdict(
        total
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="`lossless` beside llama.cpp's own speculative decoding.")
    parser.add_argument("draft")
    parser.add_argument("target")
    parser.add_argument("prompts", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, default=6, help="prompts of each file")
    parser.add_argument("--tokens", type=int, default=96, help="per answer at most")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    found = measure(options)
    if options.json:
        print(json.dumps({"machine": machine(), "ways": found}, indent=1))
        return
    table = Table(title="on one machine; tokens/s after the first token")
    for heading in ("T", "way", "tokens", "tokens/s", "over `remote`", "drafts judged, stood, a token"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    remote = {each["temperature"]: each["rate"] for each in found if each["way"] == "remote"}
    for each in found:
        table.add_row(
            f"{each['temperature']:g}",
            each["way"],
            str(each["tokens"]),
            f"{each['rate']:.1f}",
            f"{each['rate'] / remote[each['temperature']]:.2f}",
            f"{each['judged'] / each['tokens']:.2f}, {each['stood'] / each['tokens']:.2f}",
        )
    Console(width=120).print(table, machine(), sep="\n")


if __name__ == "__main__":
    main()
