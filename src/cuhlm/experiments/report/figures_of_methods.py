"""Figures of the grid: what the methods cost and what they are worth."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from cuhlm.channel.compute import MEASURED
from cuhlm.experiments.grid.replay import PARTS
from cuhlm.experiments.grid.spec import Spec
from cuhlm.experiments.report.drawing import GREY, PART_COLOURS, STYLES, Drawing, canvas, legend_below
from cuhlm.experiments.report.headline import FREE
from cuhlm.experiments.report.positions import Positions
from cuhlm.experiments.report.results import Point, Results
from cuhlm.measuring.bootstrap import Estimate, estimate

FRONTIER = ("cu-hlm", "route", "opportunistic")
ALONE = ("local", "remote", "hlm", "rand-hlm", "u-hlm", "split")
PART_NAMES = {
    "draft": "draft model",
    "arithmetic": "device's arithmetic",
    "uplink": "uplink",
    "round_trip": "round trip",
    "target": "target model",
}
LATENCY_CHANNEL = "lte"


def figures_of_methods(spec: Spec, results: Results, walk: Positions | None) -> list[Drawing]:
    """Every figure that the grid has the data for."""
    temperature = spec.headline.temperature if spec.headline else spec.temperatures[0]
    prompts = spec.first_prompts
    shown = typical_points(spec, results, prompts, temperature)
    found = []
    if spec.billing.sweep.snr_db:
        found += [throughput(spec, shown), overhead(spec, shown)]
    found += [bytes_per_token(shown), latency(spec, shown)]
    for condition in results.conditions:
        found += quality(results, *condition, walk)
    return found


def typical_points(spec: Spec, results: Results, prompts: str, temperature: float) -> list[Point]:
    """One point per method: gated ones at the headline's first threshold that is a number, else at their first."""
    numbers = [each for each in (spec.headline.thresholds if spec.headline else ()) if not isinstance(each, str)]
    by_method: dict[str, list[Point]] = {}
    for point in results.at(prompts, temperature):
        by_method.setdefault(point.choice.method.name, []).append(point)
    return [
        next((point for point in points if point.choice.threshold in numbers[:1]), points[0])
        for points in by_method.values()
    ]


def _label(point: Point) -> str:
    choice = point.choice
    if choice.has_budget:
        return f"{choice.method.name}, risk {100 * choice.risk:g} %"
    if choice.law_entries:
        return f"{choice.method.name}, {choice.law_entries} of y"
    return choice.method.name + (f", u_th = {point.settings.threshold:.2g}" if choice.is_gated else "")


def _on(point: Point) -> str:
    return f"{point.n_answers} answers per method at T = {point.temperature:g}"


def throughput(spec: Spec, points: Sequence[Point]) -> Drawing:
    """Tokens per second against SNR, both counts."""
    figure, panels = canvas(2, height=5)
    sweep, compute = spec.billing.sweep, spec.headline.compute if spec.headline else spec.billing.compute[0]
    snr = sweep.snr_db
    for axes, felt in zip(panels, (False, True), strict=True):
        for point in sorted(points, key=lambda point: point.choice.method.name == "remote"):  # above lossless's line
            found = [estimate(point.speed(sweep.name(db, felt=felt), compute), point.counts) for db in snr]
            _banded(axes, snr, found, point)
        axes.set(yscale="log", xlabel="mean SNR, dB", xticks=snr)
        axes.set_title(f"with a round trip of {sweep.rtt_ms:g} ms" if felt else "as the paper counts", fontsize=10)
    panels[0].set_ylabel("tokens per second, simulated")
    panels[1].sharey(panels[0])
    legend_below(figure, panels[0])
    return Drawing(
        "throughput",
        "Throughput against signal-to-noise ratio",
        f"{_on(points[0])}, billed for a 1 MHz Rayleigh channel at the rate that fails with a probability of "
        f"{100 * sweep.outage:g} % (over all fades the mean time of a transmission is infinite); computing by the "
        f"table {compute}. Left: draft + uplink + target, as in the paper. Right: with the round trip that a user "
        f"waits for. {FREE} Bands: 95 % bootstrap over prompts.",
        figure,
    )


