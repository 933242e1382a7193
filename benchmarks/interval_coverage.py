"""How often the report's 95 % intervals cover the truth: 1000 synthetic runs of 40 prompts whose truth is known.

    python benchmarks/interval_coverage.py [--runs 1000] [--json]

A run's answers are as long and its payloads as uneven as those of `cu-hlm` on the built-in pair: most answers are cut
at 64 tokens, each prompt has its own share of transmitted tokens and its own scale of k, and k has a heavy tail. Each
number is taken as the report takes it, a ratio of sums over prompts with a bootstrap over them. The last rows are what
the report does not show any more: throughput over HLM's under fades that are drawn. Its limit is the ratio of payloads.
"""

import argparse
import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cuhlm.channel.rates import ShannonRate
from cuhlm.measuring.bootstrap import Ratio, estimate, resample_counts

PROMPTS, LONGEST, VOCAB, BITS = 40, 64, 49_152, 24
DRAFT_SECONDS, TARGET_SECONDS = 0.025, 0.015
FOR_TRUTH = 40_000
"""Prompts of the one long run that the truth is taken from."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """Sums per prompt, each of shape (prompts,).

    Attributes:
        tokens: of the answer.
        transmitted: of them.
        bits, hlm_bits: that go up.
        faded, hlm_faded: the same bits times what a drawn fade lengthens them by, by SNR.
    """

    tokens: Floats
    transmitted: Floats
    bits: Floats
    hlm_bits: Floats
    faded: dict[float, Floats]
    hlm_faded: dict[float, Floats]

    def seconds(self, bits_seconds: Floats, passes: Floats) -> Floats:
        return self.tokens * DRAFT_SECONDS + passes * TARGET_SECONDS + bits_seconds


def drawn(rng: np.random.Generator, prompts: int, snrs: tuple[float, ...]) -> Run:
    lengths = np.where(rng.random(prompts) < 0.7, LONGEST, rng.integers(5, LONGEST + 1, prompts))
    own_share, own_scale = rng.beta(8, 3, prompts), np.exp(rng.normal(0, 0.5, prompts))
    shape = (prompts, LONGEST)
    there = np.arange(LONGEST) < lengths[:, None]
    sent = there & (rng.random(shape) < own_share[:, None])
    k = np.minimum(VOCAB, np.exp(rng.normal(np.log(300), 1.4, shape)) * own_scale[:, None])
    bits = np.where(sent, k * BITS, 0.0)
    hlm = np.where(there, float(VOCAB * BITS), 0.0)
    gains = np.maximum(rng.exponential(size=shape), 2.0**-64)
    slow = {snr: 1 / (1e6 * np.log2(1 + 10 ** (snr / 10) * gains)) for snr in snrs}
    return Run(
        lengths.astype(np.float64),
        sent.sum(axis=1).astype(np.float64),
        bits.sum(axis=1),
        hlm.sum(axis=1),
        {snr: (bits * each).sum(axis=1) for snr, each in slow.items()},
        {snr: (hlm * each).sum(axis=1) for snr, each in slow.items()},
    )


def numbers(run: Run, snrs: tuple[float, ...]) -> dict[str, tuple[Ratio, Ratio | None]]:
    """What the report estimates: a ratio, or one over another."""
    found: dict[str, tuple[Ratio, Ratio | None]] = {
        "transmitted share": (Ratio(run.transmitted, run.tokens), None),
        "payload, bytes a token": (Ratio(run.bits / 8, run.tokens), None),
        "HLM's payload over it": (Ratio(run.hlm_bits, run.tokens), Ratio(run.bits, run.tokens)),
    }
    for snr in snrs:
        rate = ShannonRate(1e6, snr, rayleigh=True, outage=0.1).bits_per_second(0)
        ours = Ratio(run.tokens, run.seconds(run.bits / rate, run.transmitted))
        hlm = Ratio(run.tokens, run.seconds(run.hlm_bits / rate, run.tokens))
        found[f"throughput at 10 % outage, {snr:g} dB"] = (ours, None)
        found[f"throughput over HLM's at 10 % outage, {snr:g} dB"] = (ours, hlm)
    for snr in snrs:
        ours = Ratio(run.tokens, run.seconds(run.faded[snr], run.transmitted))
        hlm = Ratio(run.tokens, run.seconds(run.hlm_faded[snr], run.tokens))
        found[f"throughput over HLM's, drawn fades, {snr:g} dB"] = (ours, hlm)
    return found


def truths(rng: np.random.Generator, snrs: tuple[float, ...]) -> dict[str, float]:
    """Of a long run; under drawn fades the limit is the ratio of payloads, as their mean times are infinite."""
    ones = resample_counts(1)[:1].repeat(FOR_TRUTH, axis=1)
    found = {
        name: estimate(of, ones, over=over).value
        for name, (of, over) in numbers(drawn(rng, FOR_TRUTH, snrs), snrs).items()
    }
    return {name: found["HLM's payload over it"] if "drawn fades" in name else value for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rng, snrs = np.random.default_rng(20261127), (-10.0, 10.0, 30.0)
    true, counts = truths(rng, snrs), resample_counts(PROMPTS)
    covered = dict.fromkeys(true, 0)
    for _ in range(arguments.runs):
        for name, (of, over) in numbers(drawn(rng, PROMPTS, snrs), snrs).items():
            found = estimate(of, counts, over=over)
            covered[name] += found.low <= true[name] <= found.high
    shares = {name: covered[name] / arguments.runs for name in true}
    if arguments.json:
        print(json.dumps({"runs": arguments.runs, "truth": true, "coverage": shares}, indent=1))
        return
    error = 100 * 1.96 * (0.95 * 0.05 / arguments.runs) ** 0.5
    print(f"{arguments.runs} runs of {PROMPTS} prompts; 95 % intervals would cover in 95 ± {error:.1f} %")
    for name, share in shares.items():
        print(f"{name:48}  truth {true[name]:10.4g}  covered {100 * share:5.1f} %")


if __name__ == "__main__":
    main()
