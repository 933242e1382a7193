"""The headline table: ours beside the paper's own figures (arXiv 2505.11788, abstract)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cuhlm.experiments.grid.run import Grid
from cuhlm.experiments.grid.spec import Headline, Spec
from cuhlm.experiments.report.results import Point, Results
from cuhlm.measuring.bootstrap import Estimate, Ratio, estimate
from cuhlm.methods import find_method

COMPARED = ("remote", "cu-hlm", "cu-hlm-offline", "u-hlm", "route")
FREE = (
    "`remote` streams its tokens down and waits once. Prompt, token ids and all that comes down are billed at nothing, "
    "as in the paper: `remote` and `route` send nothing else."
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure of the paper.

    Attributes:
        name: its key.
        meaning: for a reader.
        paper: the paper's value; NaN where it has none.
        form: how it is printed.
    """

    name: str
    meaning: str
    paper: float
    form: str

    def paper_at(self, snr_db: float | None, round_trip_ms: float, lowest_snr_db: float | None) -> float:
        """The paper's value where it stands beside ours: "up to" belongs to one SNR, and no round trip is counted."""
        return self.paper if snr_db == lowest_snr_db and not round_trip_ms else math.nan


CLAIMS = {
    claim.name: claim
    for claim in (
        Claim("payload_under_hlm", "HLM's payload a token over this one's", math.nan, "{:,.1f}×"),
        Claim("throughput_over_hlm", "token throughput over HLM's", 206.0, "{:,.1f}×"),
        Claim("skipped", "transmissions skipped", 0.748, "{:.1%}"),
        Claim("vocabulary_compression", "vocabulary left out of a payload, 1 − k̄/|V|", 0.974, "{:.2%}"),
        Claim("accuracy_over_hlm", "cosine similarity to remote's answers, over HLM's", 0.974, "{:.1%}"),
        Claim("reference_accuracy_over_hlm", "cosine similarity to reference answers, over HLM's", 0.974, "{:.1%}"),
    )
}

ACCURACIES = {
    "accuracy_over_hlm": "similarity_to_remote",
    "reference_accuracy_over_hlm": "similarity_to_reference",
}


@dataclass(frozen=True, slots=True)
class HeadlineRow:
    """One of our numbers at one operating point.

    Attributes:
        claim: which number.
        method: of the table in design 2.7.
        rule: threshold rule, or u_th as a number.
        u_th: the number.
        vartheta: bound of the truncation.
        snr_db: of the channel; None where the number does not depend on it.
        round_trip_ms: 0 in the paper's count.
        found: value and interval.
    """

    claim: str
    method: str
    rule: str
    u_th: float
    vartheta: float
    snr_db: float | None
    round_trip_ms: float
    found: Estimate


def headline_rows(spec: Spec, results: Results) -> list[HeadlineRow]:
    """Our numbers at every operating point of the spec; empty where it has no headline or no `hlm`."""
    asked = spec.headline
    if asked is None:
        return []
    hlm = results.find("hlm", spec.first_prompts, asked.temperature)
    if hlm is None:
        return []
    rows: list[HeadlineRow] = []
    for method in COMPARED:
        for threshold in asked.thresholds:
            point = results.find(method, spec.first_prompts, asked.temperature, threshold)
            if point is not None:
                rows += _rows(spec, asked, results, point, hlm)
        alone = None if find_method(method).is_gated else results.find(method, spec.first_prompts, asked.temperature)
        if alone is not None:
            rows += _rows(spec, asked, results, alone, hlm)
    return sorted(rows, key=lambda row: list(CLAIMS).index(row.claim))


def _rows(spec: Spec, asked: Headline, results: Results, point: Point, hlm: Point) -> Iterator[HeadlineRow]:
    def row(claim: str, found: Estimate, snr_db: float | None = None, round_trip_ms: float = 0.0) -> HeadlineRow:
        settings = point.settings
        rule = str(point.choice.threshold) if point.choice.is_gated else ""
        method = point.choice.method.name
        return HeadlineRow(claim, method, rule, settings.threshold, settings.vartheta, snr_db, round_trip_ms, found)

    payload, of_hlm = (each.ratios["uplink_bytes_per_token"] for each in (point, hlm))
    if payload.numerator.any():
        yield row("payload_under_hlm", estimate(of_hlm, point.counts, over=payload))
    for felt in (False, True):
        for snr_db in asked.snr_db:
            channel = spec.billing.sweep.name(snr_db, felt=felt)
            speed, slow = (each.speed(channel, asked.compute) for each in (point, hlm))
            found = estimate(speed, point.counts, over=slow)
            yield row("throughput_over_hlm", found, snr_db, spec.billing.sweep.rtt_ms if felt else 0.0)
    if point.choice.is_gated:
        transmitted = point.ratios["transmitted_share"]
        skipped = Ratio(transmitted.denominator - transmitted.numerator, transmitted.denominator)
        yield row("skipped", estimate(skipped, point.counts))
    k = point.estimate("mean_k")
    if not math.isnan(k.value):
        left_out = Estimate(*(1 - each / results.vocab_size for each in (k.value, k.high, k.low)))
        yield row("vocabulary_compression", left_out)
    for claim, name in ACCURACIES.items():
        if name in point.ratios and name in hlm.ratios:
            yield row(claim, estimate(point.ratios[name], point.counts, over=hlm.ratios[name]))


