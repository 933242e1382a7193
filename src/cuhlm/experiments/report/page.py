"""The report: one HTML file that fetches nothing, for a reader who knows neither this run nor this program."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
import markupsafe

from cuhlm.experiments.grid.run import Grid
from cuhlm.experiments.grid.spec import Spec
from cuhlm.experiments.report.ablation import Ablation, TableRow
from cuhlm.experiments.report.drawing import Drawing
from cuhlm.experiments.report.headline import CLAIMS, COMPARED, HeadlineRow, lowest_snr_db
from cuhlm.experiments.report.measures import MEASURES
from cuhlm.experiments.report.results import Point, Results
from cuhlm.measuring.bootstrap import Estimate
from cuhlm.methods import METHODS, TruncationRule

SHOWN = (
    "transmitted_share",
    "target_share",
    "mean_k",
    "uplink_bytes_per_token",
    "acceptance",
    "tv",
    "nll",
    "agreement_with_remote",
    "similarity_to_remote",
    "similarity_to_reference",
    "rouge_l",
    "exact_match",
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A table as text.

    Attributes:
        title, note: what it is.
        headings: of its columns.
        rows: cells.
    """

    title: str
    note: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def render(
    spec: Spec,
    grid: Grid,
    results: Results,
    headline: Sequence[HeadlineRow],
    notes: Sequence[str],
    tables: Sequence[Ablation],
    drawings: Sequence[Drawing],
    made: Mapping[str, Any],
) -> str:
    """The page.

    Args:
        spec: that was run.
        grid: the run.
        results: its points.
        headline: rows of the headline table.
        notes: why ours need not be the paper's.
        tables: ablations.
        drawings: figures.
        made: the environment.
    """
    template = files("cuhlm.experiments.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = _with_code
    return environment.from_string(template).render(
        spec=spec,
        grid=grid,
        n_prompts=len(results.points[0].counts[0]) if results.points else 0,
        headline=headline_table(headline),
        notes=notes,
        methods=[methods_table(results, *condition) for condition in results.conditions],
        tables=[shown(table.title, table.note, table.rows) for table in tables],
        drawings=drawings,
        made=made,
        has_similarity=results.has_similarity,
    )


def _with_code(text: str) -> markupsafe.Markup:
    """`text` as HTML, what stands between backticks as code."""
    return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(markupsafe.escape(text))))


def shown(title: str, note: str, rows: Sequence[TableRow]) -> Shown:
    """A table of numbers as text: NAME_low and NAME_high become NAME's brackets."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    plain = [name for name in names if not name.endswith(("_low", "_high"))]
    return Shown(
        title,
        note,
        [name.replace("_", " ") for name in plain],
        [[_cell(row, name) for name in plain] for row in rows],
    )


def _cell(row: TableRow, name: str) -> str:
    if name not in row:
        return ""
    value = row[name]
    if f"{name}_low" in row:
        return interval(Estimate(value, row[f"{name}_low"], row[f"{name}_high"]))
    return number(value) if isinstance(value, float) else str(value)


def number(value: float) -> str:
    """Three significant digits, or all digits of a large whole part."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    if value and abs(value) < 1e-4:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def interval(found: Estimate, form: str | None = None) -> str:
    """A number and its interval."""
    texts = [form.format(each) if form and math.isfinite(each) else number(each) for each in found]
    if math.isnan(found.value):
        return "–"
    return f"{texts[0]} [{texts[1]} … {texts[2]}]" if math.isfinite(found.low) else texts[0]


def headline_table(rows: Sequence[HeadlineRow]) -> Shown:
    """Operating points down, claims across; the paper's own figures first."""
    columns = list(dict.fromkeys((row.claim, row.snr_db, row.round_trip_ms) for row in rows))
    points = list(dict.fromkeys((row.method, row.rule, row.u_th, row.vartheta) for row in rows))
    points.sort(key=lambda point: COMPARED.index(point[0]))
    by_place = {((row.method, row.rule), (row.claim, row.snr_db, row.round_trip_ms)): row for row in rows}
    paper = ["the paper", "", ""] + [_of_the_paper(rows, *column) for column in columns]
    lines = [paper]
    for method, rule, u_th, vartheta in points:
        found = [by_place.get(((method, rule), column)) for column in columns]
        named = f"{rule}: {u_th:.3f}" if rule and not _is_number(rule) else rule
        lines.append(
            [method, named, f"{vartheta:g}" if METHODS[method].truncation is TruncationRule.ONLINE else ""]
            + ["" if row is None else interval(row.found, CLAIMS[row.claim].form) for row in found]
        )
    headings = ["method", "u_th", "ϑ"] + [_heading(*column) for column in columns]
    return Shown("", "", headings, lines if rows else [])


def _of_the_paper(rows: Sequence[HeadlineRow], claim: str, snr_db: float | None, round_trip_ms: float) -> str:
    value = CLAIMS[claim].paper_at(snr_db, round_trip_ms, lowest_snr_db(rows, claim))
    up_to = "up to " if snr_db is not None else ""
    return "" if math.isnan(value) else up_to + CLAIMS[claim].form.format(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _heading(claim: str, snr_db: float | None, round_trip_ms: float) -> str:
    text = CLAIMS[claim].meaning
    if snr_db is not None:
        text += f", {snr_db:g} dB"
        text += f", with {round_trip_ms:g} ms round trip" if round_trip_ms else ", the paper's count"
    return text


def methods_table(results: Results, prompts: str, temperature: float) -> Shown:
    """Every method of one set at one temperature."""
    points = results.at(prompts, temperature)
    names = [name for name in SHOWN if any(name in point.ratios for point in points)]
    return Shown(
        f"Methods on {prompts!r} at T = {temperature:g}",
        f"{points[0].n_answers} answers each, of the method's own tokens; in brackets: 95 % bootstrap over prompts. "
        + "; ".join(f"{name.replace('_', ' ')}: {MEASURES[name].meaning}" for name in names)
        + ".",
        ["method", "u_th", "draft from", "tokens", *(name.replace("_", " ") for name in names)],
        [_method_row(point, names) for point in points],
    )


def _method_row(point: Point, names: Sequence[str]) -> list[str]:
    choice = point.choice
    threshold = ""
    if choice.is_gated:
        rule = f"{choice.threshold}: " if isinstance(choice.threshold, str) else ""
        threshold = f"{rule}{point.settings.threshold:.3g}"
    law = str(choice.draft_from) if choice.method.drafts else ""
    return [
        choice.method.name,
        threshold,
        law,
        str(point.n_tokens),
        *(interval(point.estimate(name)) for name in names),
    ]
