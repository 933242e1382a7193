"""The streams as a figure: wrong tokens as they add up, and what is kept."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

_SHADES = {"chat": "#f2f2f2", "mathematics": "#e3ecf7", "code": "#f7ecdd"}


def draw(lines: Sequence[dict[str, Any]], policies: Sequence[str], risks: Sequence[float], path: Path) -> None:
    """Two panels over the tokens of a stream: the share kept and wrong so far, and the share kept of each text."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7), sharex=True, layout="constrained")
    for policy in policies:
        mine = [line for line in lines if line["policy"] == policy]
        tokens = np.cumsum([line["tokens"] for line in mine])
        (drawn,) = above.plot(tokens, np.cumsum([line["wrong"] for line in mine]) / tokens, label=policy)
        window, shares = np.ones(5), [line["kept"] / line["tokens"] for line in mine]
        near = np.convolve(shares, window, mode="same") / np.convolve(np.ones(len(mine)), window, mode="same")
        below.plot(tokens, near, color=drawn.get_color())
    for risk in risks:
        above.axhline(risk, color="0.5", linewidth=0.8, linestyle=":")
    _shade((above, below), [line for line in lines if line["policy"] == policies[0]])
    above.set_ylabel("kept and wrong so far, per token")
    above.set_ylim(0, None)
    above.legend(ncols=4, fontsize=8, loc="upper right")
    above.set_title("dotted: the budgets; shaded: " + ", ".join(_SHADES), fontsize=9)
    below.set_ylabel("kept (mean of five texts)")
    below.set_xlabel("tokens of the stream")
    below.set_ylim(0, 1.02)
    figure.savefig(path)
    plt.close(figure)


def _shade(panels: Sequence[Any], lines: Sequence[dict[str, Any]]) -> None:
    begin = 0
    for domain, group in groupby(lines, key=lambda line: str(line["domain"])):
        end = begin + sum(int(line["tokens"]) for line in group)
        for panel in panels:
            panel.axvspan(begin, end, color=_SHADES[domain], zorder=0, linewidth=0)
        begin = end