def overhead(spec: Spec, points: Sequence[Point]) -> Drawing:
    """The seed of the paper: what HLM spends on its uplink."""
    figure, (axes,) = canvas()
    sweep, compute = spec.billing.sweep, spec.headline.compute if spec.headline else spec.billing.compute[0]
    named = [point for point in points if point.choice.method.name in ("hlm", "u-hlm", "cu-hlm-offline", "cu-hlm")]
    for point in named:
        shares = []
        for snr_db in sweep.snr_db:
            parts = point.seconds_per_token(sweep.name(snr_db, felt=False), compute)
            shares.append(parts["uplink"] / sum(parts.values()))
        colour, marker = STYLES[point.choice.method.name]
        axes.plot(sweep.snr_db, shares, color=colour, marker=marker, label=_label(point))
    axes.set(xlabel="mean SNR, dB", ylabel="share of the time spent on the uplink", ylim=(0, 1.03), xticks=sweep.snr_db)
    legend_below(figure, axes)
    return Drawing(
        "overhead",
        "How much of its time a method spends sending",
        f"{_on(points[0])}, billed without round trip, at the rate that fails with a probability of "
        f"{100 * sweep.outage:g} %; computing by the table {compute}. Shares of summed times.",
        figure,
    )


def bytes_per_token(points: Sequence[Point]) -> Drawing:
    """Uplink payload of each method."""
    figure, (axes,) = canvas(height=0.45 * len(points) + 1.2)
    found = [point.estimate("uplink_bytes_per_token") for point in points]
    rows = np.arange(len(points))
    values = [each.value for each in found]
    errors = [[each.value - each.low for each in found], [each.high - each.value for each in found]]
    colours = [STYLES[point.choice.method.name][0] for point in points]
    axes.barh(rows, values, xerr=np.maximum(0, errors), color=colours, capsize=3, ecolor=GREY)
    axes.set_xscale("symlog", linthresh=1)
    for row, value in zip(rows, values, strict=True):
        axes.annotate(
            f"{value:,.0f}" if value else "0: no distribution is sent",
            (0, row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold",
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
        )
    axes.set_yticks(rows, [_label(point) for point in points])
    axes.invert_yaxis()
    axes.set(xlabel="bytes up per token (logarithmic)", xlim=(0, None))
    return Drawing(
        "bytes_per_token",
        "What each method sends up per token",
        f"{_on(points[0])}. The paper's payload, k · (b_prob + ⌈log2 |V|⌉) bits, over all tokens; token ids and "
        "headers are not in it. Bars: 95 % bootstrap over prompts.",
        figure,
    )


def latency(spec: Spec, points: Sequence[Point]) -> Drawing:
    """Where the time of a token goes."""
    billing = spec.billing
    channels = [name for name in (LATENCY_CHANNEL, "paper") if name in billing.channels] or list(billing.channels[:1])
    channel = channels[0] if channels else billing.all_channels()[0].name
    measured = "`measured`: the stage times of this run, one thread per model. " * (MEASURED.name in billing.compute)
    figure, panels = canvas(len(billing.compute), height=0.45 * len(points) + 2)
    for axes, compute in zip(panels, billing.compute, strict=True):
        begin = np.zeros(len(points))
        rows = np.arange(len(points))
        each = [point.seconds_per_token(channel, compute) for point in points]
        for index, part in enumerate(part for part in PARTS if part in PART_NAMES):
            milliseconds = np.array([1000 * seconds[part] for seconds in each])
            axes.barh(rows, milliseconds, left=begin, color=PART_COLOURS[index], label=PART_NAMES[part], height=0.7)
            begin += milliseconds
        axes.set_yticks(rows, [_label(point) for point in points] if axes is panels[0] else [""] * len(points))
        axes.invert_yaxis()
        axes.set_xlabel("milliseconds per token")
        axes.set_title(f"computing: {compute}", fontsize=10)
    legend_below(figure, panels[0])
    return Drawing(
        "latency",
        f"Where the time of a token goes, on the channel {channel}",
        f"{_on(points[0])}, means over all tokens. "
        + measured
        + "Other work on the machine lengthens all that is measured: in every table, the device's arithmetic.",
        figure,
    )


QUALITIES = {
    "exact_match": "sums with the right number",
    "similarity_to_remote": "cosine similarity to remote's answer",
    "tv": "TV from the target's law",
    "nll": "negative log-likelihood, nats per token",
    "agreement_with_remote": "positions with remote's token",
}
SHARES = ("exact_match", "similarity_to_remote", "agreement_with_remote")


def quality(results: Results, prompts: str, temperature: float, walk: Positions | None) -> list[Drawing]:
    """Quality against the transmitted share: the frontier over thresholds, in exact measures and in scores."""
    points = [point for point in results.at(prompts, temperature) if point.choice.draft_from == "x"]
    lines = {name: _by_share([each for each in points if each.choice.method.name == name]) for name in FRONTIER}
    lines = {name: line for name, line in lines.items() if len(line) > 1}
    # A score that no method earns says nothing: answers may be cut short before they come to their number.
    shown = [
        name for name in QUALITIES if any(each.ratios[name].numerator.any() for each in points if name in each.ratios)
    ]
    # At T = 0 any other token than the target's is infinitely unlikely; above, equal tokens are mostly equal luck.
    unfit = "nll" if temperature == 0 else "agreement_with_remote"
    shown = [name for name in shown if name != unfit][:4]
    if not lines:
        return []
    figure, panels = canvas(2, rows=(len(shown) + 1) // 2, height=4.2 * ((len(shown) + 1) // 2))
    for axes, name in zip(panels, shown, strict=False):
        _draw_quality(axes, name, lines, points, walk if walk and walk.temperature == temperature else None)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    legend_below(figure, panels[0])
    suffix = "" if len(results.conditions) == 1 else f"_{prompts}_T{temperature:g}"
    return [
        Drawing(
            f"quality{suffix}",
            "Quality against the share of tokens that the target judged or made",
            f"{points[0].n_answers} answers per point on the set {prompts!r} at T = {temperature:g}; bars: 95 % "
            "bootstrap over prompts. Each point of a line is a threshold; rings mark the calibrated rules (risk-averse "
            "asks more, risk-prone less). Above T = 0 similarity is between two independent samples, so that `hlm`, "
            "whose law is the target's, is far from 1. A dotted line is the whole frontier on the target's own texts."
            + (" route's tokens are cu-hlm's: its line covers the other." if temperature == 0 else ""),
            figure,
        )
    ]


def _by_share(points: Sequence[Point]) -> list[Point]:
    return sorted(points, key=lambda point: point.estimate("target_share").value)


def _draw_quality(
    axes: Axes, name: str, lines: dict[str, list[Point]], points: Sequence[Point], walk: Positions | None
) -> None:
    for method, line in lines.items():
        shares = [point.estimate("target_share").value for point in line]
        found = [point.estimate(name) for point in line]
        _with_bars(axes, shares, found, method, method)
        rules = [position for position, point in enumerate(line) if isinstance(point.choice.threshold, str)]
        axes.plot(
            [shares[position] for position in rules],
            [found[position].value for position in rules],
            linestyle="",
            marker="o",
            markersize=13,
            markerfacecolor="none",
            markeredgecolor=GREY,
        )
    alone = [point for point in points if point.choice.method.name in ALONE and name in point.ratios]
    for point in alone:
        share = point.estimate("target_share").value
        _with_bars(axes, [share], [point.estimate(name)], _label(point), point.choice.method.name)
    if name == "tv" and walk is not None:
        axes.plot(
            1 - walk.lists("skip_chance").mean(axis=0),
            walk.lists("gated_tv").mean(axis=0),
            color=GREY,
            linestyle=":",
            label="frontier on the target's texts",
        )
    axes.set(xlabel="share of tokens that the target judged or made", ylabel=QUALITIES[name], xlim=(-0.04, 1.04))
    if name in SHARES:
        axes.set_ylim(-0.03, 1.03)
    elif name != "nll":
        axes.set_ylim(bottom=0)


def _with_bars(axes: Axes, x: Sequence[float], found: Sequence[Estimate], label: str, method: str) -> None:
    colour, marker = STYLES[method]
    values = np.array([each.value for each in found])
    errors = [values - [each.low for each in found], np.array([each.high for each in found]) - values]
    axes.errorbar(
        x,
        values,
        yerr=np.maximum(0, np.nan_to_num(errors)),
        color=colour,
        marker=marker,
        capsize=2,
        linewidth=1.2,
        label=label,
    )


def _banded(axes: Axes, x: Sequence[float], found: Sequence[Estimate], point: Point) -> None:
    colour, marker = STYLES[point.choice.method.name]
    line = "--" if point.choice.method.name == "remote" else "-"
    values = [each.value for each in found]
    axes.plot(x, values, color=colour, marker=marker, linestyle=line, label=_label(point), markersize=5)
    axes.fill_between(x, [each.low for each in found], [each.high for each in found], color=colour, alpha=0.15, lw=0)
