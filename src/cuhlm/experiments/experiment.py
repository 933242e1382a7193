"""`cuhlm experiment`: a spec to a folder of traces, tables, figures and a report."""

import dataclasses
import json
import resource
import time
from pathlib import Path
from typing import Any

import polars as pl

from cuhlm.engines.locate import model_files
from cuhlm.errors import ConfigurationError
from cuhlm.experiments.environment import environment
from cuhlm.experiments.grid.jobs import prompts_of
from cuhlm.experiments.grid.run import Grid, GridListener, run_grid
from cuhlm.experiments.grid.spec import Spec
from cuhlm.experiments.report.ablations_of_methods import ablations_of_methods
from cuhlm.experiments.report.ablations_of_positions import ablations_of_positions
from cuhlm.experiments.report.figures_of_methods import figures_of_methods
from cuhlm.experiments.report.figures_of_positions import figures_of_positions
from cuhlm.experiments.report.headline import headline_json, headline_rows
from cuhlm.experiments.report.page import render
from cuhlm.experiments.report.positions import read_positions
from cuhlm.experiments.report.results import collect_results, tidy
from cuhlm.measuring.calibrate import check_enough
from cuhlm.measuring.similarity import Embedder, is_installed
from cuhlm.records import json_values
from cuhlm.writable import check_writable, write_whole, written_whole

FOLDERS = ("profiles", "traces", "walks", "tables", "figures")
FILES = ("spec.toml", "effective_spec.json", "results.csv", "headline.json", "environment.json", "report.html")


def run_experiment(spec: Spec, spec_file: Path, out: Path, *, processes: int, listener: GridListener) -> dict[str, Any]:
    """Decode what is missing, then measure, compare and report.

    Returns:
        The headline, as in ``headline.json``.

    Raises:
        CuhlmError: a model, a prompt file or the folder cannot be used, told before anything runs; or a file cannot be
            written. What is decoded stays.
    """
    made = environment()
    started = time.perf_counter()
    model_files(spec.draft, spec.target)
    prompts = {name: len(prompts_of(spec, name)) for name in spec.prompts}
    check_enough(prompts[spec.calibration.prompts] * spec.calibration.max_tokens)
    _check_folder(out)
    write_whole(out / "spec.toml", spec_file.read_text(encoding="utf-8"))
    _write_json(out / "effective_spec.json", dataclasses.asdict(spec))
    grid = run_grid(spec, out, processes=processes, listener=listener)
    made |= {
        "processes": processes,
        "decoding_seconds_of_this_call": round(time.perf_counter() - started, 1),
        "decoding_cpu_seconds_of_this_call": round(_cpu_seconds(resource.RUSAGE_CHILDREN), 1),
        "pair": {"draft": spec.draft, "target": spec.target, "fingerprints": grid.pair.fingerprints},
    }
    listener.begins("measuring, billing, drawing", 1, 0)
    found = _report(spec, grid, out, made)
    listener.advances()
    return found


def _check_folder(out: Path) -> None:
    """Make the run's folder, and see that each result has a place in it, before the work that makes it."""
    for folder in (out, *(out / name for name in FOLDERS)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{folder} cannot be written: {error.strerror}; choose another --out") from error
    for name in FILES:
        check_writable(out / name, "the result")


def _report(spec: Spec, grid: Grid, out: Path, made: dict[str, Any]) -> dict[str, Any]:
    """Everything that is made from the traces; takes seconds."""
    started = time.perf_counter()
    results = collect_results(spec, grid, Embedder() if is_installed() else None)
    walks, long_walks = read_positions(grid, spec.walk), read_positions(grid, spec.long_walk)
    rows = headline_rows(spec, results)
    found = headline_json(spec, grid, results, rows)
    first_walk = walks[0] if walks else None
    tables = ablations_of_methods(results, first_walk, spec.first_prompts)
    tables += ablations_of_positions(walks, long_walks, grid.vocab_size)
    drawings = figures_of_methods(spec, results, first_walk)
    drawings += figures_of_positions(walks, long_walks, grid.vocab_size)
    for table in tables:
        _write_csv(out / "tables" / f"{table.name}.csv", pl.DataFrame(table.rows, infer_schema_length=None))
    for drawing in drawings:
        drawing.save(out / "figures")
    _write_csv(out / "results.csv", tidy(results))
    _write_json(out / "headline.json", found)
    made["reporting_seconds"] = round(time.perf_counter() - started, 1)
    _write_json(out / "environment.json", made)
    page = render(spec, grid, results, rows, found["differences"], tables, drawings, made)
    write_whole(out / "report.html", page)
    return found


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_whole(path, json.dumps(json_values(values), indent=1, ensure_ascii=False, default=str) + "\n")


def _write_csv(path: Path, table: pl.DataFrame) -> None:
    with written_whole(path) as partial:
        table.write_csv(partial)


def _cpu_seconds(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime
