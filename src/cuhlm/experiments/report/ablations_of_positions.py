"""What the paper leaves open, teacher-forced: from one pass over the target's own texts, where every choice can be
compared on the same position. What a method does to its own text is in `ablations_of_methods`.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cuhlm.experiments.grid.positions import THRESHOLDS, VARTHETAS, WIDTHS
from cuhlm.experiments.report.ablation import Ablation, TableRow, bounded
from cuhlm.experiments.report.positions import Positions
from cuhlm.measuring.bootstrap import risk_coverage_area, weighted_correlation, weighted_estimate
from cuhlm.theory.rejection import fit_rejection, threshold_at
from cuhlm.theory.truncation import payload_bits
from cuhlm.theory.uncertainty import Measure

RISKS = (0.05, 0.10, 0.20)
"""Mean β that the skipped tokens may have."""
POSITIONS = (0, 32, 64, 128, 192, 256, 512, 1024, 2048)
FEW = 50
"""Fewer tokens than this say nothing about a task or a stretch."""

Floats = npt.NDArray[np.float64]


def ablations_of_positions(
    walks: Sequence[Positions], long_walks: Sequence[Positions], vocab_size: int
) -> list[Ablation]:
    """Every table that the walks have the data for."""
    found: list[Ablation] = []
    if walks:
        first = walks[0]
        found += [uncertainty_measures(first), risk_levels(first), frontier(first)]
        found += [varthetas(first), widths(first, vocab_size), domains(first), temperatures(walks)]
    found += [stretches(walk) for walk in long_walks]
    return [ablation for ablation in found if ablation.rows]


def uncertainty_measures(positions: Positions) -> Ablation:
    """The five measures, as predictors of rejection."""
    beta = positions.column("beta")
    rows = []
    for measure in Measure:
        u = positions.column(f"u_{measure}")
        r = weighted_estimate(lambda w, u=u: weighted_correlation(u, beta, w), positions.unit, positions.counts)  # type: ignore[misc]
        area = weighted_estimate(lambda w, u=u: risk_coverage_area(u, beta, w), positions.unit, positions.counts)  # type: ignore[misc]
        cost = float(np.median(positions.column(f"seconds_{measure}"))) * 1e6
        rows.append({"measure": str(measure)} | bounded("r", r) | bounded("area", area) | {"microseconds": cost})
    oracle = risk_coverage_area(beta, beta, np.ones(len(beta)))
    return Ablation(
        "uncertainty_measures",
        "Which uncertainty predicts rejection best, and what does it cost?",
        f"{positions.described} "
        f"r: correlation with β. area: under the risk–coverage curve, lower is better; a measure that "
        f"knew β would have {oracle:.3f}, one that knew nothing {beta.mean():.3f}. microseconds: median per token, one "
        "thread. `expected` is the default, `sampled` the paper's.",
        rows,
    )


def risk_levels(positions: Positions) -> Ablation:
    """How much can be skipped at three levels of risk."""
    u, beta = positions.column("u_expected"), positions.column("beta")
    rows = []
    for risk in RISKS:
        threshold = threshold_at(u, beta, risk)
        skipped = u <= threshold
        rows.append(
            {"risk": risk, "u_th": threshold}
            | bounded("skipped_share", positions.mean(skipped.astype(np.float64)))
            | bounded("mean_beta", positions.mean(beta, skipped))
        )
    return Ablation(
        "risk_levels",
        "How many tokens can be kept at three levels of risk?",
        f"{positions.described} "
        f"risk: bound on the mean β of the tokens kept; u_th: the highest that meets it here (−1: none "
        "does). The threshold was chosen on these very texts, so a little better than on others.",
        rows,
    )


def frontier(positions: Positions) -> Ablation:
    """Both thresholds and everything between."""
    skip, distance = positions.lists("skip_chance"), positions.lists("gated_tv")
    u, beta = positions.column("u_expected"), positions.column("beta")
    rows = [
        {"u_th": threshold}
        | bounded("transmitted_share", positions.mean(np.maximum(0, 1 - skip[:, index])))
        | bounded("tv", positions.mean(distance[:, index]))
        | bounded("skipped_beta", positions.mean(beta, u <= threshold))
        for index, threshold in enumerate(THRESHOLDS)
    ]
    profile = positions.profile
    return Ablation(
        "frontier",
        "What does each threshold send, and how far does it take the law from the target's?",
        f"{positions.described} "
        f"The rules lie at u_th = {profile.risk_averse:.3f} (risk-averse) and {profile.risk_prone:.3f} "
        "(risk-prone). tv: exact distance of the law of the token put out from the target's, where what is transmitted "
        "comes out as the target's; over all drafts that could be made.",
        rows,
    )


def varthetas(positions: Positions) -> Ablation:
    """The bound of the online truncation."""
    k, distance = positions.lists("k"), positions.lists("k_tv")
    rows = [
        {"vartheta": vartheta}
        | bounded("mean_k", positions.mean(k[:, index]))
        | {"median_k": float(np.median(k[:, index]))}
        | bounded("tv", positions.mean(distance[:, index]))
        for index, vartheta in enumerate(VARTHETAS)
    ]
    return Ablation(
        "vartheta",
        "What does the distortion bound ϑ buy?",
        f"{positions.described} "
        f"Online rule, as if every draft were sent with the drafted token's k. tv: of the verified law "
        "from the target's, 8 bits; all of it is truncation's and quantisation's doing. ϑ bounds it from above.",
        rows,
    )


def widths(positions: Positions, vocab_size: int) -> Ablation:
    """Bits per probability."""
    truncated, whole = positions.lists("width_tv"), positions.lists("full_width_tv")
    usual = positions.lists("k")[:, VARTHETAS.index(0.1)]
    with_whole = positions.frame["full_width_tv"].is_not_null().to_numpy()
    rows = []
    for index, width in enumerate(WIDTHS):
        padded = np.zeros(positions.n)
        padded[with_whole] = whole[:, index]
        rows.append(
            {"b_prob": width}
            | bounded("tv_truncated", positions.mean(truncated[:, index]))
            | {"bytes_truncated": float(usual.mean()) * payload_bits(1, vocab_size, width) / 8}
            | bounded("tv_whole", positions.mean(padded, with_whole))
            | {"bytes_whole": payload_bits(vocab_size, vocab_size, width) / 8}
        )
    return Ablation(
        "b_prob",
        "How many bits does a probability need?",
        f"{positions.described} "
        f"truncated: k*(t) at ϑ = 0.1; whole: the vocabulary, at {int(with_whole.sum())} of the "
        "positions. tv: of the verified law from the target's, the draft drawn from x. The paper uses 8.",
        rows,
    )


def domains(positions: Positions, risk: float = RISKS[1]) -> Ablation:
    """Calibrated on one task, used on another."""
    u, beta, task = positions.column("u_expected"), positions.column("beta"), positions.frame["task"].to_numpy()
    tasks = [name for name in dict.fromkeys(task) if name and (task == name).sum() >= FEW]
    rows = []
    for origin in tasks if len(tasks) > 1 else []:
        own = task == origin
        model = fit_rejection(u[own], beta[own])
        threshold = threshold_at(u[own], beta[own], risk)
        row: TableRow = {
            "calibrated_on": origin,
            "tokens": int(own.sum()),
            "a": model.a,
            "b": model.b,
            "r": model.pearson_r,
        }
        row["u_th"] = threshold
        for other in tasks:
            skipped = (task == other) & (u <= threshold)
            row[f"risk on {other}"] = float(beta[skipped].mean()) if skipped.any() else float("nan")
            row[f"n on {other}"] = int(skipped.sum())
        rows.append(row)
    return Ablation(
        "domains",
        "Does a threshold that was calibrated on one task hold on another?",
        f"{positions.described} "
        "u_th: the highest at which the tokens skipped in the row's task have a mean β of at most "
        f"{risk:g}; then the mean β of the n tokens it skips in each task. a, b, r: the task's own line. "
        "Few texts a task: a hint, no more. −1: not even the most certain drafts meet the bound.",
        rows,
    )


def temperatures(walks: Sequence[Positions]) -> Ablation:
    """How the pair changes with T."""
    rows = []
    for positions in walks:
        profile = positions.profile
        rows.append(
            {"temperature": positions.temperature, "positions": positions.n}
            | bounded("mean_beta", positions.mean(positions.column("beta")))
            | bounded("tv_of_the_models", positions.mean(positions.column("tv")))
            | bounded("mean_k", positions.mean(positions.lists("k")[:, VARTHETAS.index(0.1)]))
            | {"a": profile.rejection.a, "b": profile.rejection.b, "r": profile.rejection.pearson_r}
            | {"delta": profile.delta, "risk_averse": profile.risk_averse, "risk_prone": profile.risk_prone}
        )
    return Ablation(
        "temperature",
        "How does temperature change the pair?",
        "Teacher-forced at each temperature on texts that the target wrote at it; in brackets: 95 % bootstrap over "
        "texts. a, b, r, Δ and both rules are calibrated at each, on other prompts.",
        rows,
    )


def stretches(positions: Positions) -> Ablation:
    """Does calibration hold in long texts?"""
    number, beta = positions.column("number"), positions.column("beta")
    u, error = positions.column("u_expected"), positions.column("beta_hat") - beta
    rows = []
    for begin, end in pairwise(POSITIONS):
        inside = (number >= begin) & (number < end)
        if inside.sum() < FEW:
            continue
        rows.append(
            {"from": begin, "to": end - 1, "tokens": int(inside.sum()), "texts": len(set(positions.unit[inside]))}
            | bounded("mean_beta", positions.mean(beta, inside))
            | bounded("predicted_minus_seen", positions.mean(error, inside))
            | {"r": weighted_correlation(u, beta, inside.astype(np.float64))}
        )
    return Ablation(
        "position",
        "Does calibration hold in long texts?",
        f"{positions.described} "
        f"The profile was calibrated on the first tokens of other answers; predicted_minus_seen is the "
        "mean of β̂ − β in each stretch of the answer.",
        rows,
    )
