"""Prints what to expect of each method, and the map of who wins where."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cuhlm.channel.presets import Channel
from cuhlm.cli.plan_svg import map_as_svg
from cuhlm.cli.progress import shown_progress
from cuhlm.errors import ConfigurationError
from cuhlm.measuring.plan import (
    EXACT_METHODS,
    LOCAL,
    MAP_TEXTS,
    RATIOS,
    ROUND_TRIPS_MS,
    Cell,
    Expected,
    best,
    draw_map,
    expected,
    method_names,
    texts_of,
)
from cuhlm.measuring.timeline import Costs
from cuhlm.profiles import Profile
from cuhlm.records import json_values
from cuhlm.writable import check_writable, write_whole

STYLES = {"remote": "white", "lossless": "cyan", "split": "yellow", "opportunistic": "green"}


def show_plan(
    profile: Profile | None,
    channel: Channel,
    costs: Costs,
    risk: float,
    *,
    with_map: bool,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Replay every method on the profile's texts, and print the table and the map.

    Raises:
        ConfigurationError: there is no profile, or it holds no positions, or `svg` cannot be written.
    """
    if profile is None:
        raise ConfigurationError("there is no profile to go by; make one with `cuhlm calibrate`, and give --profile")
    if svg is not None:
        check_writable(svg, "the map")
    texts = texts_of(profile)
    found = expected(profile, channel, costs, risk, texts, method_names())
    aside = Console(stderr=True, highlight=False)
    cells: list[Cell] = []
    if with_map or svg is not None:
        with shown_progress(aside) as progress:
            progress.begins("looking who wins where", len(ROUND_TRIPS_MS) * len(RATIOS))
            for cell in draw_map(profile, channel, costs, risk):
                cells.append(cell)
                progress.is_at(len(cells))
    if svg is not None:
        write_whole(svg, map_as_svg(cells, _map_title(profile, channel, risk)), "the map", shared=True)
    if as_json:
        print(json.dumps(_as_json(profile, channel, costs, risk, found, cells), indent=1))
        return
    console = Console(highlight=False)
    _print_table(console, profile, channel, costs, risk, found, len(texts))
    if with_map:
        _print_map(console, cells, _map_title(profile, channel, risk))
    if svg is not None:
        aside.print(f"the map is drawn in {svg}", markup=False)


def title(profile: Profile, channel: Channel, risk: float) -> str:
    """What a map is of."""
    return f"{profile.draft_name} → {profile.target_name}, {channel.name}, risk {100 * risk:g} %"


def _map_title(profile: Profile, channel: Channel, risk: float) -> str:
    """The same without the round trip, which varies on the map."""
    parts = [part for part in channel.name.split(":") if not part.startswith("rtt_ms=")]
    return title(profile, replace(channel, name=":".join(parts)), risk)


def _print_table(
    console: Console,
    profile: Profile,
    channel: Channel,
    costs: Costs,
    risk: float,
    found: dict[str, Expected],
    texts: int,
) -> None:
    made, target = profile.provenance, costs.target
    console.print(
        f"{title(profile, channel, risk)}: round trip {1000 * channel.round_trip_seconds:g} ms; a draft "
        f"{1000 * costs.draft_seconds:g} ms, the target {1000 * target.alone:g} ms and {1000 * target.per_draft:g} a "
        f"further row.\nReplayed on {made.n_tokens} positions of {texts} texts of the target's own ({made.prompts}, "
        f"{made.sampling}), for an answer of their length, without its prompt.",
        markup=False,
    )
    table = Table(header_style="bold")
    for heading in ("method", "tokens/s", "up B", "down B", "passes", "rows", "kept", "wrong"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    exact = best(found, EXACT_METHODS)
    within = best(found, [name for name in method_names() if name != LOCAL and found[name].wrong <= max(risk, 1e-9)])
    for name, numbers in found.items():
        style = "bold green" if name in (exact, within) else ""
        table.add_row(name, *_cells(numbers), style=style)
    console.print(table)
    console.print(
        f"Per token; wrong: kept, and implausible to the target. Best with the target's own law: {exact}; with at most "
        f"{100 * risk:g} % wrong: {within}.\nsplit is shown with the 30 largest entries of y coming down, cu-hlm with "
        "k* entries.",
        markup=False,
    )


def _cells(numbers: Expected) -> list[str]:
    speed = "∞" if math.isinf(numbers.tokens_per_second) else f"{numbers.tokens_per_second:.1f}"
    return [
        speed,
        f"{numbers.bytes_up:.0f}",
        f"{numbers.bytes_down:.0f}",
        f"{numbers.passes:.2f}",
        f"{numbers.rows:.2f}",
        f"{numbers.kept:.0%}",
        f"{numbers.wrong:.1%}",
    ]


def _print_map(console: Console, cells: Sequence[Cell], of: str) -> None:
    """Rows are ratios, columns round trips; a letter for the winner and its gain over `remote`."""
    console.print(f"\nWho wins: {of} ({MAP_TEXTS} texts)", markup=False)
    for ratio, row in groupby(cells, key=lambda cell: cell.ratio):
        line = Text(f"{ratio:>5g} ")
        for cell in row:
            line.append(f"{cell.winner[0]}{cell.gain:<4.1f}", STYLES[cell.winner])
        console.print(line)
    console.print("      " + "".join(f"{each:<5g}" for each in ROUND_TRIPS_MS))
    console.print(
        "rows: a draft's time over a pass of the target; columns: round trip, ms;\nr remote, l lossless, s split, "
        "o opportunistic, and its tokens/s over remote's.\nWithin 2 % the simpler one wins.",
        markup=False,
    )


def _as_json(
    profile: Profile, channel: Channel, costs: Costs, risk: float, found: dict[str, Expected], cells: Sequence[Cell]
) -> object:
    return json_values(
        {
            "draft": profile.draft_name,
            "target": profile.target_name,
            "channel": channel.name,
            "round_trip_ms": 1000 * channel.round_trip_seconds,
            "draft_ms": 1000 * costs.draft_seconds,
            "target_ms": 1000 * costs.target.alone,
            "row_ms": 1000 * costs.target.per_draft,
            "risk": risk,
            "methods": {name: numbers._asdict() for name, numbers in found.items()},
            "map": [cell._asdict() for cell in cells],
        }
    )
