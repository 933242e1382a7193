"""What the paper leaves open, teacher-forced: from one pass over the target's own texts, where every choice can be
compared on the same position. What a method does to its own text is in `ablations_of_methods`.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cuhlm.experiments.grid.places import THRESHOLDS, VARTHETAS, WIDTHS
from cuhlm.experiments.report.ablation import Ablation, Row, bounded
from cuhlm.experiments.report.places import Places
from cuhlm.theory.bootstrap import risk_coverage_area, weighted_correlation, weighted_estimate
from cuhlm.theory.rejection import fit_rejection
from cuhlm.theory.truncation import payload_bits
from cuhlm.theory.uncertainty import Measure

RISKS = (0.05, 0.10, 0.20)
"""Mean β that the skipped tokens may have."""
POSITIONS = (0, 32, 64, 128, 192, 256, 512, 1024, 2048)
FEW = 50
"""Fewer tokens than this say nothing about a task or a stretch."""

Floats = npt.NDArray[np.float64]


def ablations_of_places(walks: Sequence[Places], long_walks: Sequence[Places], vocab_size: int) -> list[Ablation]:
    """Every table that the walks have the data for."""
    found: list[Ablation] = []
    if walks:
        first = walks[0]
        found += [uncertainty_measures(first), risk_levels(first), frontier(first)]
        found += [varthetas(first), widths(first, vocab_size), domains(first), temperatures(walks)]
    found += [positions(walk) for walk in long_walks]
    return [ablation for ablation in found if ablation.rows]


def uncertainty_measures(places: Places) -> Ablation:
    """The five measures, as predictors of rejection."""
    beta = places.column("beta")
    rows = []
    for measure in Measure:
        u = places.column(f"u_{measure}")
        r = weighted_estimate(lambda w, u=u: weighted_correlation(u, beta, w), places.unit, places.counts)  # type: ignore[misc]
        area = weighted_estimate(lambda w, u=u: risk_coverage_area(u, beta, w), places.unit, places.counts)  # type: ignore[misc]
        cost = float(np.median(places.column(f"seconds_{measure}"))) * 1e6
        rows.append({"measure": str(measure)} | bounded("r", r) | bounded("area", area) | {"microseconds": cost})
    oracle = risk_coverage_area(beta, beta, np.ones(len(beta)))
    return Ablation(
        "uncertainty_measures",
        "Which uncertainty predicts rejection best, and what does it cost?",
        f"{places.described} "
        f"r: correlation with β. area: under the risk–coverage curve, lower is better; a measure that "
        f"knew β would have {oracle:.3f}, one that knew nothing {beta.mean():.3f}. microseconds: median per token, one "
        "thread. `expected` is the default, `sampled` the paper's.",
        rows,
    )


def threshold_at(u: Floats, beta: Floats, risk: float) -> float:
    """The highest u_th whose skipped tokens have a mean β of at most `risk`; −1 (skip nothing) where there is none."""
    order = np.argsort(u, kind="stable")
    sorted_u = u[order]
    means = np.cumsum(beta[order]) / np.arange(1, len(u) + 1)
    last_of_group = np.append(sorted_u[1:] != sorted_u[:-1], True)
    fitting = np.flatnonzero(last_of_group & (means <= risk))
    return float(sorted_u[fitting[-1]]) if fitting.size else -1.0


def risk_levels(places: Places) -> Ablation:
    """How much can be skipped at three levels of risk."""
    u, beta = places.column("u_expected"), places.column("beta")
    rows = []
    for risk in RISKS:
        threshold = threshold_at(u, beta, risk)
        skipped = u <= threshold
        rows.append(
            {"risk": risk, "u_th": threshold}
            | bounded("skipped_share", places.mean(skipped.astype(np.float64)))
            | bounded("mean_beta", places.mean(beta, skipped))
        )
    return Ablation(
        "risk_levels",
        "How many tokens can be kept at three levels of risk?",
        f"{places.described} "
        f"risk: bound on the mean β of the tokens kept; u_th: the highest that meets it here (−1: none "
        "does). The threshold was chosen on these very texts, so a little better than on others.",
        rows,
    )


def frontier(places: Places) -> Ablation:
    """Both thresholds and everything between."""
    skip, distance = places.lists("skip_chance"), places.lists("gated_tv")
    u, beta = places.column("u_expected"), places.column("beta")
    rows = [
        {"u_th": threshold}
        | bounded("transmitted_share", places.mean(np.maximum(0, 1 - skip[:, index])))
        | bounded("tv", places.mean(distance[:, index]))
        | bounded("skipped_beta", places.mean(beta, u <= threshold))
        for index, threshold in enumerate(THRESHOLDS)
    ]
    profile = places.profile
    return Ablation(
        "frontier",
        "What does each threshold send, and how far does it take the law from the target's?",
        f"{places.described} "
        f"The rules lie at u_th = {profile.risk_averse:.3f} (risk-averse) and {profile.risk_prone:.3f} "
        "(risk-prone). tv: exact distance of the law of the token put out from the target's, where what is transmitted "
        "comes out as the target's; over all drafts that could be made.",
        rows,
    )


def varthetas(places: Places) -> Ablation:
    """The bound of the online truncation."""
    k, distance = places.lists("k"), places.lists("k_tv")
    rows = [
        {"vartheta": vartheta}
        | bounded("mean_k", places.mean(k[:, index]))
        | {"median_k": float(np.median(k[:, index]))}
        | bounded("tv", places.mean(distance[:, index]))
        for index, vartheta in enumerate(VARTHETAS)
    ]
    return Ablation(
        "vartheta",
        "What does the distortion bound ϑ buy?",
        f"{places.described} "
        f"Online rule, as if every draft were sent with the drafted token's k. tv: of the verified law "
        "from the target's, 8 bits; all of it is truncation's and quantisation's doing. ϑ bounds it from above.",
        rows,
    )


def widths(places: Places, vocab_size: int) -> Ablation:
    """Bits per probability."""
    truncated, whole = places.lists("width_tv"), places.lists("full_width_tv")
    usual = places.lists("k")[:, VARTHETAS.index(0.1)]
    with_whole = places.frame["full_width_tv"].is_not_null().to_numpy()
    rows = []
    for index, width in enumerate(WIDTHS):
        padded = np.zeros(places.n)
        padded[with_whole] = whole[:, index]
        rows.append(
            {"b_prob": width}
            | bounded("tv_truncated", places.mean(truncated[:, index]))
            | {"bytes_truncated": float(usual.mean()) * payload_bits(1, vocab_size, width) / 8}
            | bounded("tv_whole", places.mean(padded, with_whole))
            | {"bytes_whole": payload_bits(vocab_size, vocab_size, width) / 8}
        )
    return Ablation(
        "b_prob",
        "How many bits does a probability need?",
        f"{places.described} "
        f"truncated: k*(t) at ϑ = 0.1; whole: the vocabulary, at {int(with_whole.sum())} of the "
        "positions. tv: of the verified law from the target's, the draft drawn from x. The paper uses 8.",
        rows,
    )


def domains(places: Places, risk: float = RISKS[1]) -> Ablation:
    """Calibrated on one task, used on another."""
    u, beta, task = places.column("u_expected"), places.column("beta"), places.frame["task"].to_numpy()
    tasks = [name for name in dict.fromkeys(task) if name and (task == name).sum() >= FEW]
    rows = []
    for origin in tasks if len(tasks) > 1 else []:
        own = task == origin
        model = fit_rejection(u[own], beta[own])
        threshold = threshold_at(u[own], beta[own], risk)
        row: Row = {"calibrated_on": origin, "tokens": int(own.sum()), "a": model.a, "b": model.b, "r": model.pearson_r}
        row["u_th"] = threshold
        for other in tasks:
            skipped = (task == other) & (u <= threshold)
            row[f"risk on {other}"] = float(beta[skipped].mean()) if skipped.any() else float("nan")
            row[f"n on {other}"] = int(skipped.sum())
        rows.append(row)
    return Ablation(
        "domains",
        "Does a threshold that was calibrated on one task hold on another?",
        f"{places.described} "
        "u_th: the highest at which the tokens skipped in the row's task have a mean β of at most "
        f"{risk:g}; then the mean β of the n tokens it skips in each task. a, b, r: the task's own line. "
        "Few texts a task: a hint, no more. −1: not even the most certain drafts meet the bound.",
        rows,
    )


def temperatures(walks: Sequence[Places]) -> Ablation:
    """How the pair changes with T."""
    rows = []
    for places in walks:
        profile = places.profile
        rows.append(
            {"temperature": places.temperature, "positions": places.n}
            | bounded("mean_beta", places.mean(places.column("beta")))
            | bounded("tv_of_the_models", places.mean(places.column("tv")))
            | bounded("mean_k", places.mean(places.lists("k")[:, VARTHETAS.index(0.1)]))
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


def positions(places: Places) -> Ablation:
    """Does calibration hold in long texts?"""
    number, beta = places.column("number"), places.column("beta")
    u, error = places.column("u_expected"), places.column("beta_hat") - beta
    rows = []
    for begin, end in pairwise(POSITIONS):
        inside = (number >= begin) & (number < end)
        if inside.sum() < FEW:
            continue
        rows.append(
            {"from": begin, "to": end - 1, "tokens": int(inside.sum()), "texts": len(set(places.unit[inside]))}
            | bounded("mean_beta", places.mean(beta, inside))
            | bounded("predicted_minus_seen", places.mean(error, inside))
            | {"r": weighted_correlation(u, beta, inside.astype(np.float64))}
        )
    return Ablation(
        "position",
        "Does calibration hold in long texts?",
        f"{places.described} "
        f"The profile was calibrated on the first tokens of other answers; predicted_minus_seen is the "
        "mean of β̂ − β in each stretch of the answer.",
        rows,
    )
