"""Profiles on the disk: what is read back, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cuhlm.data import DRAFT_PROFILE
from cuhlm.errors import ConfigurationError, ProfileError
from cuhlm.profiles import UncertaintySettings, load_profile

PROFILE = load_profile(DRAFT_PROFILE)


def test_what_was_never_defined_comes_back_undefined(tmp_path: Path) -> None:
    nan = float("nan")
    saved = replace(
        PROFILE,
        risk_averse=nan,
        risk_prone=nan,
        rejection=replace(PROFILE.rejection, pearson_r=nan, r_squared=nan),
        curve=replace(PROFILE.curve, skipped_beta=(nan, *PROFILE.curve.skipped_beta[1:])),
    )
    saved.save(tmp_path / "profile.json")
    assert "NaN" not in (tmp_path / "profile.json").read_text(encoding="utf-8")
    assert repr(load_profile(tmp_path / "profile.json")) == repr(saved)  # NaN is not equal to itself


@pytest.mark.parametrize(("threshold", "share"), [(-0.1, 0.0), (0.5, None), (1.0, 1.0), (1.7, 1.0)])
def test_a_threshold_outside_the_curve_skips_nothing_or_everything(threshold: float, share: float | None) -> None:
    at = PROFILE.curve.threshold.index(0.5)
    expected = PROFILE.curve.skipped_share[at] if share is None else share
    assert PROFILE.curve.share_at(threshold) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("\x00\x01", "is not JSON"),
        ("[]", "is not a profile of format 1"),
        ('{"format": 0}', "is not a profile of format 1"),
        ('{"format": 1}', "is not a whole profile"),
    ],
)
def test_a_file_that_is_no_profile_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(text)
    with pytest.raises(ProfileError, match=message):
        load_profile(tmp_path / "profile.json")


def test_a_profile_that_is_not_there_is_refused_with_the_command_that_makes_one() -> None:
    with pytest.raises(ProfileError, match=r"cannot be read: No such file.*`cuhlm calibrate`"):
        load_profile("nowhere.json")


def _set(part: str, name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda fields: fields[part].update({name: value})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda fields: fields.update(curve=[]), "is not a whole profile"),
        (lambda fields: fields.update(uncertainty=None), "is not a whole profile"),
        (lambda fields: fields.update(magic=1), "is not a whole profile"),
        (lambda fields: fields.pop("delta"), "is not a whole profile"),
        (_set("uncertainty", "measure", "guess"), "'guess' is not a valid Measure"),
        (_set("uncertainty", "theta_max", 0.0), "expected 0 ≤ θ_min < θ_max"),
        (_set("uncertainty", "perturbations", 2.5), "uncertainty.perturbations is 2.5; expected a whole number"),
        (_set("rejection", "a", None), "rejection.a is nan; expected a number"),
        (_set("rejection", "b", "low"), "is not a whole profile"),
        (lambda fields: fields.update(k_star=0), "k_star is 0; expected a whole number, 1 or more"),
        (lambda fields: fields.update(k_star="many"), "k_star is 'many'; expected a whole number"),
        (lambda fields: fields.update(delta=1.5), "delta is 1.5; expected a number from 0 to 1"),
        (lambda fields: fields.update(vartheta=None), "vartheta is nan; expected a number, 0 or more"),
        (lambda fields: fields.update(draft_fingerprint=3), "draft_fingerprint is 3; expected a string"),
        (_set("curve", "threshold", [0.5, 0.1]), r"curve.threshold is \(0.5, 0.1\); expected ascending numbers"),
        (_set("curve", "threshold", []), r"curve.threshold is \(\); expected ascending numbers"),
        (_set("curve", "skipped_share", [0.5]), "expected 101 numbers from 0 to 1, one per threshold"),
        (_set("curve", "skipped_share", [None] * 101), "expected 101 numbers from 0 to 1, one per threshold"),
    ],
)
def test_a_profile_that_was_spoilt_is_refused_where_it_is_read(
    spoil: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    fields = json.loads(DRAFT_PROFILE.read_text(encoding="utf-8"))
    spoil(fields)
    (tmp_path / "profile.json").write_text(json.dumps(fields))
    with pytest.raises(ProfileError, match=message) as refused:
        load_profile(tmp_path / "profile.json")
    assert "make it anew with `cuhlm calibrate`" in str(refused.value)


def test_a_profile_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no/profile\.json cannot be written: No such file"):
        PROFILE.save(tmp_path / "no" / "profile.json")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"perturbations": 0}, "perturbations is 0; expected 1 to 1000"),
        ({"theta_min": 2.0}, "temperatures from 2.0 to 2.0 are no range"),
        ({"theta_min": -1.0}, "temperatures from -1.0 to 2.0 are no range"),
    ],
)
def test_an_uncertainty_that_cannot_be_computed_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        UncertaintySettings(**fields)
