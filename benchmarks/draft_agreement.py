"""How well drafts agree with a target, task by task, and how fast they decode.

    python benchmarks/draft_agreement.py prompts.jsonl --draft smollm2-draft [--draft other.gguf] [--per-task 6]
        [--tokens 32] [--json]

The target answers prompts of every `task` of the file (JSON lines with `prompt` and `task`, spread evenly over each
task) at T = 0, 0.7 and 1; at every position of its answers each draft's law is compared with the target's. All drafts
are measured on the same answers. `1 − TV` is the acceptance of speculative verification, `keyed` the share of races on
shared random numbers that both win with the same token (design 2.2 and 2.6); ± is one standard error. Speeds are
greedy decoding of one sequence with one thread, the models in turn, medians of five runs.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from reporting import machine
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cuhlm.engines.base import Advance, Engine
from cuhlm.engines.load import load_engine
from cuhlm.engines.locate import BUILT_IN_DRAFT, BUILT_IN_TARGET
from cuhlm.engines.prompting import encode_prompt
from cuhlm.measuring.agreement import Agreement, measure_agreement

TEMPERATURES = (0.0, 0.7, 1.0)
SPEED_TOKENS = 48
RUNS = 5


def tasks(path: Path, per_task: int) -> dict[str, list[str]]:
    """Prompts of each task."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        found[fields.get("task", "all")].append(fields["prompt"])
    return {
        task: [texts[index * len(texts) // per_task] for index in range(min(per_task, len(texts)))]
        for task, texts in found.items()
    }


def speed(engine: Engine, prompt: Sequence[int]) -> float:
    """Tokens per second of greedy decoding."""
    sequence = engine.open()
    (logits,) = engine.advance([Advance(sequence, prompt)])
    started = time.perf_counter()
    for _ in range(SPEED_TOKENS):
        (logits,) = engine.advance([Advance(sequence, [int(logits[0].argmax())])])
    seconds = time.perf_counter() - started
    sequence.close()
    return SPEED_TOKENS / seconds


def speeds(engines: dict[str, Engine], prompt: Sequence[int]) -> dict[str, float]:
    """Median speeds, the engines in turn."""
    runs = [{name: speed(engine, prompt) for name, engine in engines.items()} for _ in range(RUNS)]
    return {name: float(np.median([run[name] for run in runs])) for name in engines}


def table(results: dict[str, list[list[Agreement]]], names: Sequence[str]) -> Table:
    head = [f"{what}, T = {temperature:g}" for temperature in TEMPERATURES for what in ("1 − TV", "keyed")]
    shown = Table("task", "draft", *head, "n", header_style="bold")
    for task, per_draft in results.items():
        for name, agreements in zip(names, per_draft, strict=True):
            cells = [
                cell
                for each in agreements
                for cell in (f"{each.one_minus_tv:.3f} ± {each.error:.3f}", f"{each.keyed:.3f}")
            ]
            shown.add_row(task, name, *cells, " ".join(str(each.positions) for each in agreements))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("prompts", type=Path)
    parser.add_argument("--draft", action="append")
    parser.add_argument("--target", default=BUILT_IN_TARGET)
    parser.add_argument("--per-task", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = options.draft or [BUILT_IN_DRAFT]
    console = Console(width=160, stderr=options.json)
    with ExitStack() as stack:
        engines = [load_engine(name, threads=1) for name in (options.target, *names)]
        for engine in engines:
            stack.callback(engine.close)
        target, *drafts = engines
        results = {}
        for task, texts in track(tasks(options.prompts, options.per_task).items(), "measuring", console=console):
            prompts = [encode_prompt(target.tokenizer, target.card.chat, text) for text in texts]
            results[task] = measure_agreement(drafts, target, prompts, TEMPERATURES, max_tokens=options.tokens)
        decoding = speeds(dict(zip((options.target, *names), engines, strict=True)), prompts[0])
    if options.json:
        rows = {task: [[each.as_json() for each in row] for row in rows] for task, rows in results.items()}
        print(json.dumps({"machine": machine(), "drafts": names, "tokens_per_s": decoding, "tasks": rows}, indent=1))
        return
    console.print(table(results, names))
    console.print(", ".join(f"{name} {value:.0f} tokens/s" for name, value in decoding.items()), machine())


if __name__ == "__main__":
    main()
