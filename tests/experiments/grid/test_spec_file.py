"""Specs: the committed ones can be read, and a mistake in one is named."""

from pathlib import Path

import pytest

from cuhlm.errors import ConfigurationError
from cuhlm.experiments.grid.jobs import Pair, answer_jobs, cells, prompts_of
from cuhlm.experiments.grid.spec_file import read_spec
from cuhlm.writable import write_whole

ROOT = Path(__file__).parents[3] / "experiments"
SPEC = """
title = "a test"
draft = "smollm2-draft"
target = "smollm2-135m"
[prompts.few]
file = "few.jsonl"
[calibration]
prompts = "few"
[[grid]]
prompts = ["few"]
temperatures = [1.0, 0.5]
seeds = [0, 1]
max_tokens = 8
methods = [
  { method = "hlm" },
  { method = "cu-hlm", threshold = ["risk-averse", 0.5], b_prob = [4, 8] },
]
[billing.sweep]
snr_db = [0, 10]
[headline]
thresholds = ["risk-averse", 0.5]
temperature = 1.0
snr_db = [0]
compute = "measured"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "spec.toml"
    file.write_text(text)
    return file


def test_a_list_stands_for_an_entry_of_each_value(tmp_path: Path) -> None:
    spec = read_spec(written(tmp_path, SPEC))
    labels = [choice.label for choice in spec.grid[0].choices]
    assert labels == ["hlm", "cu-hlm_risk-averse_b4", "cu-hlm_risk-averse", "cu-hlm_0.5_b4", "cu-hlm_0.5"]
    assert len(cells(spec)) == 5 * 2 * 2
    assert len({cell.label for cell in cells(spec)}) == 20
    assert spec.calibration_temperatures == (1.0, 0.5)
    assert spec.prompts["few"].file == tmp_path / "few.jsonl"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "a test"', "title = 3", "spec.toml: title is 3; expected a string"),
        ('draft = "smollm2-draft"', "", "draft is missing"),
        (
            "max_tokens = 8",
            "max_tokens = 8\nshares_prefixes = 1",
            "grid[0].shares_prefixes is 1; expected true or false",
        ),
        (
            "max_tokens = 8",
            "max_tokens = 8\nshares_prefixes = true",
            "billing.compute has 'measured', but a part of the grid shares prefixes",
        ),
        ("max_tokens = 8", "max_tokens = 0", "grid[0].max_tokens is 0; expected a whole number >= 1"),
        ("max_tokens = 8", "max_tokens = 8\ncolour = 1", "grid[0].colour is unknown; expected only methods"),
        ('"hlm"', '"magic"', "the method 'magic' is unknown"),
        ('{ method = "hlm" }', '{ method = "hlm", threshold = [0.1, 0.2] }', "hlm has no threshold"),
        ('{ method = "hlm" }', '{ method = "hlm", threshold = 0.1 }', "hlm has no threshold, and 0.1 is given"),
        ('{ method = "hlm" }', '{ method = "hlm", vartheta = 0.1 }', "hlm has no vartheta, and 0.1 is given"),
        ('{ method = "hlm" }', '{ method = "hlm", k = [1, 2] }', "hlm has no k, and (1, 2) is given; expected none"),
        ('{ method = "hlm" }', '{ method = "hlm" }, { method = "hlm" }', "grid[0].methods has 'hlm' twice"),
        ("b_prob = [4, 8]", "b_prob = [4, 4]", "grid[0].methods has 'cu-hlm_risk-averse_b4' twice"),
        ("[1.0, 0.5]", "[1.0, 0.5, 1]", "grid[0].temperatures has 1.0 twice; expected each once"),
        ("seeds = [0, 1]", "seeds = [0, 1, 1]", "grid[0].seeds has 1 twice"),
        ('prompts = ["few"]', 'prompts = ["few", "few"]', "grid[0].prompts has 'few' twice"),
        ("[0, 10]", "[0, 10, 0]", "billing.sweep.snr_db has 0.0 twice"),
        ("max_tokens = 8", "max_tokens = 2048", "grid[0].max_tokens is 2048, and the context holds 2048 tokens"),
        ("[[grid]]", "max_tokens = 4000\n[[grid]]", "calibration.max_tokens is 4000, and the context holds 2048"),
        (
            '"risk-averse", 0.5], b',
            '"reckless", 0.5], b',
            "methods[1].threshold[0] is 'reckless'; expected one of risk-averse, risk-prone, a number",
        ),
        (
            '"risk-averse", 0.5], b',
            '"risk-averse", 1.5], b',
            "grid[0].methods[1].threshold[1] is 1.5; expected a number <= 1.0",
        ),
        ("b_prob = [4, 8]", "b_prob = [2]", "b_prob[0] is 2; expected a whole number >= 4"),
        ("b_prob = [4, 8]", 'draft_from = "y"', "draft_from is 'y'; expected one of x, xhat"),
        ('prompts = ["few"]', 'prompts = ["many"]', "the prompt set 'many' is unknown; expected one of few"),
        ("[1.0, 0.5]", "[-1.0]", "temperatures[0] is -1.0; expected a number >= 0.0"),
        ("[1.0, 0.5]", "1.0", "temperatures is 1.0; expected a list"),
        ("[1.0, 0.5]", "[]", "temperatures is []; expected a list of length >= 1"),
        ("[1.0, 0.5]", "[inf]", "temperatures[0] is inf; expected a number <= 1.79"),
        ("[1.0, 0.5]", "[nan]", "temperatures[0] is nan; expected a number >= 0.0"),
        ("[1.0, 0.5]", "[101]", "temperature is 101"),
        ("seeds = [0, 1]", "seeds = [true]", "seeds[0] is True; expected a whole number"),
        ("seeds = [0, 1]", "seeds = [4294967296]", "seeds[0] is 4294967296; expected a whole number <= 4294967295"),
        ('file = "few.jsonl"', "file = 3", "prompts.few: file is 3; expected a string"),
        ('file = "few.jsonl"', 'file = "few.jsonl"\nlimits = 3', "prompts.few.limits is unknown; expected only file"),
        ("b_prob = [4, 8]", 'k = "few"', "methods[1].k is 'few'; expected one of profile, a whole number"),
        ("[0, 10]", '[0, 10]\nchannel = "tin-can"', "the channel 'tin-can' is unknown"),
        ("[0, 10]", '[0, 10]\nchannel = "lan"', "'snr_db' is no setting of the channel 'lan'"),
        ("snr_db = [0]\n", "snr_db = [5]\n", "snr_db has 5.0, which the grid does not run; expected one of 0.0, 10.0"),
        ('thresholds = ["risk-averse", 0.5]', "thresholds = [0.7]", "thresholds has 0.7, which the grid does not run"),
        ('compute = "measured"', 'compute = "abacus"', "compute has 'abacus', which the grid does not run"),
        ("[[grid]]", "[[grid]", "is no TOML"),
        ("[calibration]", "[calibrating]", "calibration is missing"),
    ],
)
def test_a_mistake_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert SPEC.count(old) == 1
    with pytest.raises(ConfigurationError) as caught:
        read_spec(written(tmp_path, SPEC.replace(old, new)))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["a/../../../../pwn", "..", "a b", ""])
def test_a_prompt_set_whose_name_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"the name '{name}' of a prompt set of .*spec.toml cannot name a file"
    ):
        read_spec(written(tmp_path, f'{SPEC}\n[prompts."{name}"]\nfile = "few.jsonl"\n'))


def test_a_prompts_own_name_leads_nowhere_else_and_may_be_long(tmp_path: Path) -> None:
    lines = (f'{{"id": "{name}", "prompt": "Hi"}}\n' for name in ("../../pwn", "語" * 500))
    (tmp_path / "few.jsonl").write_text("".join(lines), encoding="utf-8")
    spec = read_spec(written(tmp_path, SPEC))
    cell = cells(spec)[0]
    for job in answer_jobs(spec, Pair("d", "t", 64, ("a", "b")), tmp_path / "out", cell, None):
        assert job.path.parent == tmp_path / "out" / "traces" / cell.label
        write_whole(job.path.parent.parent.parent.with_name(job.path.name), "", shared=True)


def test_a_missing_spec_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml cannot be read"):
        read_spec(tmp_path / "nowhere.toml")


def test_a_walk_goes_by_the_grids_temperatures_where_it_has_none(tmp_path: Path) -> None:
    walks = '[walk]\nprompts = "few"\nmax_tokens = 3\n[long_walk]\nprompts = "few"\nmax_tokens = 9\n'
    spec = read_spec(written(tmp_path, SPEC + walks))
    assert (spec.walk.temperatures, spec.long_walk.temperatures) == ((1.0, 0.5), (1.0,))
    given = read_spec(written(tmp_path, SPEC + walks.replace("= 9", "= 9\ntemperatures = [0.3]")))
    assert given.long_walk.temperatures == (0.3,)


@pytest.mark.parametrize("file", sorted(ROOT.glob("*.toml")), ids=lambda file: file.name)
def test_the_committed_specs_can_be_read(file: Path) -> None:
    has_headline = read_spec(file).headline is not None
    assert has_headline == (file.name != "gsm8k.toml")  # which asks for a score, not for throughput


def test_the_paper_spec_covers_the_paper_and_needs_nothing_from_elsewhere() -> None:
    spec = read_spec(ROOT / "paper.toml")
    assert {choice.method.name for part in spec.grid for choice in part.choices} >= {
        *("remote", "local", "hlm", "rand-hlm", "u-hlm", "cu-hlm-offline", "cu-hlm", "route")
    }
    assert (min(spec.billing.sweep.snr_db), max(spec.billing.sweep.snr_db)) == (-10, 30)
    assert len(prompts_of(spec, "evaluation")) == len(prompts_of(spec, "calibration")) == 40
    evaluated, calibrated = (
        {prompt.text for prompt in prompts_of(spec, name)} for name in ("evaluation", "calibration")
    )
    assert not evaluated & calibrated


def test_a_quick_run_takes_four_prompts_of_each_set() -> None:
    spec = read_spec(ROOT / "paper.toml").quick()
    assert all(len(prompts_of(spec, name)) == 4 for name in spec.prompts)
    assert spec.grid[0].methods == read_spec(ROOT / "paper.toml").grid[0].methods
