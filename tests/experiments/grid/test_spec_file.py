"""Specs: the committed ones can be read, and a mistake in one is named."""

from pathlib import Path

import pytest

from cuhlm.errors import ConfigurationError
from cuhlm.experiments.grid.jobs import cells, prompts_of
from cuhlm.experiments.grid.spec_file import read_spec

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
    labels = [choice.label for choice in spec.grid[0].methods]
    assert labels == ["hlm", "cu-hlm_risk-averse_b4", "cu-hlm_risk-averse", "cu-hlm_0.5_b4", "cu-hlm_0.5"]
    assert len(cells(spec)) == 5 * 2 * 2
    assert len({cell.label for cell in cells(spec)}) == 20
    assert spec.calibration_temperatures == (1.0, 0.5)
    assert spec.prompts["few"].file == tmp_path / "few.jsonl"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "a test"', "title = 3", "title is 3; expected a string"),
        ('draft = "smollm2-draft"', "", "has no draft; expected a string"),
        ("max_tokens = 8", "max_tokens = 8\nshares_prefixes = 1", "shares_prefixes is 1; expected true or false"),
        (
            "max_tokens = 8",
            "max_tokens = 8\nshares_prefixes = true",
            "billing.compute has 'measured', but a part of the grid shares prefixes",
        ),
        ("max_tokens = 8", "max_tokens = 0", "max_tokens is 0; expected a whole number, 1 or more"),
        ("max_tokens = 8", "max_tokens = 8\ncolour = 1", "grid, entry 1 has 'colour'; expected only"),
        ('"hlm"', '"magic"', "the method 'magic' is unknown"),
        ('{ method = "hlm" }', '{ method = "hlm", threshold = [0.1, 0.2] }', "hlm has no threshold"),
        ('"risk-averse", 0.5], b', '"reckless", 0.5], b', "threshold is 'reckless'; expected risk-averse"),
        ('"risk-averse", 0.5], b', '"risk-averse", 1.5], b', "threshold is 1.5; expected"),
        ("b_prob = [4, 8]", "b_prob = [2]", "b_prob is 2; expected 4 to 16"),
        ("b_prob = [4, 8]", 'draft_from = "y"', "draft_from is 'y'; expected one of x, xhat"),
        ('prompts = ["few"]', 'prompts = ["many"]', "the prompt set 'many' is unknown; expected one of few"),
        ("[1.0, 0.5]", "[-1.0]", "expected a list of numbers, each 0 or more"),
        ("[1.0, 0.5]", "1.0", "temperatures is 1.0; expected a list"),
        ("[0, 10]", '[0, 10]\nchannel = "tin-can"', "the channel 'tin-can' is unknown"),
        ("[0, 10]", '[0, 10]\nchannel = "lan"', "'snr_db' is no setting of the channel 'lan'"),
        ("snr_db = [0]\n", "snr_db = [5]\n", "snr_db has 5.0, which the grid does not run; expected one of 0.0, 10.0"),
        ('thresholds = ["risk-averse", 0.5]', "thresholds = [0.7]", "thresholds has 0.7, which the grid does not run"),
        ('compute = "measured"', 'compute = "abacus"', "compute has 'abacus', which the grid does not run"),
        ("[[grid]]", "[[grid]", "is no TOML"),
        ("[calibration]", "[calibrating]", "has no [calibration]"),
    ],
)
def test_a_mistake_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert SPEC.count(old) == 1
    with pytest.raises(ConfigurationError) as caught:
        read_spec(written(tmp_path, SPEC.replace(old, new)))
    assert message in str(caught.value)


def test_a_missing_spec_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml cannot be read"):
        read_spec(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("file", sorted(ROOT.glob("*.toml")), ids=lambda file: file.name)
def test_the_committed_specs_can_be_read(file: Path) -> None:
    has_headline = read_spec(file).headline is not None
    assert has_headline == (file.name != "gsm8k.toml")  # which asks for a score, not for throughput


def test_the_paper_spec_covers_the_paper_and_needs_nothing_from_elsewhere() -> None:
    spec = read_spec(ROOT / "paper.toml")
    assert {choice.method.name for part in spec.grid for choice in part.methods} >= {
        *("remote", "local", "hlm", "rand-hlm", "u-hlm", "cu-hlm-offline", "cu-hlm", "route")
    }
    assert (min(spec.sweep.snr_db), max(spec.sweep.snr_db)) == (-10, 30)
    assert len(prompts_of(spec, "evaluation")) == len(prompts_of(spec, "calibration")) == 40
    evaluated, calibrated = (
        {prompt.text for prompt in prompts_of(spec, name)} for name in ("evaluation", "calibration")
    )
    assert not evaluated & calibrated


def test_a_quick_run_takes_four_prompts_of_each_set() -> None:
    spec = read_spec(ROOT / "paper.toml").quick()
    assert all(len(prompts_of(spec, name)) == 4 for name in spec.prompts)
    assert spec.grid[0].methods == read_spec(ROOT / "paper.toml").grid[0].methods
