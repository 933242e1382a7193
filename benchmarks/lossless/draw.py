"""Draws what `python -m benchmarks.lossless --json` found: `python -m benchmarks.lossless.draw RESULTS.json FOLDER`."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cuhlm.experiments.report.drawing import GREY, Drawing, canvas, colour, legend_below, marker

TEMPERATURE = "0.7"
UP_KBPS = 1000.0
ROUND_TRIPS = (5, 50, 100, 200)

Numbers = dict[str, Any]


def gains(results: Numbers) -> Drawing:
    """Tokens per second over `remote` against the round trip, a panel for each speed of the target."""
    cells = [each for each in results["simulated"][TEMPERATURE] if each["cell"]["up_kbps"] == UP_KBPS]
    measured = [each for each in results["sockets"] if each["cell"]["up_kbps"] == UP_KBPS]
    targets, drafts = (sorted({each["cell"][name] for each in cells}) for name in ("target_ms", "draft_ms"))
    figure, axes = canvas(len(targets))
    for panel, target in zip(axes, targets, strict=True):
        panel.axhline(1, color=GREY, linewidth=1)
        for index, draft in enumerate(drafts):
            style = {"color": colour(index), "marker": marker(index)}
            line = _of(cells, draft, target)
            x = [each["cell"]["round_trip_ms"] for each in line]
            gain, low, high = zip(*(each["gain"] for each in line), strict=True)
            panel.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
            panel.plot(x, gain, label=f"draft {draft:g} ms", markersize=5, **style)
            for each in _of(measured, draft, target):
                at = each["cell"]["round_trip_ms"]
                panel.plot(at, each["gain"], linestyle="", markersize=11, markerfacecolor="none", **style)
        panel.set_title(f"target {target:g} ms a pass")
        panel.set_xscale("log")
        panel.set_xticks(ROUND_TRIPS, [str(each) for each in ROUND_TRIPS])
        panel.minorticks_off()
        panel.set_xlabel("round trip, ms")
    axes[0].set_ylabel("tokens/s over `remote`")
    legend_below(figure, axes[0])
    caption = (
        f"Simulated: recorded answers of Qwen2.5-Coder-Instruct 0.5B and 1.5B at T = {TEMPERATURE}, replayed; up 1 "
        "Mbit/s, a row more costs the target 1 % of its pass; bands: 95 % bootstrap over answers. Large hollow marks: "
        "measured on real sockets over emulated links, the whole of cuhlm with passes of that length."
    )
    return Drawing("gains", "What `lossless` gains over streaming from the target", caption, figure)


def _of(cells: Sequence[Numbers], draft: float, target: float) -> list[Numbers]:
    return [
        each
        for each in cells
        if (each["cell"]["draft_ms"], each["cell"]["target_ms"], each["cell"]["live"]) == (draft, target, False)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws what the benchmark found.")
    parser.add_argument("results", type=Path, help="JSON of `python -m benchmarks.lossless --json`")
    parser.add_argument("folder", type=Path, help="for gains.png and gains.svg")
    options = parser.parse_args()
    gains(json.loads(options.results.read_text(encoding="utf-8"))).save(options.folder)


if __name__ == "__main__":
    main()