def headline_json(spec: Spec, grid: Grid, results: Results, rows: list[HeadlineRow]) -> dict[str, Any]:
    """The table as JSON values, with what it was measured on."""
    asked = spec.headline
    point = next((point for point in results.points if point.prompts == spec.first_prompts), None)
    return {
        "title": spec.title,
        "pair": _pair(grid, results),
        "measured_on": {
            "prompts": spec.first_prompts,
            "n_prompts": len(point.counts[0]) if point else 0,
            "max_tokens": spec.grid[0].max_tokens,
            "seeds": list(spec.grid[0].seeds),
            "temperature": asked.temperature if asked else None,
            "compute": asked.compute if asked else None,
            "interval": "95 % bootstrap over prompts, 1000 resamples",
        },
        "paper": {claim.name: claim.paper for claim in CLAIMS.values()},
        "rows": [
            {
                "claim": row.claim,
                "meaning": CLAIMS[row.claim].meaning,
                "paper": CLAIMS[row.claim].paper_at(row.snr_db, row.round_trip_ms, lowest_snr_db(rows, row.claim)),
                "method": row.method,
                "threshold_rule": row.rule,
                "u_th": row.u_th,
                "vartheta": row.vartheta,
                "snr_db": row.snr_db,
                "round_trip_ms": row.round_trip_ms,
                "value": row.found.value,
                "low": row.found.low,
                "high": row.found.high,
            }
            for row in rows
        ],
        "differences": differences(grid, results),
    }


def lowest_snr_db(rows: Sequence[HeadlineRow], claim: str) -> float | None:
    """Of the rows of a claim, where the paper's "up to" is compared; None where it depends on none."""
    return min((row.snr_db for row in rows if row.claim == claim and row.snr_db is not None), default=None)


def _pair(grid: Grid, results: Results) -> dict[str, Any]:
    profile = next(iter(grid.profiles.values()))
    return {
        "draft": profile.draft_name,
        "target": profile.target_name,
        "vocab_size": results.vocab_size,
        "profiles": {
            f"T={temperature:g}": {
                "a": profile.rejection.a,
                "b": profile.rejection.b,
                "pearson_r": profile.rejection.pearson_r,
                "delta": profile.delta,
                "risk_averse": profile.risk_averse,
                "risk_prone": profile.risk_prone,
                "k_star": profile.k_star,
                "n_tokens": profile.provenance.n_tokens,
            }
            for temperature, profile in grid.profiles.items()
        },
    }


def differences(grid: Grid, results: Results) -> list[str]:
    """Why ours need not be the paper's numbers: what this pair and this count do differently."""
    found = []
    for temperature, profile in grid.profiles.items():
        model = profile.rejection
        found.append(
            f"At T = {temperature:g} this pair's line is β ≈ {model.a:.3f}·u {model.b:+.3f} "
            f"(r = {model.pearson_r:.2f} on the calibration's {model.n} tokens), Δ = {profile.delta:.2f}; "
            "the paper's TinyLlama-1.1B → Llama-2-7B has 0.815·u − 0.066. "
            f"Hence u_th is {profile.risk_averse:.3f} (risk-averse) and {profile.risk_prone:.3f} (risk-prone)"
            + _outside(profile.risk_averse, profile.risk_prone)
        )
    found += [
        "The slower the uplink, the nearer throughput over HLM comes to the ratio of the payloads, which grows with "
        f"|V|: {results.vocab_size} here, 32 000 in the paper. At high SNR it falls towards the ratio of computing "
        "times; a round trip per transmitted token, which the paper's count leaves out, brings it down everywhere.",
        "The target alone, streaming (`remote`), is the baseline that the paper leaves out: exact, and billed as the "
        f"others are. {FREE}",
        "Billed at the rate of a Rayleigh channel that fails with the stated outage probability. Over all fades the "
        "mean time of a transmission is infinite, so that a ratio of mean throughputs is ruled by the worst fades, and "
        "its bootstrap does not cover it.",
        "206×, 74.8 % and 97.4 % need not belong to one operating point: skipping 74.8 % and leaving out 97.4 % "
        "divides HLM's payload by 1/(0.252 · 0.026) = 153. Bandwidth and computing times behind them are not ours: the "
        "channel has 1 MHz, forward passes are billed by the named table, which is assumed, and the device's "
        "arithmetic as it was measured here, on a server's processor.",
        "ϑ, η and b_prob are not in the paper; they are those of a replica of it.",
        "Where a rule lies below 0 the method asks for every token, and what it gains over HLM is compression alone; "
        "where it lies above 1 it is the draft model alone, fast and with the draft's quality.",
        "That the paper's accuracy is cosine similarity to the target's answers is inferred, from a co-author's notes. "
        "Above T = 0 two samples of the target's own law differ, so HLM itself is far from remote's answer and the "
        "ratio is noisy (route draws with remote's own random numbers and looks closer than it is). It is also high "
        "between any two answers about one subject: look at the exact distance (TV) and at task scores beside it.",
    ]
    return found


def _outside(risk_averse: float, risk_prone: float) -> str:
    notes = []
    if risk_averse < 0:
        notes.append("the first lies below 0 and never skips")
    if risk_prone >= 1:
        notes.append("the second is at least 1 and never asks")
    return ": " + ", and ".join(notes) + "." if notes else "."
