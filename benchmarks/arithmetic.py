"""What each function of a token's arithmetic costs, to account for every scan of the vocabulary (design 4, rule 6).

    python benchmarks/arithmetic.py [--rounds 200] [--json]

Rows of logits are normal with a standard deviation of 3.75 and their largest one raised by 0 to 6: measured on
SmolLM2's draft, gaps to the largest logit have their median at 16 and 80 % of them between 11 and 21, which this
reproduces. Alternatives are interleaved: each round calls every function once, on that round's row. 16 MiB stream
through the caches before each call, as in a forward pass; called again and again a function takes half as long.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
from reporting import machine, summary
from rich.console import Console
from rich.table import Table

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.messages import Payload, Sampling
from cuhlm.theory.distributions import LogitRow, distribution, law_of
from cuhlm.theory.race import race
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.rejection import RejectionModel
from cuhlm.theory.truncation import distortion_by_k, online_top, top_k
from cuhlm.theory.uncertainty import (
    bin_midpoints,
    entropy,
    expected_disagreement,
    margin,
    max_probability,
    sampled_disagreement,
)
from cuhlm.theory.verification import accepts, draw, replacement

VOCABULARIES = (49_152, 151_936)
ROWS = 32
TEMPERATURES = bin_midpoints()
PAPER = RejectionModel(a=0.815, b=-0.066)
FILTERED = Sampling(temperature=0.7, top_k=40, top_p=0.95)
CODEC = FixedWidthCodec()
STREAMED = np.zeros(2**22, np.float32)  # 16 MiB

# Passes over |V| entries that each function makes, and over the m or k entries that are left of them.
SCANS = {
    "cu-hlm, one token sent": "18: all of the next six",
    "largest logit": "1: max",
    "law of the row": "4: −, exp, Σ, ×",
    "draw": "1: block Σ",
    "expected disagreement": "10: −, ×, +, ≤, find, min, →float64, →int, +, histogram",
    "online top k*": "2: >, find; sorts m",
    "encode k*": "0",
    "distribution": "5: max, −, exp, Σ, ×",
    "distribution, T = 0.7": "6: and ÷",
    "distribution, T = 0.7, top-k 40, top-p 0.95": "10: and top-k, 0, scatter",
    "expected disagreement, 20 plain softmaxes": "62: max, −, 20 × (÷, exp, Σ)",
    "sampled disagreement": "10, and a new plan",
    "entropy": "7: −, min, −, exp, Σ, ×, Σ",
    "margin": "6: argmax, max, max, −, exp, Σ",
    "max probability": "3: −, exp, Σ",
    "top k*": "3: max, ≥, find; sorts k",
    "decode k*": "0",
    "x̂ of one token": "0",
    "rebuild x̂ of k*": "1: fill; scatters k",
    "accept": "0",
    "replace": "4: max, −, max, block Σ",
    "one uniform": "0",
    "keyed race": "¼ raw words; 6: >, count, max, >, ≥, find",
    "D(k) for every k": "sorts |V|; about 12",
}


def plain_disagreement(logits: np.ndarray, token: int) -> float:
    """What `expected_disagreement` replaces: a softmax for each temperature."""
    gaps = logits - logits.max()
    scaled = np.empty_like(gaps)
    agreement = 0.0
    for theta in TEMPERATURES:
        np.divide(gaps, np.float32(theta), out=scaled)
        np.exp(scaled, out=scaled)
        agreement += scaled[token] / scaled.sum()
    return float(1 - agreement / len(TEMPERATURES))


def peaked_logits(vocab_size: int, rng: np.random.Generator) -> np.ndarray:
    logits = rng.normal(0, 3.75, vocab_size).astype(np.float32)
    logits[logits.argmax()] += rng.uniform(0, 6)
    return logits


def one_token(logits: np.ndarray, where: float) -> Payload:
    """What the device computes of a token that it sends."""
    row = LogitRow.of(logits)
    x = law_of(row, Sampling())
    token = draw(x, where).token
    u = expected_disagreement(row, token, temperatures=TEMPERATURES)
    return CODEC.encode(*online_top(x, float(x[token]), PAPER.predict(u)), logits.size)


def calls(vocab_size: int, number: int) -> dict[str, Callable[[], object]]:
    """Every measured function, bound to the arguments of one row."""
    rng = np.random.default_rng(number)
    logits, target_logits = peaked_logits(vocab_size, rng), peaked_logits(vocab_size, rng)
    row = LogitRow.of(logits)
    x, y = law_of(row, Sampling()), distribution(target_logits, Sampling())
    where = uniform(number, 0, Purpose.DRAFT)
    token = draw(x, where).token
    u = expected_disagreement(row, token, temperatures=TEMPERATURES)
    beta_hat, x_d = PAPER.predict(u), float(x[token])
    indices, kept = online_top(x, x_d, beta_hat)
    payload = CODEC.encode(indices, kept, vocab_size)
    sent = CODEC.decode(payload, vocab_size)
    law, believed, wanted = sent.rebuilt(), sent.probability(token), float(y[token])
    noise = rng.random(40)
    return {
        "cu-hlm, one token sent": lambda: one_token(logits, where),
        "largest logit": lambda: LogitRow.of(logits),
        "law of the row": lambda: law_of(row, Sampling()),
        "draw": lambda: draw(x, where),
        "expected disagreement": lambda: expected_disagreement(row, token, temperatures=TEMPERATURES),
        "online top k*": lambda: online_top(x, x_d, beta_hat),
        "encode k*": lambda: CODEC.encode(indices, kept, vocab_size),
        "distribution": lambda: distribution(logits, Sampling()),
        "distribution, T = 0.7": lambda: distribution(logits, Sampling(temperature=0.7)),
        "distribution, T = 0.7, top-k 40, top-p 0.95": lambda: distribution(logits, FILTERED),
        "expected disagreement, 20 plain softmaxes": lambda: plain_disagreement(logits, token),
        "sampled disagreement": lambda: sampled_disagreement(row, token, uniforms=noise),
        "entropy": lambda: entropy(row),
        "margin": lambda: margin(row),
        "max probability": lambda: max_probability(row),
        "top k*": lambda: top_k(x, indices.size),
        "decode k*": lambda: CODEC.decode(payload, vocab_size),
        "x̂ of one token": lambda: sent.probability(token),
        "rebuild x̂ of k*": sent.rebuilt,
        "accept": lambda: accepts(believed, wanted, 0.5),
        "replace": lambda: replacement(law, y, 0.5),
        "one uniform": lambda: uniform(number, 1, Purpose.ACCEPT),
        "keyed race": lambda: race(x, number, 0),
        "D(k) for every k": lambda: distortion_by_k(x),
    }


def measure(vocab_size: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds of each call, by name."""
    rows = [calls(vocab_size, number) for number in range(ROWS)]
    times: dict[str, list[float]] = {name: [] for name in rows[0]}
    for number in range(-ROWS, rounds):  # rounds below 0 warm up
        for name, call in rows[number % ROWS].items():
            STREAMED[:] += 1
            start = time.perf_counter()
            call()
            if number >= 0:
                times[name].append(1e6 * (time.perf_counter() - start))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of the arithmetic, by function.")
    parser.add_argument("--rounds", type=int, default=200, help="calls per function")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    results = {
        size: {name: summary(times) for name, times in measure(size, options.rounds).items()} for size in VOCABULARIES
    }
    if options.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=2))
        return
    table = Table(title=f"µs per call, median (quartiles), n = {options.rounds}", caption=str(machine()))
    table.add_column("function")
    table.add_column("scans of |V|")
    for size in VOCABULARIES:
        table.add_column(f"|V| = {size}", justify="right", no_wrap=True)
    for name, scans in SCANS.items():
        cells = (results[size][name] for size in VOCABULARIES)
        table.add_row(
            name,
            scans,
            *(f"{c['median_us']:.0f} ({c['quartile_us']:.0f} … {c['upper_quartile_us']:.0f})" for c in cells),
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
