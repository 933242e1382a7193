"""Positions of the target's own texts to calibrate on, and answers under a policy, kept in files as they are made."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.opportunistic.policies import Positions

from cuhlm.device.device import Answer, Device, Request
from cuhlm.device.ending import Limits
from cuhlm.device.steps import Emit
from cuhlm.engines.base import Engine
from cuhlm.engines.load import load_engine
from cuhlm.engines.prompting import encode_prompt
from cuhlm.engines.recalling import RecallingEngine
from cuhlm.link.in_process import InProcessLink
from cuhlm.measuring.prompts import Prompt, read_prompts
from cuhlm.measuring.target_text import walk
from cuhlm.messages import Array, Fate, Sampling
from cuhlm.theory.distributions import LogitRow, distribution
from cuhlm.theory.race import race
from cuhlm.theory.rejection import rejection_probability
from cuhlm.theory.score import PLAUSIBLE, plausibility, signals_of
from cuhlm.theory.uncertainty import bin_midpoints, expected_disagreement
from cuhlm.verifier.host import Verifier

CONTEXT = 1024
GSM8K_SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt and what it is.

    Attributes:
        domain: of its file.
        prompt: the message.
        system: a system message before it.
    """

    domain: str
    prompt: Prompt
    system: str | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Both models in memory."""

    draft: Engine
    target: Engine

    def encode(self, task: Task) -> tuple[int, ...]:
        """The task's prompt as tokens."""
        return encode_prompt(self.draft.tokenizer, self.target.card.chat, task.prompt.text, system=task.system)


@contextmanager
def loaded(draft: str, target: str) -> Iterator[Pair]:
    """The pair, a thread each."""
    with (
        load_engine(draft, context_length=CONTEXT, threads=1) as one,
        load_engine(target, context_length=CONTEXT, threads=1) as other,
    ):
        yield Pair(one, other)


def tasks_of(domain: str, path: Path, limit: int, *, first: int = 0, step: int = 1) -> list[Task]:
    """`limit` prompts of a file: the `first` and every `step`-th behind it."""
    system = GSM8K_SYSTEM if domain == "mathematics" else None
    prompts = read_prompts(path)[first::step][:limit]
    if len(prompts) < limit:
        raise SystemExit(f"{path} has {len(prompts)} prompts from number {first} on, every {step}; {limit} are wanted")
    return [Task(domain, prompt, system) for prompt in prompts]


def kept_lines(path: Path) -> list[dict[str, Any]]:
    """What was written before; a line that was cut is not among it."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def add_lines(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Append, all at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = kept_lines(path) if path.exists() and not path.read_bytes().endswith(b"\n") else None
    if kept is not None:  # a line that was cut
        path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))


def positions_lines(pair: Pair, task: Task, number: int, sampling: Sampling, max_tokens: int) -> list[dict[str, Any]]:
    """The target's own text on `task`: a line per position."""
    midpoints, lines = bin_midpoints(), []
    for at in walk(pair.draft, pair.target, pair.encode(task), sampling, number, max_tokens):
        x, y = (distribution(logits, sampling) for logits in (at.draft_logits, at.target_logits))
        row, drawn = LogitRow.of(at.draft_logits), race(x, number, at.position)
        u = expected_disagreement(row, drawn.token, temperatures=midpoints)
        lines.append(
            {
                "domain": task.domain,
                "id": task.prompt.id,
                "features": signals_of(row, drawn.token, drawn.gap, u).features(),
                "u": u,
                "beta": rejection_probability(x, y, drawn.token),
                "below": bool(y[drawn.token] < x[drawn.token]),
                "wrong": plausibility(at.target_logits, drawn.token) < PLAUSIBLE,
            }
        )
    return lines


def measured_positions(path: Path, pair: Pair, tasks: Sequence[Task], sampling: Sampling, max_tokens: int) -> None:
    """See to it that `path` has the positions of all `tasks`."""
    done = {(line["domain"], line["id"]) for line in kept_lines(path)}
    for number, task in enumerate(tasks):
        if (task.domain, task.prompt.id) not in done:
            add_lines(path, positions_lines(pair, task, number, sampling, max_tokens))
            print(f"calibrating: {number + 1} of {len(tasks)} texts", flush=True)


def as_positions(lines: Sequence[dict[str, Any]]) -> Positions:
    """Lines of `measured_positions` as arrays."""
    columns = (np.array([line[name] for line in lines], dtype=np.float64) for name in Positions.__slots__)
    return Positions(*columns)


@contextmanager
def recalled(pair: Pair, *, ahead: bool) -> Iterator[Pair]:
    """The pair, which reads what answers to one prompt have in common once."""
    with RecallingEngine(pair.draft, ahead=ahead) as draft, RecallingEngine(pair.target, ahead=ahead) as target:
        yield Pair(draft, target)


def answered(generation: Any) -> tuple[Answer, Any]:
    """A generation's answer, and what it says of its risk."""
    emits: list[Emit] = []
    while True:
        try:
            emits.append(next(generation))
        except StopIteration as end:
            text = "".join(emit.text for emit in emits) + end.value.text
            return Answer(tuple(emit.record for emit in emits), text, end.value.reason), end.value.risk


@contextmanager
def device_of(pair: Pair) -> Iterator[Device]:
    """A device with its verifier in this process."""
    with Verifier(pair.target) as verifier, Device(pair.draft, InProcessLink(verifier)) as device:
        yield device


def request_of(pair: Pair, task: Task, sampling: Sampling, seed: int, max_tokens: int) -> Request:
    """What is asked."""
    return Request(pair.encode(task), sampling, seed, Limits(max_tokens))


def costs(answer: Answer, report: Any) -> dict[str, float]:
    """What an answer cost the target and the network; audits behind its last token included."""
    records = answer.records
    kept = sum(record.fate in (Fate.SKIPPED, Fate.LOCAL) for record in records)
    return {
        "tokens": len(records),
        "kept": kept,
        "asked": len(records) - kept,
        "passes": sum(record.target_passes for record in records) + (report.tail_passes if report else 0),
        "rows": sum(record.target_rows for record in records) + (report.tail_rows if report else 0),
    }


def distances(pair: Pair, prompt: Sequence[int], answer: Answer, sampling: Sampling) -> float:
    """Sum over the kept tokens of TV(x, y): how far the law they are drawn from is from the target's."""
    tokens = answer.tokens
    rows = [_rows(engine, prompt, tokens) for engine in (pair.draft, pair.target)]
    size = min(pair.draft.card.vocab_size, pair.target.card.vocab_size)
    total = 0.0
    for record, x_logits, y_logits in zip(answer.records, *rows, strict=True):
        if record.fate in (Fate.SKIPPED, Fate.LOCAL):
            x, y = (distribution(logits[:size], sampling) for logits in (x_logits, y_logits))
            total += 0.5 * float(np.abs(x - y).sum())
    return total


def _rows(engine: Engine, prompt: Sequence[int], tokens: Sequence[int]) -> Array:
    sequence = engine.open()
    try:
        return sequence.append([*prompt, *tokens[:-1]], rows=len(tokens))
    finally:
        sequence.close()
