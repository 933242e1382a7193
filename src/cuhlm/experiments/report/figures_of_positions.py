"""Figures of the walks: what a draft meets with along the target's own texts."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from cuhlm.experiments.grid.positions import COVERAGE, VARTHETAS, WIDTHS
from cuhlm.experiments.report.ablation import TableRow
from cuhlm.experiments.report.ablations_of_positions import stretches, widths
from cuhlm.experiments.report.drawing import GREY, Drawing, canvas, colour, marker
from cuhlm.experiments.report.positions import Positions
from cuhlm.theory.uncertainty import Measure

Floats = npt.NDArray[np.float64]


def figures_of_positions(walks: Sequence[Positions], long_walks: Sequence[Positions], vocab_size: int) -> list[Drawing]:
    """Every figure that the walks have the data for."""
    found = []
    if walks:
        first = walks[0]
        found += [uncertainty_and_rejection(first), confidence(first), coverage(first, vocab_size)]
        found += [risk_and_coverage(first), k_and_vartheta(first, vocab_size), bits(first, vocab_size)]
    found += [along_the_text(walk) for walk in long_walks]
    return found


def _measured(positions: Positions) -> str:
    return (
        f"{positions.n} positions of {positions.texts} texts that the target wrote at T = {positions.temperature:g}. "
        "Where not labelled otherwise, bars and bands are 95 % bootstrap intervals over texts."
    )


def _binned(axes: Axes, positions: Positions, x: Floats, y: Floats, bins: int = 12) -> None:
    """Mean of y in bins of x with equally many positions, with intervals."""
    edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)))
    inner = np.digitize(x, edges[1:-1])
    chosen = [inner == number for number in range(len(edges) - 1)]
    found = [positions.mean(y, each) for each in chosen if each.any()]
    centres = [x[each].mean() for each in chosen if each.any()]
    values = np.array([each.value for each in found])
    below = values - np.array([each.low for each in found])
    above = np.array([each.high for each in found]) - values
    axes.errorbar(
        centres,
        values,
        yerr=np.maximum(0, [below, above]),
        fmt="o",
        color=colour(0),
        capsize=3,
        label="mean β of equally many positions",
        zorder=3,
    )


def uncertainty_and_rejection(positions: Positions) -> Drawing:
    """β against u, with the calibrated line."""
    figure, (axes,) = canvas(height=4.6)
    u, beta = positions.column("u_expected"), positions.column("beta")
    axes.scatter(u, beta, s=4, color="#BBBBBB", label="a position", rasterized=True)
    _binned(axes, positions, u, beta)
    model = positions.profile.rejection
    line = np.linspace(0, 1, 50)
    axes.plot(line, model.predict_all(line), color=colour(1), label=f"calibrated: β ≈ {model.a:.3f}·u {model.b:+.3f}")
    rules = (("risk-averse", positions.profile.risk_averse), ("risk-prone", positions.profile.risk_prone))
    for (name, threshold), style in zip(rules, ("--", ":"), strict=True):
        if 0 <= threshold <= 1:
            axes.axvline(threshold, color=GREY, linestyle=style, label=f"{name}: u_th = {threshold:.3f}")
    axes.set(
        xlabel="uncertainty u of the draft", ylabel="rejection probability β", xlim=(-0.02, 1.02), ylim=(-0.03, 1.03)
    )
    axes.legend(loc="upper left", framealpha=0.9)
    outside = [f"{name} u_th = {value:.3f}" for name, value in rules if not 0 <= value <= 1]
    note = f" Outside of the figure: {', '.join(outside)}." if outside else ""
    return Drawing(
        "uncertainty_and_rejection",
        "Uncertainty of the draft against rejection by the target",
        f"{_measured(positions)} The line was calibrated on {model.n} positions of other texts "
        f"(r = {model.pearson_r:.2f} there).{note}",
        figure,
    )


def confidence(positions: Positions) -> Drawing:
    """The draft's confidence, and rejection against it."""
    figure, (left, right) = canvas(2)
    x_max, beta = positions.column("x_max"), positions.column("beta")
    left.hist(x_max, bins=20, range=(0, 1), weights=np.full(len(x_max), 1 / len(x_max)), color=colour(0))
    left.set(xlabel="largest probability of x", ylabel="share of positions")
    left.set_title("How confident the draft model is", fontsize=10)
    _binned(right, positions, x_max, beta)
    right.set(xlabel="largest probability of x", ylabel="rejection probability β", ylim=(0, None))
    right.set_title("How often it is rejected then", fontsize=10)
    right.legend(loc="upper right", framealpha=0.9)
    r = float(np.corrcoef(x_max, beta)[0, 1])
    return Drawing(
        "confidence",
        "The draft's confidence, and how often it is rejected",
        f"{_measured(positions)} Correlation of confidence with rejection: r = {r:.2f}.",
        figure,
    )


