"""A method's numbers: from its profile, or given."""

from dataclasses import replace

import pytest

from cuhlm.data import DRAFT_PROFILE
from cuhlm.errors import ConfigurationError, ProfileError
from cuhlm.messages import Sampling
from cuhlm.methods import METHODS, find_method
from cuhlm.profiles import load_profile
from cuhlm.settings import RISK_PRONE, sampling_note, settings_for, threshold_meaning

PROFILE = replace(load_profile(DRAFT_PROFILE), risk_averse=0.08, risk_prone=0.9)


def test_numbers_come_from_the_profile() -> None:
    settings = settings_for(METHODS["cu-hlm"], PROFILE)
    assert settings.threshold == 0.08
    assert settings.rejection == PROFILE.rejection
    assert settings_for(METHODS["cu-hlm"], PROFILE, threshold=RISK_PRONE).threshold == 0.9
    assert settings_for(METHODS["cu-hlm-offline"], PROFILE).k == PROFILE.k_star


def test_a_given_number_goes_before_the_profiles() -> None:
    settings = settings_for(METHODS["cu-hlm-offline"], PROFILE, threshold="0.25", k=7, vartheta=0.3)
    assert (settings.threshold, settings.k, settings.vartheta) == (0.25, 7, 0.3)


def test_a_run_at_another_sampling_than_the_profiles_is_told_so() -> None:
    gated, ungated = (settings_for(METHODS[name], PROFILE, threshold=0.5) for name in ("u-hlm", "hlm"))
    assert sampling_note(gated, PROFILE, PROFILE.provenance.sampling) == ""
    assert sampling_note(ungated, PROFILE, Sampling(temperature=0)) == ""
    note = sampling_note(gated, PROFILE, Sampling(0.7, top_k=40, top_p=0.9, min_p=0.05))
    assert "calibrated at T = 1, and this decodes at T = 0.7, top-k 40, top-p 0.9, min-p 0.05" in note


@pytest.mark.parametrize("method", ["local", "remote", "hlm"])
def test_a_method_without_a_gate_on_u_needs_no_profile(method: str) -> None:
    assert settings_for(METHODS[method], None).method.name == method


@pytest.mark.parametrize("method", ["rand-hlm", "cu-hlm", "cu-hlm-offline"])
def test_a_method_that_needs_a_profile_says_so(method: str) -> None:
    with pytest.raises(ConfigurationError, match="cuhlm calibrate"):
        settings_for(METHODS[method], None, threshold=0.5)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"threshold": 1.5}, "threshold 1.5 is unusable"),
        ({"threshold": "often"}, "threshold 'often' is unusable"),
        ({"threshold": float("nan")}, "unusable"),
        ({"threshold": "0_0"}, "threshold '0_0' is unusable"),
        ({"k": 0}, "k is 0"),
        ({"vartheta": -0.1}, "distortion bound is -0.1"),
    ],
)
def test_a_number_out_of_range_is_refused(numbers: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settings_for(METHODS["cu-hlm"], PROFILE, **numbers)


def test_a_rule_without_a_profile_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is a profile's and there is none"):
        settings_for(METHODS["u-hlm"], None)


def test_an_undefined_threshold_is_refused() -> None:
    with pytest.raises(ProfileError, match="β does not grow with u"):
        settings_for(METHODS["u-hlm"], replace(PROFILE, risk_averse=float("nan")))


@pytest.mark.parametrize(
    ("threshold", "meaning"), [(-0.03, "every token is transmitted"), (1.1, "every token is skipped")]
)
def test_a_calibrated_threshold_outside_the_range_is_kept_and_its_meaning_told(threshold: float, meaning: str) -> None:
    settings = settings_for(METHODS["u-hlm"], replace(PROFILE, risk_averse=threshold))
    assert settings.threshold == threshold
    assert meaning in threshold_meaning(settings)


def test_a_usual_threshold_needs_no_words() -> None:
    assert not threshold_meaning(settings_for(METHODS["u-hlm"], PROFILE))
    assert not threshold_meaning(settings_for(METHODS["hlm"], None))


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="'magic' is unknown; expected one of local, remote"):
        find_method("magic")
