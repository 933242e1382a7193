"""GSM8K's score against the share of tokens transmitted and target passes per token, greedy (design 2.11).

    python -m benchmarks.opportunistic.frontier --gsm8k gsm8k.jsonl --chat alpaca_eval.jsonl --code humaneval.jsonl \
        --draft MODEL --target MODEL --out results [--problems 60] [--report]

Six operating points, the account of each going on from problem to problem: the target alone, the draft alone, budgets
of 0.5, 1 and 2 % wrong (`plausible`), and drafts kept at random with the share that the budget of 1 % keeps of the same
problem. Calibrated greedily, on other problems, chats and code. A problem is decoded under all before the next.

Said before the run: a budget holds the score if it loses at most 3 points of 100 to the target alone. The paired
difference is shown with its exact two-sided sign test over the problems on which the two differ.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.opportunistic.policies import AtRandom, Tallying, calibrated, controlled, fixed, paired_test
from benchmarks.opportunistic.texts import (
    Pair,
    Task,
    add_lines,
    answered,
    as_positions,
    costs,
    device_of,
    kept_lines,
    loaded,
    measured_positions,
    recalled,
    request_of,
    tasks_of,
)
from rich.console import Console
from rich.table import Table

from cuhlm.device.keeping import Keeping
from cuhlm.measuring.scores import exact_match
from cuhlm.messages import Sampling
from cuhlm.methods import find_method
from cuhlm.settings import RiskSettings, Settings

GREEDY = Sampling(0)
MAX_TOKENS = 512
RANDOM_AS = "risk 0.01"
MARGIN = 3.0
POINTS = ("remote", "local", "risk 0.005", "risk 0.01", "risk 0.02", "random")
CALIBRATION_TEXTS, CALIBRATION_TOKENS = 12, 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("gsm8k", "chat", "code"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--draft", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--problems", type=int, default=60)
    parser.add_argument("--points", nargs="+", default=POINTS, help="remote first")
    parser.add_argument("--report", action="store_true", help="only show what there is")
    given = parser.parse_args()
    if not given.report:
        with loaded(given.draft, given.target) as pair:
            run(given, pair)
    show(kept_lines(given.out / "answers.jsonl"))


def run(given: argparse.Namespace, pair: Pair) -> None:
    """Decode what is missing."""
    positions, answers = given.out / "positions.jsonl", given.out / "answers.jsonl"
    measured_positions(positions, pair, calibration_tasks(given), GREEDY, CALIBRATION_TOKENS)
    found = calibrated(as_positions(kept_lines(positions)))
    accounts = accounts_of(given.points, found, kept_lines(answers))
    done = {line["id"] for line in kept_lines(answers)}
    # Every third of the file: the problems between them are the calibration's.
    for number, task in enumerate(tasks_of("mathematics", given.gsm8k, given.problems, step=3)):
        if task.prompt.id not in done:
            add_lines(answers, decode(pair, task, number, given.points, accounts))
            print(f"{number + 1} of {given.problems} problems", flush=True)


def calibration_tasks(given: argparse.Namespace) -> list[Task]:
    """A third each, none of which is decoded below."""
    each = [
        tasks_of(domain, path, CALIBRATION_TEXTS, first=1, step=3)
        for domain, path in (("mathematics", given.gsm8k), ("chat", given.chat), ("code", given.code))
    ]
    return [task for three in zip(*each, strict=True) for task in three]


def accounts_of(points: Sequence[str], found: Any, lines: list[dict[str, Any]]) -> dict[str, Keeping]:
    """The account of each operating point, as it stands after what was decoded."""
    accounts: dict[str, Keeping] = {}
    for point in points:
        if point.startswith("risk "):
            risk = float(point.removeprefix("risk "))
            accounts[point] = Tallying(controlled(found.score, risk, found.thresholds[risk]))
        elif point == "random":
            accounts[point] = AtRandom(fixed(found.score, 0.0), seed=1)
    for line in lines:
        if line["point"] in accounts:
            control = accounts[line["point"]].control
            control.threshold, control.labelled, control.wrong = line["account"]
    return accounts


def decode(
    pair: Pair, task: Task, number: int, points: Sequence[str], accounts: dict[str, Keeping]
) -> list[dict[str, Any]]:
    """One problem under all operating points."""
    lines: list[dict[str, Any]] = []
    with recalled(pair, ahead=False) as shared, device_of(shared) as device:
        request = request_of(shared, task, GREEDY, number, MAX_TOKENS)
        for point in points:
            keeping = accounts.get(point)
            if isinstance(keeping, AtRandom):
                like = next(line for line in lines if line["point"] == RANDOM_AS)
                keeping.share = like["kept"] / like["tokens"]
            settings = settings_of(point, keeping)
            before = (keeping.control.labelled, keeping.control.wrong) if keeping else (0, 0.0)
            answer, report = answered(device.generate_path(settings, request, keeping=keeping))
            line = {
                "id": task.prompt.id,
                "point": point,
                "right": exact_match(answer.text, task.prompt.answer),
                **costs(answer, report),
                "tokens_of_remote": answer.tokens == tuple(lines[0]["ids"]) if lines else True,
                "ids": list(answer.tokens),
            }
            if keeping is not None:
                control = keeping.control
                line |= {"wrong": control.wrong - before[1]}
                line |= {"account": [control.threshold, control.labelled, control.wrong]}
            lines.append(line)
    return lines


def settings_of(point: str, keeping: Keeping | None) -> Settings:
    """The method of an operating point."""
    if keeping is None:
        return Settings(find_method(point))
    risk: RiskSettings = keeping.settings
    return Settings(find_method("opportunistic"), risk=risk)


def show(lines: list[dict[str, Any]]) -> None:
    """The table, and as JSON for who wants to go on with it."""
    points = list(dict.fromkeys(line["point"] for line in lines))
    table = Table(title=f"GSM8K, greedy, {len(lines) // max(1, len(points))} problems; margin {MARGIN:g} points")
    for heading in ("point", "right", "− remote", "sign test", "transmitted", "passes", "rows", "wrong", "same text"):
        table.add_column(heading, justify="right" if heading != "point" else "left")
    right = {point: [line["right"] for line in lines if line["point"] == point] for point in points}
    rows = []
    for point in points:
        mine = [line for line in lines if line["point"] == point]
        tokens = max(1, sum(line["tokens"] for line in mine))
        row = {
            "point": point,
            "right": 100 * sum(right[point]) / max(1, len(mine)),
            "difference": 100 * (sum(right[point]) - sum(right["remote"])) / max(1, len(mine)),
            "sign_test": paired_test(right["remote"], right[point]),
            "transmitted": sum(line["asked"] for line in mine) / tokens,
            "passes": sum(line["passes"] for line in mine) / tokens,
            "rows": sum(line["rows"] for line in mine) / tokens,
            "wrong": sum(line.get("wrong", 0.0) for line in mine) / tokens,
            "same_text": sum(line["tokens_of_remote"] for line in mine) / max(1, len(mine)),
            "n": len(mine),
        }
        rows.append(row)
        table.add_row(
            point,
            f"{row['right']:.1f}",
            f"{row['difference']:+.1f}",
            f"{row['sign_test']:.3f}",
            *(f"{row[name]:.3f}" for name in ("transmitted", "passes", "rows", "wrong", "same_text")),
        )
    Console(width=120).print(table)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
