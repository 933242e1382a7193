"""What all figures share: colours that colour-blind readers tell apart, sizes, and files."""

import base64
import io
import math
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cuhlm.writable import written_whole

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F", "#882255",
           "#999933", "#44AA99")  # fmt: skip
"""Okabe and Ito's palette, dark ones first."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "h", "p", "d")
STYLES = dict(zip(
    ("cu-hlm", "remote", "route", "lossless", "hlm", "u-hlm", "local", "rand-hlm", "cu-hlm-offline", "opportunistic",
     "split"),
    zip(COLOURS, MARKERS, strict=True), strict=True,
))  # fmt: skip
"""Colour and marker of each method, the same in every figure; colour is never the only difference."""
PART_COLOURS = ("#332288", "#88CCEE", "#DDCC77", "#AA4499", "#BBBBBB")
"""Of what is no method: other ones."""
GREY = "#595959"
CAPTION_WIDTH = 150
LEGEND_COLUMNS = 4


@dataclass(slots=True)
class Drawing:
    """A figure with what a stranger needs to read it, written into the picture where it stands alone.

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
    _panels_height: float = field(init=False)

    def __post_init__(self) -> None:
        """Remember the height of the panels alone: what stands around them differs."""
        self._panels_height = self.figure.get_figheight()

    def save(self, folder: Path) -> None:
        """Write NAME.png and NAME.svg."""
        self._lay_out(with_words=True)
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / f"{self.name}.png") as partial:
            self.figure.savefig(partial, dpi=150)
        with written_whole(folder / f"{self.name}.svg") as partial:
            self.figure.savefig(partial, metadata={"Date": None})

    @property
    def address(self) -> str:
        """The picture as a data address, for a page that fetches nothing and has the title and caption as text."""
        self._lay_out(with_words=False)
        file = io.BytesIO()
        self.figure.savefig(file, format="svg", metadata={"Date": None})
        return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()

    def _lay_out(self, *, with_words: bool) -> None:
        """Below the panels the legend, where there is one; around them, if asked, title and caption."""
        figure = self.figure
        lines = textwrap.wrap(self.caption, CAPTION_WIDTH) if with_words else []
        title, caption, legend = (0.4, 0.2 + 0.17 * len(lines), 0.0) if with_words else (0.0, 0.0, 0.0)
        if figure.legends:
            legend = 0.1 + 0.25 * math.ceil(len(figure.legends[0].get_texts()) / LEGEND_COLUMNS)
        height = self._panels_height + title + caption + legend
        figure.set_figheight(height)
        for text in list(figure.texts):
            text.remove()
        figure.suptitle(self.title if with_words else "", x=0.01, ha="left", fontsize=13, fontweight="bold")
        figure.text(0.01, 0.08 / height, "\n".join(lines), va="bottom", fontsize=8.5, color=GREY, linespacing=1.3)
        for each in figure.legends:
            each.set_bbox_to_anchor((0.5, caption / height), transform=figure.transFigure)
        bottom = (caption + legend) / height
        figure.set_layout_engine("constrained", rect=(0, bottom, 1, 1 - bottom))


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


def legend_below(figure: Figure, axes: Axes) -> None:
    """One legend for all panels; `Drawing` puts it under them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=LEGEND_COLUMNS, frameon=False)