def coverage(positions: Positions, vocab_size: int) -> Drawing:
    """Vocabulary sparsity: how much of x the largest entries hold."""
    figure, (left, right) = canvas(2)
    ks = [k for k in COVERAGE if k <= vocab_size]
    mass = positions.lists("coverage")[:, : len(ks)]
    low, median, high = np.quantile(mass, (0.1, 0.5, 0.9), axis=0)
    left.fill_between(ks, low, high, color=colour(0), alpha=0.2, label="10 % to 90 % of positions", linewidth=0)
    left.plot(ks, median, color=colour(0), marker="o", label="median")
    left.plot(ks, mass.mean(axis=0), color=colour(1), linestyle="--", marker="s", label="mean")
    left.set(xscale="log", xlabel="k, entries kept", ylabel="mass of the k largest", ylim=(0, 1.03))
    left.legend(loc="lower right")
    needed = np.sort(positions.column("k_of_99"))
    right.step(needed, np.arange(1, len(needed) + 1) / len(needed), color=colour(0), where="post")
    right.set(xscale="log", xlabel="entries that hold 99 % of x", ylabel="share of positions", ylim=(0, 1.03))
    share = float(np.median(needed)) / vocab_size
    return Drawing(
        "coverage",
        "How many entries of the draft's distribution hold most of it",
        f"{_measured(positions)} |V| = {vocab_size}. In the median {np.median(needed):.0f} entries ({share:.2%} of the "
        f"vocabulary) hold 99 % of x; at one position in ten more than {np.quantile(needed, 0.9):.0f} are needed.",
        figure,
    )


def risk_and_coverage(positions: Positions) -> Drawing:
    """Risk–coverage curves of the five measures."""
    figure, (axes,) = canvas()
    beta = positions.column("beta")
    share = np.arange(1, positions.n + 1) / positions.n
    start = positions.n // 50
    for index, measure in enumerate(Measure):
        order = np.argsort(positions.column(f"u_{measure}"), kind="stable")
        risk = np.cumsum(beta[order]) / np.arange(1, positions.n + 1)
        axes.plot(share[start:], risk[start:], color=colour(index), label=str(measure), linewidth=1.6)
        at = np.linspace(start, positions.n - 1, 8).astype(int)
        axes.plot(share[at], risk[at], linestyle="", marker=marker(index), color=colour(index), markersize=5)
    axes.axhline(float(beta.mean()), color=GREY, linestyle=":", label="tokens kept at random")
    axes.set(xlabel="share of tokens kept without asking, the most certain first", ylabel="mean β of those kept")
    axes.set(xlim=(0, 1), ylim=(0, None))
    axes.legend(loc="lower right", ncols=2)
    return Drawing(
        "risk_and_coverage",
        "What each measure of uncertainty risks for what it keeps (lower is better)",
        f"{positions.n} positions of {positions.texts} texts that the target wrote at T = {positions.temperature:g}. "
        "Areas under the curves, with intervals, are in the table of uncertainty measures.",
        figure,
    )


