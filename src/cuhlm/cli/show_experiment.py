"""Runs an experiment with its progress shown, and prints its headline."""

import json
import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from cuhlm.cli.progress import shown_progress
from cuhlm.cli.terminal import fitting, needed_width
from cuhlm.engines.cores import usable_cores
from cuhlm.errors import ConfigurationError
from cuhlm.installing import how_to_install
from cuhlm.records import json_values

if TYPE_CHECKING:
    from cuhlm.experiments.grid.spec import Spec

EXTRA = ("polars", "matplotlib")
SHOWN = ("remote", "cu-hlm", "route")
"""Whose operating points the printed table shows; the report has all."""
NARROW_CLAIM = 14

Point = tuple[str, str]
"""A method and a threshold rule."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What the command line says instead of the spec.

    Attributes:
        draft, target: models.
        prompts: NAME=FILE each.
        limit: prompts of each set.
        max_tokens: of an answer.
        quick: a small version.
    """

    draft: str | None = None
    target: str | None = None
    prompts: tuple[str, ...] = ()
    limit: int | None = None
    max_tokens: int | None = None
    quick: bool = False


def run(spec_file: Path, out: Path, changes: Changes, *, processes: int | None, as_json: bool) -> None:
    """Run the experiment in `spec_file` and print what it found.

    Raises:
        CuhlmError: the spec is unusable, the extra is not installed, or the run fails.
    """
    if missing := [name for name in EXTRA if find_spec(name) is None]:
        raise ConfigurationError(
            f"experiments need {' and '.join(missing)}, which are not installed; run: "
            f"{how_to_install('cuhlm[experiments]')}"
        )
    from cuhlm.experiments.experiment import run_experiment
    from cuhlm.experiments.grid.spec_file import check_spec, read_spec

    # Python's own again: polars brings one, with which an interruption wakes nobody who waits for other processes.
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))
    console = Console(highlight=False, stderr=as_json)
    spec = _changed(read_spec(spec_file), changes)
    check_spec(spec, str(spec_file))
    with shown_progress(console) as shown:
        found = run_experiment(spec, spec_file, out, processes=processes or usable_cores(), listener=shown)
    if as_json:
        print(json.dumps(json_values(found), indent=1))
        return
    if found["rows"]:
        console.print(_table(found, console.width))
    console.print(f"written to {out}: report.html, headline.json, results.csv, figures, traces")


def _changed(spec: "Spec", changes: Changes) -> "Spec":
    from cuhlm.experiments.grid.spec_file import with_prompt_file

    for given in changes.prompts:
        name, _, file = given.partition("=")
        if not file:
            raise ConfigurationError(f"--prompts is {given!r}; expected NAME=FILE, as in evaluation=prompts.jsonl")
        spec = with_prompt_file(spec, name, Path(file))
    spec = replace(spec, draft=changes.draft or spec.draft, target=changes.target or spec.target)
    if changes.limit is not None:
        spec = spec.limited(changes.limit)
    if changes.quick:
        spec = spec.quick()
    if changes.max_tokens is not None:
        spec = replace(spec, grid=tuple(replace(part, max_tokens=changes.max_tokens) for part in spec.grid))
    return spec


def _table(found: dict[str, Any], width: int) -> Table:
    """Claims down, operating points across: in a narrow terminal with intervals below, and as many as fit."""
    rows = found["rows"]
    points = list(dict.fromkeys((row["method"], row["threshold_rule"]) for row in rows if row["method"] in SHOWN))
    points.sort(key=lambda point: SHOWN.index(point[0]))

    def table(shown: Sequence[Point]) -> Table:
        return _table_of(found, shown, between=" ", claim_width=None)

    def narrow(shown: Sequence[Point]) -> Table:
        return _table_of(found, shown, between="\n", claim_width=NARROW_CLAIM)

    return table(points) if needed_width(table(points)) <= width else fitting(narrow, points, points[:0:-1], width)


def _table_of(found: dict[str, Any], points: Sequence[Point], *, between: str, claim_width: int | None) -> Table:
    measured, rows = found["measured_on"], found["rows"]
    table = Table(
        title=(
            f"{measured['n_prompts']} prompts, T = {measured['temperature']:g}, {measured['compute']}; "
            f"in brackets: {measured['interval']}"
        ),
        title_justify="left",
        header_style="bold",
    )
    table.add_column("claim", max_width=claim_width)
    table.add_column("paper", justify="right", no_wrap=True)
    for method, rule in points:
        table.add_column(f"{method}\n{rule}", justify="right", no_wrap=True)
    for claim, snr_db, round_trip_ms in dict.fromkeys((r["claim"], r["snr_db"], r["round_trip_ms"]) for r in rows):
        same = [r for r in rows if (r["claim"], r["snr_db"], r["round_trip_ms"]) == (claim, snr_db, round_trip_ms)]
        by_point = {(row["method"], row["threshold_rule"]): row for row in same}
        where = "" if snr_db is None else f", {snr_db:g} dB" + (f", {round_trip_ms:g} ms" if round_trip_ms else "")
        cells = [_cell(by_point.get(point), between) for point in points]
        paper = same[0]["paper"]
        table.add_row(claim.replace("_", " ") + where, "" if math.isnan(paper) else f"{paper:g}", *cells)
    return table


def _cell(row: dict[str, Any] | None, between: str) -> str:
    if row is None or math.isnan(row["value"]):
        return "–"
    interval = "" if math.isnan(row["low"]) else f"{between}[{row['low']:.3g} … {row['high']:.3g}]"
    return f"{row['value']:.3g}{interval}"
