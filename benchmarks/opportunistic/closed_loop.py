"""Streams of chat, mathematics and code under several policies, on the histories that each of them makes (design 2.11).

    python -m benchmarks.opportunistic.closed_loop --chat alpaca_eval.jsonl --mathematics gsm8k.jsonl \
        --code humaneval.jsonl --draft MODEL --target MODEL --out results [--temperature 0.7] [--texts 30] [--report]

A stream has `--texts` prompts of each domain, ten of one, ten of the next, and so on; each policy has one account for
all of it. What a policy knows of a domain was calibrated on the two others. Per policy: the share of tokens kept, those
kept and wrong (`plausible`) per token made and per token kept, TV(x, y) where kept and 0 where asked, and what the
target reads, audits included. Intervals: 95 % bootstrap over prompts.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.opportunistic.draw import draw
from benchmarks.opportunistic.policies import AtRandom, Calibrated, Tallying, by_u, calibrated, controlled, fixed
from benchmarks.opportunistic.texts import (
    Pair,
    Task,
    add_lines,
    answered,
    as_positions,
    costs,
    device_of,
    distances,
    kept_lines,
    loaded,
    measured_positions,
    recalled,
    request_of,
    tasks_of,
)
from rich.console import Console
from rich.table import Table

from cuhlm.measuring.bootstrap import Ratio, estimate, resample_counts
from cuhlm.messages import Sampling
from cuhlm.methods import find_method
from cuhlm.settings import RiskSettings, Settings
from cuhlm.theory.control import Budget

DOMAINS = ("chat", "mathematics", "code")
RISKS = (0.01, 0.02, 0.05)
POLICIES = (*(f"risk {risk:g}" for risk in RISKS), "fixed 0.02", "risk-averse", "risk-prone", "random")
RANDOM_AS = "risk 0.02"
CALIBRATION_TEXTS, CALIBRATION_TOKENS = 15, 64
RUN = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in DOMAINS:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--draft", default="smollm2-draft")
    parser.add_argument("--target", default="smollm2-135m")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--texts", type=int, default=30, help="of each domain")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--report", action="store_true", help="only show what there is")
    given = parser.parse_args()
    if not given.report:
        with loaded(given.draft, given.target) as pair:
            run(given, pair)
    show(kept_lines(given.out / "answers.jsonl"), given.out)


def run(given: argparse.Namespace, pair: Pair) -> None:
    """Decode what is missing."""
    sampling = Sampling(given.temperature)
    positions, answers = given.out / "positions.jsonl", given.out / "answers.jsonl"
    measured_positions(positions, pair, list(_calibration_tasks(given)), sampling, CALIBRATION_TOKENS)
    measured = kept_lines(positions)
    others = {
        domain: calibrated(as_positions([line for line in measured if line["domain"] != domain])) for domain in DOMAINS
    }
    accounts = {policy: account_of(policy, others["chat"]) for policy in POLICIES}
    done = kept_lines(answers)
    for line in done:
        control = accounts[line["policy"]].control
        control.threshold, control.labelled, control.wrong = line["account"]
    tasks = stream_of(given)
    for number, task in islice(enumerate(tasks), len(done) // len(POLICIES), None):
        for policy, keeping in accounts.items():
            adapt(policy, keeping, others[task.domain])
        add_lines(answers, decode(pair, task, number, accounts, sampling, given.max_tokens))
        print(f"{number + 1} of {len(tasks)} texts", flush=True)


def _calibration_tasks(given: argparse.Namespace) -> Iterator[Task]:
    each = [tasks_of(domain, getattr(given, domain), CALIBRATION_TEXTS, first=1, step=4) for domain in DOMAINS]
    for three in zip(*each, strict=True):
        yield from three


def stream_of(given: argparse.Namespace) -> list[Task]:
    """All texts in their order; none is one that was calibrated on."""
    each = [tasks_of(domain, getattr(given, domain), given.texts, step=4) for domain in DOMAINS]
    return [task for begin in range(0, given.texts, RUN) for tasks in each for task in tasks[begin : begin + RUN]]


def account_of(policy: str, found: Calibrated) -> Tallying:
    """The account with which a policy begins its stream."""
    if policy.startswith("risk 0"):
        risk = float(policy.removeprefix("risk "))
        return Tallying(controlled(found.score, risk, found.thresholds[risk]))
    if policy == "random":
        return AtRandom(fixed(found.score, 0.0), seed=1)
    return Tallying(_fixed_settings(policy, found))


def _fixed_settings(policy: str, found: Calibrated) -> RiskSettings:
    if policy == "fixed 0.02":
        return fixed(found.score, found.thresholds[0.02])
    return by_u(found.risk_averse if policy == "risk-averse" else found.risk_prone)


def adapt(policy: str, keeping: Tallying, found: Calibrated) -> None:
    """Let a policy go by what was found on other domains; a control keeps its threshold."""
    if policy.startswith("risk 0"):
        keeping.settings = replace(keeping.settings, score=found.score)
    elif policy != "random":
        keeping.settings = _fixed_settings(policy, found)
        budget: Budget = keeping.settings.budget
        keeping.control.threshold = budget.begins_at


def decode(
    pair: Pair, task: Task, number: int, accounts: dict[str, Tallying], sampling: Sampling, max_tokens: int
) -> list[dict[str, Any]]:
    """One text under all policies."""
    lines: list[dict[str, Any]] = []
    with recalled(pair, ahead=True) as shared:
        request = request_of(shared, task, sampling, number, max_tokens)
        for policy, keeping in accounts.items():
            if isinstance(keeping, AtRandom):
                like = next(line for line in lines if line["policy"] == RANDOM_AS)
                keeping.share = like["kept"] / like["tokens"]
            before = keeping.implausible, keeping.differ
            settings = Settings(find_method("opportunistic"), risk=keeping.settings)
            with device_of(shared) as device:
                answer, report = answered(device.generate_path(settings, request, keeping=keeping))
            control = keeping.control
            lines.append(
                {
                    "domain": task.domain,
                    "id": task.prompt.id,
                    "policy": policy,
                    **costs(answer, report),
                    "wrong": keeping.implausible - before[0],
                    "differ": keeping.differ - before[1],
                    "tv": distances(shared, request.prompt, answer, sampling),
                    "slack": report.slack,
                    "account": [control.threshold, control.labelled, control.wrong],
                }
            )
    return lines


def show(lines: list[dict[str, Any]], out: Path) -> None:
    """Tables, one for the stream and one per domain, a figure, and all as JSON."""
    found = []
    for domain in ("all", *DOMAINS):
        mine = [line for line in lines if domain in ("all", line["domain"])]
        table = Table(title=f"{domain}: {len(mine) // len(POLICIES)} texts")
        for heading in ("policy", "kept", "wrong/token", "wrong/kept", "TV", "passes", "rows"):
            table.add_column(heading, justify="left" if heading == "policy" else "right")
        for policy in POLICIES:
            row = numbers([line for line in mine if line["policy"] == policy])
            found.append({"domain": domain, "policy": policy, **row})
            cells = (f"{value:.3f} [{low:.3f} … {high:.3f}]" for value, low, high in row.values())
            table.add_row(policy, *cells)
        Console(width=170).print(table)
    for risk in RISKS:
        print(f"risk {risk:g}: at most {worst_excess(lines, risk):+.1f} wrong tokens above αn + slack, at any time")
    (out / "numbers.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    draw(lines, POLICIES, RISKS, out / "stream.svg")


def numbers(lines: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Ratios with their intervals, by prompt."""
    columns = {name: np.array([line[name] for line in lines], dtype=np.float64) for name in
               ("tokens", "kept", "wrong", "tv", "passes", "rows")}  # fmt: skip
    counts = resample_counts(len(lines))
    ratios = {
        "kept": ("kept", "tokens"),
        "wrong per token": ("wrong", "tokens"),
        "wrong per kept": ("wrong", "kept"),
        "TV": ("tv", "tokens"),
        "passes": ("passes", "tokens"),
        "rows": ("rows", "tokens"),
    }
    return {
        name: list(map(float, estimate(Ratio(columns[part], columns[whole]), counts)))
        for name, (part, whole) in ratios.items()
    }


def worst_excess(lines: list[dict[str, Any]], risk: float) -> float:
    """The most by which wrong tokens exceed the bound behind any text of the stream."""
    mine = [line for line in lines if line["policy"] == f"risk {risk:g}"]
    wrong, tokens = (np.cumsum([line[name] for line in mine]) for name in ("wrong", "tokens"))
    return float((wrong - risk * tokens - np.array([line["slack"] for line in mine])).max())


if __name__ == "__main__":
    main()
