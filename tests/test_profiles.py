"""Profiles on the disk: what is read back, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cuhlm.data import DRAFT_PROFILE
from cuhlm.errors import ConfigurationError, ProfileError
from cuhlm.methods import find_method
from cuhlm.profiles import UncertaintySettings, load_profile
from cuhlm.settings import settings_for
from cuhlm.theory.score import Signals, Wrong

PROFILE = load_profile(DRAFT_PROFILE)


def test_what_was_never_defined_comes_back_undefined(tmp_path: Path) -> None:
    nan = float("nan")
    saved = replace(
        PROFILE,
        risk_averse=nan,
        risk_prone=nan,
        rejection=replace(PROFILE.rejection, a=0.0, pearson_r=nan, r_squared=nan),
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
        ("[]", "is not a profile of format 2"),
        ('{"format": 0}', "is not a profile of format 2"),
        ('{"format": 1}', "profile.json: draft_name is missing"),
        ("[" * 100_000, "is not JSON"),
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


def _set_score(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda fields: fields["scores"]["plausible"].update({name: value})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda fields: fields.update(curve=[]), r"curve is \[\]; expected a table"),
        (lambda fields: fields.update(uncertainty=None), "uncertainty is nan; expected a table"),
        (lambda fields: fields.update(magic=1), "magic is unknown; expected only draft_name"),
        (
            _set("curve", "colour", "red"),
            "curve.colour is unknown; expected only threshold, skipped_share, skipped_beta",
        ),
        (lambda fields: fields.pop("delta"), "delta is missing"),
        (lambda fields: fields["provenance"].pop("seed"), "provenance.seed is missing"),
        (_set("uncertainty", "measure", "guess"), "measure is 'guess'; expected one of sampled, expected, entropy"),
        (_set("uncertainty", "theta_max", 0.0), "expected 0 ≤ θ_min < θ_max"),
        (_set("rejection", "n", 0), "rejection.n is 0; expected how many tokens"),
        (lambda fields: fields.update(k_star=10**10), "k_star is 10000000000; expected a number of vocabulary entries"),
        (_set("uncertainty", "perturbations", 2.5), "uncertainty.perturbations is 2.5; expected a whole number"),
        (_set("uncertainty", "perturbations", True), "uncertainty.perturbations is True; expected a whole number"),
        (_set("rejection", "a", None), "rejection.a is nan; expected a number"),
        (_set("rejection", "b", "0.5"), "rejection.b is '0.5'; expected a number"),
        (_set("rejection", "pearson_r", 0.5), "rejection.r_squared is 0.08.* expected 0.25"),
        (_set("rejection", "pearson_r", 1e300), "rejection.pearson_r is 1e.300; expected a number from -1 to 1"),
        (
            lambda fields: fields["rejection"].update(pearson_r=5, r_squared=25),
            "rejection.pearson_r is 5.0; expected a number from -1 to 1",
        ),
        (lambda fields: fields.update(risk_averse=0.2), r"risk_averse is 0.2; expected -0.428\d*, which follows"),
        (lambda fields: fields.update(risk_averse=None), r"risk_averse is nan; expected -0.428\d*, which follows"),
        (lambda fields: fields.update(risk_prone=True), "risk_prone is True; expected a number"),
        (lambda fields: fields.update(delta=0.5), r"risk_prone is 1.45\d*; expected 0.89\d*, which follows"),
        (_set("rejection", "a", 0), "risk_averse is -0.428.* expected nan"),
        (lambda fields: fields.update(k_star=0), "k_star is 0; expected a whole number >= 1"),
        (lambda fields: fields.update(k_star="many"), "k_star is 'many'; expected a whole number"),
        (lambda fields: fields.update(delta=1.5), "delta is 1.5; expected a number <= 1.0"),
        (lambda fields: fields.update(vartheta=None), "vartheta is nan; expected a number >= 0.0"),
        (lambda fields: fields.update(draft_fingerprint=3), "draft_fingerprint is 3; expected a string"),
        (_set("curve", "threshold", [0.5, 0.1]), r"curve.threshold is \(0.5, 0.1\); expected ascending numbers"),
        (_set("curve", "threshold", []), r"curve.threshold is \[\]; expected a list of length >= 1"),
        (_set("curve", "threshold", [0, 1, True]), r"curve.threshold\[2\] is True; expected a number"),
        (_set("curve", "skipped_share", [0.5]), "expected 101 numbers from 0 to 1, one per threshold"),
        (_set("curve", "skipped_share", [None] * 101), r"curve.skipped_share\[0\] is nan; expected a number >= 0.0"),
        (
            _set("curve", "skipped_share", [0.5] * 100 + [0.4]),
            "curve.skipped_share is .*; expected shares that never fall",
        ),
        (_set("curve", "skipped_beta", [-1] * 101), "expected 101 numbers from 0 to 1, one per threshold"),
        (lambda fields: fields["scores"].update(strange={}), "scores is .*; expected one of plausible, beta, keyed"),
        (_set_score("weights", [0.1]), r"scores.plausible.weights is \(0.1,\); expected 4 numbers"),
        (_set_score("weights", [0.1, None, 0, 0]), "scores.plausible.*weights.*nan; expected a number"),
        (_set_score("threshold", [0.5, 0.1]), "scores.plausible.threshold is .*; expected ascending numbers"),
        (_set_score("kept_share", [0.5]), "scores.plausible.kept_share is .*; expected 1?0?[0-9]+ numbers"),
        (_set_score("shift", 2.1), "scores.plausible.shift is 2.1; expected a number from −2.0 to 2.0"),
        (_set_score("audits", -1), "audits is -1; expected a whole number >= 0"),
        (
            _set_score("area_under_curve", 1.5),
            "scores.plausible.area_under_curve is 1.5; expected a number from 0 to 1",
        ),
        (lambda fields: fields["scores"]["keyed"].pop("folds"), "folds is missing"),
        (_set("positions", "u", [0.5]), "positions.u is .*; expected 3615 entries, as many as the texts have tokens"),
        (_set("positions", "gap", [-1] * 3615), "positions.gap is .*; expected numbers of at least 0"),
        (_set("positions", "own", [0] * 3615), "positions.own is .*; expected numbers above 0"),
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
    assert "make one with `cuhlm calibrate`" in str(refused.value)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_profile_with_a_number_that_is_none_is_refused(number: str, tmp_path: Path) -> None:
    text = DRAFT_PROFILE.read_text(encoding="utf-8").replace(str(PROFILE.risk_prone), number)
    (tmp_path / "profile.json").write_text(text)
    with pytest.raises(ProfileError, match="is not JSON"):
        load_profile(tmp_path / "profile.json")


def test_a_profile_saved_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(DRAFT_PROFILE.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert repr(load_profile(tmp_path / "profile.json")) == repr(PROFILE)


def test_the_profiles_kept_with_results_can_be_read() -> None:
    kept = sorted((Path(__file__).parents[1] / "experiments" / "results").rglob("profile*.json"))
    assert kept
    for path in kept:
        assert load_profile(path).k_star >= 1


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


def test_a_profile_that_leaves_a_key_to_a_default_is_refused(tmp_path: Path) -> None:
    fields = json.loads(DRAFT_PROFILE.read_text(encoding="utf-8"))
    del fields["uncertainty"]["measure"]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(ProfileError, match=r"uncertainty\.measure is missing; expected one"):
        load_profile(path)


def test_a_profile_that_is_nested_too_deep_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"format": 1, "zz": ' + "[" * 700 + "]" * 700 + "}", encoding="utf-8")
    with pytest.raises(ProfileError, match="nested too deep"):
        load_profile(path)


def test_a_profile_of_the_first_format_serves_the_methods_of_its_time(tmp_path: Path) -> None:
    fields = json.loads(DRAFT_PROFILE.read_text(encoding="utf-8"))
    older = {name: value for name, value in fields.items() if name not in ("scores", "positions")} | {"format": 1}
    (tmp_path / "profile.json").write_text(json.dumps(older))
    profile = load_profile(tmp_path / "profile.json")
    assert settings_for(find_method("u-hlm"), profile).threshold == PROFILE.risk_averse
    with pytest.raises(ProfileError, match=r"no score of what is keyed.*make it anew with `cuhlm calibrate`"):
        settings_for(find_method("opportunistic"), profile, wrong=Wrong.KEYED)


def test_audits_are_kept_beside_what_was_calibrated(tmp_path: Path) -> None:
    fitted = PROFILE.scores[Wrong.PLAUSIBLE]
    audited = [(Signals(0.1, 2.0, 1.0).features(), 1.0)] * 9
    PROFILE.with_audits(Wrong.PLAUSIBLE, audited, "2026-11-27").save(tmp_path / "profile.json")
    refined = load_profile(tmp_path / "profile.json").scores[Wrong.PLAUSIBLE]
    assert (refined.intercept, refined.weights) == (fitted.intercept, fitted.weights)
    assert (refined.audits, refined.refined) == (9, "2026-11-27")
    assert refined.score.intercept == pytest.approx(fitted.intercept + 0.25)  # all were wrong: as far as one step goes
