"""What the keyed race costs beside the law it draws from (design 2.6); `hot_path.py` prints it, too.

    python benchmarks/race.py [--rounds 100] [--json]

Logits are normal with a standard deviation of 3. Laws and ways to race them are interleaved: each round races every law
lazily and naively, at a position of its own. 16 MiB stream through the caches before each call, as in a forward pass.

The rows that the verifier judges in one pass, 16 sessions of 4 rows, are timed as a whole: a law and a race for each.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from reporting import machine, summary
from rich.console import Console
from rich.table import Table

from cuhlm.messages import Array, Sampling
from cuhlm.theory.distributions import distribution
from cuhlm.theory.race import naive_race, race

VOCABULARIES = (49_152, 151_936)
JUDGED_VOCABULARY, JUDGED_ROWS = 49_152, 64
SAMPLINGS = {
    "whole": Sampling(),
    "top-p 0.95": Sampling(top_p=0.95),
    "top-k 20": Sampling(top_k=20),
    "T = 0": Sampling(temperature=0),
}
JUDGED = {"T = 0.7": Sampling(temperature=0.7), "T = 0.7, top-p 0.95": Sampling(temperature=0.7, top_p=0.95)}
WAYS = {"lazy": race, "naive": naive_race}
STREAMED = np.zeros(2**22, np.float32)  # 16 MiB

Summaries = dict[str, dict[str, float]]


def normal_logits(rows: int, vocab_size: int) -> Array:
    return np.random.default_rng(rows).normal(0, 3, (rows, vocab_size)).astype(np.float32)


def timed(call: Callable[[], object]) -> float:
    """Microseconds of one call."""
    STREAMED[:] += 1
    start = time.perf_counter()
    call()
    return 1e6 * (time.perf_counter() - start)


def race_times(vocab_size: int, rounds: int) -> dict[str, Summaries]:
    """Microseconds of one race, by law, then by way; and how many tokens the laws leave, as `possible`."""
    laws = {name: distribution(normal_logits(8, vocab_size), sampling) for name, sampling in SAMPLINGS.items()}
    times: dict[str, dict[str, list[float]]] = {name: {way: [] for way in WAYS} for name in laws}
    for number in range(-8, rounds):  # rounds below 0 warm up
        for name, of in laws.items():
            for way, run in WAYS.items():
                law, position = of[number % 8], 8 + number
                microseconds = timed(partial(run, law, 1, position))
                if number >= 0:
                    times[name][way].append(microseconds)
    possible = {name: float(np.median(np.count_nonzero(of, axis=1))) for name, of in laws.items()}
    return {
        name: {way: summary(of) for way, of in ways.items()} | {"possible": {"median": possible[name]}}
        for name, ways in times.items()
    }


def judge(rows: Array, sampling: Sampling) -> None:
    for position, logits in enumerate(rows):
        race(distribution(logits, sampling), 1, position)


def judging_times(rounds: int) -> Summaries:
    """Microseconds of the laws and races of all rows of one pass, row by row as the verifier does, by sampling."""
    rows = normal_logits(JUDGED_ROWS, JUDGED_VOCABULARY)
    times: dict[str, list[float]] = {name: [] for name in JUDGED}
    for number in range(-1, rounds):
        for name, sampling in JUDGED.items():
            microseconds = timed(partial(judge, rows, sampling))
            if number >= 0:
                times[name].append(microseconds)
    return {name: summary(of) for name, of in times.items()}


def measure(rounds: int) -> dict[str, Any]:
    """All numbers of this file, for --json and `tables`."""
    few = max(1, rounds // 4)  # of the longer call
    return {
        "rounds": rounds,
        "rounds_of_64_rows": few,
        "microseconds_of_a_race": {str(size): race_times(size, rounds) for size in VOCABULARIES},
        "microseconds_of_64_rows": judging_times(few),
    }


def tables(measured: dict[str, Any]) -> tuple[Table, Table]:
    """What `measure` found, for people."""
    races = Table(title=f"µs of a race, median (quartiles), n = {measured['rounds']}")
    for heading in ("|V|", "law", "possible tokens", *WAYS):
        races.add_column(heading, justify="left" if heading == "law" else "right")
    for size, laws in measured["microseconds_of_a_race"].items():
        for name, of in laws.items():
            races.add_row(size, name, f"{of['possible']['median']:.0f}", *(shown(of[way]) for way in WAYS))
    judged = Table(
        title=f"µs of {JUDGED_ROWS} laws and races, |V| = {JUDGED_VOCABULARY}, n = {measured['rounds_of_64_rows']}"
    )
    judged.add_column("sampling")
    judged.add_column("median (quartiles)", justify="right")
    for name, of in measured["microseconds_of_64_rows"].items():
        judged.add_row(name, shown(of))
    return races, judged


def shown(of: dict[str, float]) -> str:
    return f"{of['median_us']:.0f} ({of['quartile_us']:.0f} … {of['upper_quartile_us']:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="What the keyed race costs.")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    measured = measure(options.rounds)
    if options.json:
        print(json.dumps({"machine": machine()} | measured, indent=2))
    else:
        Console(width=120).print(*tables(measured), machine(), sep="\n")


if __name__ == "__main__":
    main()
