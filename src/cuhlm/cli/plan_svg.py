"""The map of who wins where as a picture: SVG without scripts, fonts or anything from elsewhere."""

from collections.abc import Sequence
from html import escape

from cuhlm.measuring.plan import RATIOS, ROUND_TRIPS_MS, Cell

COLOURS = {"remote": "#9aa3ad", "lossless": "#4c9be8", "split": "#e8b84c", "opportunistic": "#4caf7a"}
_WIDE, _HIGH, _LEFT, _TOP = 58, 34, 90, 70


def map_as_svg(cells: Sequence[Cell], of: str) -> str:
    """The map.

    Args:
        cells: as `cuhlm.measuring.plan.draw_map` yields them.
        of: what it is of, for its title.
    """
    width, height = _LEFT + _WIDE * len(ROUND_TRIPS_MS) + 20, _TOP + _HIGH * len(RATIOS) + 90
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" font-family="sans-serif" font-size="13">',
        f"<title>{escape(f'Which method wins where: {of}')}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _words(_LEFT, 26, "Which method gives most tokens a second", size=16, weight="bold"),
        _words(_LEFT, 48, of),
        *map(_cell, cells),
        *(_words(_LEFT - 10, _row(ratio) + 22, f"{ratio:g}", anchor="end") for ratio in RATIOS),
        *(
            _words(_column(each) + _WIDE / 2, _row(RATIOS[-1]) + _HIGH + 20, f"{each:g}", anchor="middle")
            for each in ROUND_TRIPS_MS
        ),
        _words(_LEFT, height - 46, "round trip, ms"),
        f'<g transform="rotate(-90 22 {height / 2:g})">'
        + _words(22, height / 2, "draft's time / target's pass", anchor="middle")
        + "</g>",
        *_legend(height - 16),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _cell(cell: Cell) -> str:
    x, y = _column(cell.round_trip_ms), _row(cell.ratio)
    told = f"{cell.winner}: {cell.gain:.2f} times remote at {cell.round_trip_ms:g} ms, ratio {cell.ratio:g}"
    return (
        f'<g><title>{told}</title><rect x="{x}" y="{y}" width="{_WIDE - 1}" height="{_HIGH - 1}" '
        f'fill="{COLOURS[cell.winner]}"/>' + _words(x + _WIDE / 2, y + 22, f"{cell.gain:.2f}", anchor="middle") + "</g>"
    )


def _legend(y: float) -> list[str]:
    parts, x = [], float(_LEFT)
    for name, colour in COLOURS.items():
        parts.append(f'<rect x="{x:g}" y="{y - 11:g}" width="14" height="14" fill="{colour}"/>')
        parts.append(_words(x + 20, y, name))
        x += 130
    parts.append(_words(x, y, "numbers: tokens/s over remote's"))
    return parts


def _words(x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, weight: str = "normal") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="#1b1f24">{escape(text)}</text>'
    )


def _column(round_trip_ms: float) -> int:
    return _LEFT + _WIDE * ROUND_TRIPS_MS.index(round_trip_ms)


def _row(ratio: float) -> int:
    return _TOP + _HIGH * RATIOS.index(ratio)
