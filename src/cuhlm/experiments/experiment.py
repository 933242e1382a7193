"""`cuhlm experiment`: a spec to a folder of traces, tables, figures and a report."""

import json
import resource
import shutil
import time
from pathlib import Path
from typing import Any

from cuhlm.errors import ConfigurationError
from cuhlm.experiments.environment import environment
from cuhlm.experiments.grid.run import Grid, Listener, run_grid
from cuhlm.experiments.grid.spec import Spec
from cuhlm.experiments.report.headline import headline_json, headline_rows
from cuhlm.experiments.report.results import Results, collect_results, tidy
from cuhlm.experiments.similarity import Embedder, is_installed
from cuhlm.records import json_values


def run_experiment(spec: Spec, spec_file: Path, out: Path, *, processes: int, listener: Listener) -> dict[str, Any]:
    """Decode what is missing, then measure, compare and report.

    Returns:
        The headline, as in ``headline.json``.

    Raises:
        CuhlmError: a model cannot be loaded, or a file cannot be written. What is decoded stays.
    """
    made = environment()
    started = time.perf_counter()
    try:
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(spec_file, out / "spec.toml")
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error.strerror}; choose another --out") from error
    grid = run_grid(spec, out, processes=processes, listener=listener)
    decoded = time.perf_counter()
    results = collect_results(spec, grid, Embedder() if is_installed() else None)
    found = _write(spec, grid, results, out)
    made |= {
        "processes": processes,
        "decoding_seconds": decoded - started,
        "decoding_cpu_seconds": _cpu_seconds(resource.RUSAGE_CHILDREN),
        "reporting_seconds": time.perf_counter() - decoded,
        "pair": {"draft": spec.draft, "target": spec.target, "fingerprints": grid.pair.fingerprints},
    }
    _write_json(out / "environment.json", made)
    return found


def _write(spec: Spec, grid: Grid, results: Results, out: Path) -> dict[str, Any]:
    tidy(results).write_csv(out / "results.csv")
    found = headline_json(spec, grid, results, headline_rows(spec, results))
    _write_json(out / "headline.json", found)
    return found


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(json_values(values), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _cpu_seconds(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime
