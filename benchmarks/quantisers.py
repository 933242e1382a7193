"""Which 8-bit levels lose least of a real draft's distributions: why `cuhlm.codec.quantiser` uses cubes.

    python benchmarks/quantisers.py [--positions 120] [--json]

The built-in draft reads on through its own sampled text (T = 1), and the built-in target reads the same text. At each
position the k largest entries of x are quantised with each table, each rounding (`kept`: as `quantise` does, so that
their mass is kept; `nearest`: each to its nearest level, divided by their sum where that is above 1), and rebuilt.
`error` is Σ|x̂ quantised − x̂ exact|, mean and 95th percentile; `acceptance` is the mean of 1 − TV with y, quantised
minus exact, in percent.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import product

import numpy as np
from reporting import machine
from rich.console import Console
from rich.table import Table

from cuhlm.codec.quantiser import LEVELS, quantise
from cuhlm.engines.load import load_engine
from cuhlm.engines.locate import BUILT_IN_DRAFT, BUILT_IN_TARGET
from cuhlm.messages import Sampling
from cuhlm.theory.distributions import distribution
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.truncation import TruncatedLaw, top_k
from cuhlm.theory.verification import draw

PROMPTS = (
    "The old lighthouse keeper walked down the stairs and asked the children why",
    "def fibonacci(n):\n",
    "Three steps to repair a bicycle tyre: first,",
)
TEMPERATURES = (1.0, 0.7)
SHARE = np.arange(256) / 255


def logarithmic(nepers: int) -> np.ndarray:
    """0, and 255 levels from e^−nepers to 1 in equal ratios."""
    return np.concatenate(([0.0], np.exp(-nepers * np.arange(254, -1, -1) / 254)))


TABLES = {
    "linear": SHARE,
    "squares": SHARE**2,
    "cubes": LEVELS[8],
    "fourth powers": SHARE**4,
    "fifth powers": SHARE**5,
    "logarithmic from e^−10": logarithmic(10),
    "logarithmic from e^−12": logarithmic(12),
    "logarithmic from e^−16": logarithmic(16),
    "logarithmic from e^−20": logarithmic(20),
}


def nearest(kept: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The code of the nearest level of each entry."""
    return np.searchsorted((table[1:] + table[:-1]) / 2, kept)


ROUNDINGS = {"kept": quantise, "nearest": nearest}


def logits(positions: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of draft and target at the same positions, spread over the prompts."""
    draft = load_engine(BUILT_IN_DRAFT, context_length=1024, threads=1)
    target = load_engine(BUILT_IN_TARGET, context_length=1024, threads=1)
    for prompt in PROMPTS:
        tokens = draft.tokenizer.tokenize(prompt)
        device, verifier = draft.open(), target.open()
        row, judged = device.append(tokens)[-1], verifier.append(tokens)[-1]
        for _ in range(-(-positions // len(PROMPTS))):
            yield row.copy(), judged.copy()
            token = draw(distribution(row, Sampling()), uniform(0, len(device), Purpose.DRAFT)).token
            row, judged = device.append([token])[-1], verifier.append([token])[-1]
        device.close()
        verifier.close()
    draft.close()
    target.close()


def measure(
    rows: list[tuple[np.ndarray, np.ndarray]], temperature: float
) -> dict[str, dict[int, list[tuple[float, float]]]]:
    """(error, change of acceptance) of each position, by table and rounding, and by k."""
    results: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for draft_logits, target_logits in rows:
        x = distribution(draft_logits, Sampling(temperature=temperature))
        y = distribution(target_logits, Sampling(temperature=temperature))
        for k in (8, 30, 300, x.size):
            indices, kept = top_k(x, k)
            exact = TruncatedLaw(indices, kept, x.size).rebuilt().astype(np.float64)
            for (name, table), (rounding, rounded) in product(TABLES.items(), ROUNDINGS.items()):
                values = table[rounded(kept.astype(np.float64), table)]
                values /= values.sum() if k == x.size else max(1.0, values.sum())
                law = TruncatedLaw(indices, values.astype(np.float32), x.size).rebuilt().astype(np.float64)
                change = np.minimum(law, y).sum() - np.minimum(exact, y).sum()
                results.setdefault(f"{name}, {rounding}", {}).setdefault(k, []).append(
                    (float(np.abs(law - exact).sum()), float(change))
                )
    return results


def summary(pairs: list[tuple[float, float]]) -> dict[str, float]:
    errors, changes = np.array(pairs).T
    return {
        "mean_error": float(errors.mean()),
        "p95_error": float(np.quantile(errors, 0.95)),
        "acceptance_change": float(changes.mean()),
        "n": len(pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What each table of 8-bit levels loses.")
    parser.add_argument("--positions", type=int, default=120, help="positions of the text, over all prompts")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    rows = list(logits(options.positions))
    results = {
        temperature: {
            name: {k: summary(pairs) for k, pairs in by_k.items()} for name, by_k in measure(rows, temperature).items()
        }
        for temperature in TEMPERATURES
    }
    if options.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=2))
        return
    console = Console(width=150)
    for temperature, by_name in results.items():
        table = Table(
            title=f"T = {temperature}, n = {len(rows)} positions: error × 1000 mean / 95 %, acceptance in %",
            caption=str(machine()),
        )
        table.add_column("levels, rounding")
        for k in by_name["linear, kept"]:
            table.add_column(f"k = {k}", justify="right", no_wrap=True)
        for name, by_k in by_name.items():
            cells = (
                f"{1e3 * c['mean_error']:.1f} / {1e3 * c['p95_error']:.1f}, {1e2 * c['acceptance_change']:+.2f}"
                for c in by_k.values()
            )
            table.add_row(name, *cells)
        console.print(table)


if __name__ == "__main__":
    main()