def k_and_vartheta(positions: Positions, vocab_size: int) -> Drawing:
    """k against ϑ, and what it does to the law."""
    figure, (left, right) = canvas(2)
    k, distance = positions.lists("k"), positions.lists("k_tv")
    low, median, high = np.quantile(k, (0.1, 0.5, 0.9), axis=0)
    left.fill_between(VARTHETAS, low, high, color=colour(0), alpha=0.2, linewidth=0, label="10 % to 90 % of positions")
    left.plot(VARTHETAS, median, color=colour(0), marker="o", label="median")
    left.plot(VARTHETAS, k.mean(axis=0), color=colour(1), linestyle="--", marker="s", label="mean")
    left.axhline(vocab_size, color=GREY, linestyle=":", label="whole vocabulary")
    left.set(xscale="log", yscale="log", xlabel="distortion bound ϑ", ylabel="entries sent, k*(t)")
    left.legend(loc="lower left")
    found = [positions.mean(distance[:, index]) for index in range(len(VARTHETAS))]
    right.plot(
        VARTHETAS, [each.value for each in found], color=colour(0), marker="o", label="distance of the output law"
    )
    right.fill_between(
        VARTHETAS, [each.low for each in found], [each.high for each in found], color=colour(0), alpha=0.2, linewidth=0
    )
    right.plot(VARTHETAS, VARTHETAS, color=GREY, linestyle=":", label="the bound itself")
    right.set(xscale="log", yscale="log", xlabel="distortion bound ϑ", ylabel="TV from the target's law")
    right.legend(loc="upper left")
    return Drawing(
        "k_and_vartheta",
        "Entries sent against the distortion bound ϑ, and what the law pays",
        f"{_measured(positions)} Online rule with the drafted token's k, 8 bits per probability.",
        figure,
    )


def bits(positions: Positions, vocab_size: int) -> Drawing:
    """TV against b_prob."""
    figure, (axes,) = canvas()
    table = widths(positions, vocab_size)
    for index, (name, label) in enumerate(
        (("tv_truncated", "k*(t) entries, ϑ = 0.1"), ("tv_whole", "whole vocabulary"))
    ):
        _line_with_band(axes, table.rows, "b_prob", name, label, index)
    axes.set(xlabel="bits per probability, b_prob", ylabel="TV from the target's law", yscale="log", xticks=WIDTHS)
    axes.legend(loc="upper right")
    return Drawing(
        "bits",
        "How finely must probabilities be written?",
        f"{_measured(positions)} Whole vocabulary: at every eighth position. The draft is drawn from x; with "
        "draft_from = xhat all of this distance vanishes.",
        figure,
    )


def along_the_text(positions: Positions) -> Drawing:
    """Mean β and its prediction along the answer."""
    figure, (axes,) = canvas()
    rows = stretches(positions).rows
    _line_with_band(axes, rows, "from", "mean_beta", "mean β, seen", 0)
    predicted = [row["mean_beta"] + row["predicted_minus_seen"] for row in rows]
    begins = [row["from"] for row in rows]
    axes.plot(begins, predicted, color=colour(1), linestyle="--", marker="s", label="β̂, predicted")
    axes.set(xlabel="stretch of the answer, from token", ylabel="rejection probability", ylim=(0, 1))
    axes.set_xticks(begins)
    axes.legend(loc="lower right")
    return Drawing(
        "along_the_text",
        "Does the calibrated line hold in long texts?",
        f"{_measured(positions)} The line was calibrated on the beginnings of other answers.",
        figure,
    )


def _line_with_band(axes: Axes, rows: Sequence[TableRow], x: str, y: str, label: str, index: int) -> None:
    positions = [row[x] for row in rows]
    axes.plot(positions, [row[y] for row in rows], color=colour(index), marker=marker(index), label=label)
    low, high = ([row[f"{y}_{end}"] for row in rows] for end in ("low", "high"))
    axes.fill_between(positions, low, high, color=colour(index), alpha=0.2, linewidth=0)
