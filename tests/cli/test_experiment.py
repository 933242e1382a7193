"""`cuhlm experiment`, as a person runs it: the paper's experiments in small, with the real pair."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from tests.cli.test_commands import cuhlm, refused_here
from tests.eventually import COMMAND_SECONDS

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "experiments" / "paper.toml"
PROMPTS = 2
README, DOCS = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/experiments.md"))


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a quick run: the README's command, on two of its four prompts."""
    out = tmp_path_factory.mktemp("experiment") / "out"
    (command,) = re.findall(r"^    (cuhlm experiment .*)$", README, re.MULTILINE)
    assert command in DOCS
    arguments = [str(out) if part == "results" else part for part in command.split()]
    started = [sys.executable, "-m", *arguments, "--limit", str(PROMPTS), "--json"]
    result = subprocess.run(started, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == json.loads((out / "headline.json").read_text())
    return out


def test_the_headline_stands_beside_the_papers_figures(quick: Path) -> None:
    found = json.loads((quick / "headline.json").read_text())
    assert found["paper"]["throughput_over_hlm"] == 206
    assert found["measured_on"]["n_prompts"] == PROMPTS
    assert found["differences"]
    rows = found["rows"]
    assert {row["claim"] for row in rows} == set(found["paper"])
    assert {row["method"] for row in rows} >= {"remote", "cu-hlm", "route"}
    beside = [row["snr_db"] for row in rows if row["claim"] == "throughput_over_hlm" and row["paper"] == 206]
    assert set(beside) == {min(row["snr_db"] for row in rows if row["snr_db"] is not None)}, '"up to" stands once'
    for row in rows:
        assert row["paper"] in (None, found["paper"][row["claim"]])
        assert {"u_th", "threshold_rule", "vartheta", "snr_db"} <= set(row)
        if row["claim"] == "reference_accuracy_over_hlm":
            assert row["low"] is row["high"] is None, "one of the two prompts has a reference: nothing tells how far"
        elif row["value"] is not None:
            assert row["low"] <= row["value"] + 1e-9
            assert row["value"] <= row["high"] + 1e-9
    u_hlm = [row for row in rows if row["method"] == "u-hlm" and row["claim"] == "vocabulary_compression"]
    assert [row["value"] for row in u_hlm] == [0]


def test_a_slower_uplink_widens_the_gap_to_hlm(quick: Path) -> None:
    rows = json.loads((quick / "headline.json").read_text())["rows"]
    ratios = {
        row["snr_db"]: row["value"]
        for row in rows
        if (row["method"], row["claim"], row["threshold_rule"], row["round_trip_ms"])
        == ("cu-hlm-offline", "throughput_over_hlm", "0.5", 0)
    }
    assert ratios[-10] > ratios[10] > ratios[30] > 1


def test_results_are_one_tidy_table(quick: Path) -> None:
    table = pl.read_csv(quick / "results.csv", infer_schema_length=None)
    speeds = table.filter(pl.col("measure") == "tokens_per_s")
    assert set(speeds["method"]) == {
        "remote",
        "local",
        "hlm",
        "rand-hlm",
        "u-hlm",
        "cu-hlm-offline",
        "cu-hlm",
        "route",
        "lossless",
        "opportunistic",
        "split",
    }
    assert speeds["channel"].n_unique() == 6 + 2 * 9
    assert speeds["compute"].n_unique() == 2
    exact = table.filter((pl.col("measure") == "tv") & (pl.col("method") == "remote"))["value"]
    assert exact.to_list() == [0]
    assert set(table["measure"]) >= {"kl", "nll", "similarity_to_remote", "similarity_to_reference", "rouge_l"}


def test_traces_have_a_row_per_token(quick: Path) -> None:
    files = list((quick / "traces").rglob("*.parquet"))
    assert len(files) == 23 * PROMPTS
    assert {"position", "token", "fate", "u", "k", "payload_bits", "tv", "draft_seconds"} <= set(
        pl.read_parquet(files[0]).columns
    )


def test_the_report_is_one_page_that_fetches_nothing_and_shows_every_figure(quick: Path) -> None:
    page = (quick / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "<script" not in page
    figures = {file.stem for file in (quick / "figures").glob("*.svg")}
    assert figures == {file.stem for file in (quick / "figures").glob("*.png")}
    assert figures >= {
        "uncertainty_and_rejection",
        "throughput",
        "quality",
        "k_and_vartheta",
        "bytes_per_token",
        "latency",
    }
    assert page.count("data:image/svg+xml") == len(figures)
    tables = {file.stem for file in (quick / "tables").glob("*.csv")}
    assert tables >= {"uncertainty_measures", "risk_levels", "frontier", "vartheta", "b_prob", "draft_from"}
    assert tables >= {"temperature", "route_and_hlm"}


def test_spec_and_environment_lie_beside_the_results(quick: Path) -> None:
    assert (quick / "spec.toml").read_text() == SPEC.read_text()
    made = json.loads((quick / "environment.json").read_text())
    assert made["packages"]["xllamacpp"]
    assert made["processes"] >= 1
    assert json.loads((quick / "effective_spec.json").read_text())["grid"][0]["max_tokens"] == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.toml",), "the spec nowhere.toml cannot be read"),
        ((str(SPEC), "--prompts", "evaluation"), "expected NAME=FILE"),
        ((str(SPEC), "--prompts", "poems=p.jsonl"), "the spec has no prompt set 'poems'; expected one of evaluation"),
        ((str(SPEC), "--prompts", "evaluation=nowhere.jsonl"), "nowhere.jsonl cannot be read"),
        ((str(SPEC), "--prompts", "long=nowhere.jsonl"), "nowhere.jsonl cannot be read"),
        ((str(SPEC), "--draft", "nowhere.gguf"), "the draft nowhere.gguf is not there"),
        ((str(SPEC), "--draft", "smollm2-135m"), "draft and target are both SmolLM2"),
        ((str(SPEC), "-n", "1024"), "grid[0].max_tokens is 1024, and the context holds 1024 tokens"),
    ],
)
def test_a_mistake_is_named_before_anything_runs(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert message in refused_here(capfd, monkeypatch, "experiment", *arguments, "--out", str(tmp_path / "out"))
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("folders", "files", "taken"),
    [
        (["out/report.html"], [], "report.html"),
        (["out"], ["out/tables"], "tables"),
        (["out"], ["out/figures"], "figures"),
    ],
)
def test_a_place_that_is_taken_is_named_before_anything_runs(
    folders: list[str],
    files: list[str],
    taken: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    for file in files:
        (tmp_path / file).touch()
    told = refused_here(capfd, monkeypatch, "experiment", str(SPEC), "--out", str(tmp_path / "out"))
    assert re.search(rf"out/{taken} cannot be written: (Is a directory|File exists)", told)
    assert not list(tmp_path.rglob("*.json"))


def test_the_other_commands_of_the_docs_name_what_is_there() -> None:
    commands = re.findall(r"^    cuhlm experiment (\S+)", DOCS, re.MULTILINE)
    assert len(commands) == 3
    assert all((ROOT / spec).is_file() for spec in commands)


def test_experiment_has_help() -> None:
    assert "--quick" in cuhlm("experiment", "--help").stdout
