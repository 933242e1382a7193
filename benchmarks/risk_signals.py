"""How well the device foresees that keeping a draft is wrong, by each definition of wrong and signal (design 2.11).

    python benchmarks/risk_signals.py --prompts experiments/prompts/evaluation.jsonl [--draft …] [--target …] [--json …]

On the target's own texts, at each temperature: u and the race's gap of the keyed draft, its plausibility to the draft
model (own), and whether keeping it would be wrong. Scores are fitted on the texts of two thirds of the prompts and used
on the others, in turn; intervals are 95 % bootstrap over prompts. `kept`: the largest share that a threshold keeps with
so many wrong among the kept, chosen on the very tokens, so a little better than a threshold that was chosen before.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cuhlm.engines.load import load_engine
from cuhlm.engines.prompting import encode_prompt
from cuhlm.measuring.bootstrap import resample_counts, tail_probability
from cuhlm.measuring.prompts import read_prompts
from cuhlm.measuring.target_text import walk
from cuhlm.messages import Sampling
from cuhlm.theory.distributions import LogitRow, distribution
from cuhlm.theory.race import race
from cuhlm.theory.rejection import rejection_probability
from cuhlm.theory.score import PLAUSIBLE, Signals, Wrong, area_under_curve, fit_score, kept_share, plausibility
from cuhlm.theory.uncertainty import bin_midpoints, expected_disagreement

RISKS = (0.005, 0.01, 0.02, 0.05)
FOLDS = 3
SCORES = {"u": (0, 1), "gap": (2,), "own": (3,), "all": (0, 1, 2, 3)}
RESAMPLES = 200

Floats = npt.NDArray[np.float64]


@dataclass
class Tokens:
    """One row per position: features, text, and by each definition whether keeping is wrong."""

    features: list[tuple[float, ...]] = field(default_factory=list)
    text: list[int] = field(default_factory=list)
    wrong: dict[Wrong, list[float]] = field(default_factory=lambda: {kind: [] for kind in Wrong})


def measure(draft, target, prompts, temperature: float, max_tokens: int) -> Tokens:  # type: ignore[no-untyped-def]
    tokens, sampling, midpoints = Tokens(), Sampling(temperature), bin_midpoints()
    for number, prompt in enumerate(prompts):
        encoded = encode_prompt(draft.tokenizer, target.card.chat, prompt.text)
        for at in walk(draft, target, encoded, sampling, number, max_tokens):
            x, y = (distribution(logits, sampling) for logits in (at.draft_logits, at.target_logits))
            drawn = race(x, number, at.position)
            u = expected_disagreement(LogitRow.of(at.draft_logits), drawn.token, temperatures=midpoints)
            tokens.features.append(Signals(u, drawn.gap, plausibility(at.draft_logits, drawn.token)).features())
            tokens.text.append(number)
            tokens.wrong[Wrong.PLAUSIBLE].append(float(plausibility(at.target_logits, drawn.token) < PLAUSIBLE))
            tokens.wrong[Wrong.BETA].append(rejection_probability(x, y, drawn.token))
            tokens.wrong[Wrong.KEYED].append(float(drawn.token != at.token))
    return tokens


def held_out_scores(features: Floats, wrong: Floats, text: npt.NDArray[np.int64]) -> Floats:
    score = np.zeros(len(wrong))
    for fold in range(FOLDS):
        mine = text % FOLDS == fold
        score[mine] = fit_score(features[~mine], wrong[~mine]).predict_all(features[mine])
    return score


def numbers(score: Floats, wrong: Floats) -> dict[str, float]:
    hard = wrong > 0.5
    kept = {f"kept at {100 * risk:g} %": kept_share(score, wrong, risk) for risk in RISKS}
    return {"AUC": area_under_curve(score, hard), **kept}


def with_interval(score: Floats, wrong: Floats, text: npt.NDArray[np.int64]) -> dict[str, list[float]]:
    units = int(text.max()) + 1
    value = numbers(score, wrong)
    resampled = []
    for counts in resample_counts(units, resamples=RESAMPLES):
        rows = np.repeat(np.arange(len(text)), counts[text])
        resampled.append(list(numbers(score[rows], wrong[rows]).values()))
    tail = tail_probability(units)
    low, high = np.nanquantile(np.array(resampled), (tail, 1 - tail), axis=0)
    return {name: [value[name], float(low[n]), float(high[n])] for n, name in enumerate(value)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--draft", default="smollm2-draft")
    parser.add_argument("--target", default="smollm2-135m")
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    prompts, started, found = read_prompts(arguments.prompts, arguments.limit), time.perf_counter(), []
    with (
        load_engine(arguments.draft, context_length=1024, threads=arguments.threads) as draft,
        load_engine(arguments.target, context_length=1024, threads=arguments.threads) as target,
    ):
        for temperature in (0.7, 1.0, 0.0):
            tokens = measure(draft, target, prompts, temperature, arguments.max_tokens)
            features, text = np.array(tokens.features), np.array(tokens.text)
            print(f"T = {temperature:g}: {len(text)} positions of {len(prompts)} texts", flush=True)
            for kind, labels in tokens.wrong.items():
                wrong = np.array(labels)
                print(f"  {kind}: {wrong.mean():.3f} wrong of all", flush=True)
                for name, columns in SCORES.items():
                    score = held_out_scores(features[:, columns], wrong, text)
                    row = with_interval(score, wrong, text)
                    found.append({"T": temperature, "wrong": str(kind), "share": wrong.mean(), "score": name} | row)
                    shown = "  ".join(f"{key} {a:.2f} [{b:.2f} … {c:.2f}]" for key, (a, b, c) in row.items())
                    print(f"    {name:4} {shown}", flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
