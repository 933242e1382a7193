"""What all figures share: colours that colour-blind readers tell apart, sizes, and files."""

import base64
import io
import textwrap
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
"""Okabe and Ito's palette, dark ones first."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#595959"
CAPTION_WIDTH = 150


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure with what a stranger needs to read it, written into the picture itself.

    Attributes:
        name: of its files.
        title: what it shows.
        caption: how it was measured, n, intervals.
        figure: drawn.
    """

    name: str
    title: str
    caption: str
    figure: Figure

    def __post_init__(self) -> None:
        lines = textwrap.wrap(self.caption, CAPTION_WIDTH)
        self.figure.set_figheight(self.figure.get_figheight() + 0.4 + 0.17 * len(lines))
        self.figure.suptitle(self.title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        self.figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=8.5, color=GREY, linespacing=1.3)

    def save(self, folder: Path) -> None:
        """Write NAME.png and NAME.svg."""
        folder.mkdir(parents=True, exist_ok=True)
        self.figure.savefig(folder / f"{self.name}.png", dpi=150)
        self.figure.savefig(folder / f"{self.name}.svg", metadata={"Date": None})

    @property
    def address(self) -> str:
        """The picture as a data address, for a page that fetches nothing."""
        file = io.BytesIO()
        self.figure.savefig(file, format="svg", metadata={"Date": None})
        return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


def canvas(panels: int = 1, *, rows: int = 1, height: float = 4.2) -> tuple[Figure, list[Axes]]:
    """An empty figure with rows of panels side by side."""
    figure = Figure(figsize=(10, height), layout="constrained")
    axes = [figure.add_subplot(rows, panels, number + 1) for number in range(rows * panels)]
    for each in axes:
        each.grid(visible=True, color="#DDDDDD", linewidth=0.6)
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def colour(index: int) -> str:
    """The colour of the index-th line."""
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    """Its marker: colour is never the only difference."""
    return MARKERS[index % len(MARKERS)]


def legend_below(figure: Figure, axes: Axes, columns: int = 4) -> None:
    """One legend for all panels, under them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
