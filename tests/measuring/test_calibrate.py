"""Calibration, on the toy pair."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.toy_pair import VOCAB

from cuhlm.errors import ConfigurationError, ContextOverflow, ProfileError
from cuhlm.measuring.calibrate import CalibrationPlan, Tokens, calibrate, skipped_risk
from cuhlm.measuring.prompts import Prompt, read_prompts
from cuhlm.messages import Sampling
from cuhlm.methods import METHODS
from cuhlm.profiles import Profile, load_profile
from cuhlm.settings import settings_for
from cuhlm.testing import ToyEngine
from cuhlm.theory.truncation import MeanBound
from cuhlm.theory.uncertainty import Measure

DRAFT = ToyEngine(vocab_size=VOCAB, seed=5, sharpness=2, noise=0.6)  # sharp enough for β to grow with u
TARGET = ToyEngine(vocab_size=VOCAB, seed=5, sharpness=2)
PROMPTS = [Prompt(str(number), text) for number, text in enumerate(("abc", "bcd", "cde", "hgf"))]


@pytest.fixture(scope="module")
def calibrated():
    return calibrate(DRAFT, TARGET, PROMPTS, CalibrationPlan("toy prompts", max_tokens=60))


def test_the_numbers_are_those_of_the_measured_tokens(calibrated) -> None:
    profile, tokens = calibrated
    assert profile.rejection.a > 0
    a, b = np.polyfit(tokens.u, tokens.beta, 1)
    assert (profile.rejection.a, profile.rejection.b) == pytest.approx((a, b))
    assert profile.delta == np.mean(tokens.below)
    assert profile.risk_averse == pytest.approx(-b / a)
    assert profile.risk_prone == pytest.approx((profile.delta - b) / a)
    assert profile.provenance.n_tokens == len(tokens.u) == 240
    assert profile.curve.share_at(0.5) == pytest.approx(np.mean(np.array(tokens.u) <= 0.5), abs=0.01)
    assert 1 <= profile.k_star <= VOCAB


def test_k_star_is_the_smallest_k_within_the_bound(calibrated) -> None:
    profile, tokens = calibrated
    assert tokens.bound.values[profile.k_star - 1] <= profile.vartheta
    assert profile.k_star == 1 or tokens.bound.values[profile.k_star - 2] > profile.vartheta


def test_each_token_is_counted_to_its_text(calibrated) -> None:
    assert calibrated[1].text == [number for number in range(4) for _ in range(60)]


def test_skipped_risk_describes_the_skipped_tokens_only() -> None:
    tokens = Tokens(MeanBound(2), u=[0.0, 0.1, 0.2, 0.9], beta=[0.0, 0.3, 0.0, 1.0], text=[0, 0, 1, 1])
    share, risk = skipped_risk(tokens, 0.2, seed=1)
    assert share == 0.75
    assert risk.value == pytest.approx(0.1)
    assert 0 <= risk.low <= risk.value <= risk.high <= 0.15  # the means of the two texts
    assert (share, risk) == skipped_risk(tokens, 0.2, seed=1)
    nothing = skipped_risk(tokens, float("nan"), seed=1)
    assert nothing.share == 0
    assert np.isnan(nothing.mean_beta).all()
    alone = skipped_risk(replace(tokens, text=[0, 0, 0, 0]), 0.2, seed=1)
    assert alone.mean_beta.value == risk.value
    assert np.isnan(alone.mean_beta[1:]).all()  # one text tells nothing of how texts differ


def test_the_risk_interval_covers_where_tokens_of_a_text_are_alike() -> None:
    # n = 200 calibrations of 40 texts of 20 tokens with seed 11: β = text effect + noise, of equal variance, mean 0.5.
    # H0: the interval covers with at least 0.93 (the percentile bootstrap of 40 texts: a little less than 0.95);
    # below 0.86 with a false alarm of about 1e-4 (binomial). Taking tokens as independent covers about 0.5.
    random = np.random.default_rng(11)
    covered = naive_covered = 0
    widths = []
    for _ in range(200):
        beta = np.repeat(random.uniform(0.2, 0.8, 40), 20) + random.uniform(-0.3, 0.3, 800)
        tokens = Tokens(MeanBound(2), u=[0.0] * 800, beta=list(beta), text=list(np.repeat(np.arange(40), 20)))
        _, risk = skipped_risk(tokens, 0.5, seed=0)
        half = 1.96 * beta.std() / np.sqrt(800)  # as the bootstrap over single tokens, see test_bootstrap
        covered += risk.low <= 0.5 <= risk.high
        naive_covered += abs(risk.value - 0.5) <= half
        widths.append((risk.high - risk.low) / (2 * half))
    assert covered / 200 >= 0.86
    assert naive_covered / 200 < 0.7
    assert min(widths) > 1.5


def test_the_same_plan_measures_the_same(calibrated) -> None:
    again, _ = calibrate(DRAFT, TARGET, PROMPTS, CalibrationPlan("toy prompts", max_tokens=60))
    assert repr(again) == repr(calibrated[0])  # a share of no tokens is NaN, which equals nothing


@pytest.mark.parametrize("measure", Measure)
def test_every_measure_can_be_calibrated(measure: Measure) -> None:
    plan = CalibrationPlan("toy prompts", max_tokens=10)
    profile, _ = calibrate(
        DRAFT, TARGET, PROMPTS, replace(plan, uncertainty=replace(plan.uncertainty, measure=measure))
    )
    assert profile.uncertainty.measure is measure


@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.8])
def test_rand_hlm_takes_the_rate_at_which_u_hlm_would_have_asked_on_the_calibration_text(
    calibrated, threshold: float
) -> None:
    profile, tokens = calibrated
    rate = settings_for(METHODS["rand-hlm"], profile, threshold=threshold).transmit_rate
    assert 0.05 < rate < 0.95
    assert rate == pytest.approx(np.mean(np.array(tokens.u) > threshold), abs=0.01)


def test_a_prompt_that_does_not_fit_is_named_before_anything_is_measured() -> None:
    told: list[tuple[int, int]] = []
    with pytest.raises(ContextOverflow, match="the prompt 'long' has 600 tokens; draft and target hold 512"):
        calibrate(
            DRAFT,
            TARGET,
            [*PROMPTS, Prompt("long", "a" * 600)],
            CalibrationPlan("toy"),
            lambda *done: told.append(done),
        )
    assert not told


def test_an_answer_ends_where_the_context_is_full() -> None:
    _, tokens = calibrate(DRAFT, TARGET, [Prompt("1", "a" * 500)], CalibrationPlan("toy", max_tokens=60))
    assert len(tokens.u) == 12


def test_a_profile_remembers_its_sampling(tmp_path: Path) -> None:
    sampling = Sampling(temperature=0.5, top_k=7, min_p=0.1)
    profile, _ = calibrate(DRAFT, TARGET, PROMPTS, CalibrationPlan("toy", max_tokens=20, sampling=sampling))
    profile.save(tmp_path / "p.json")
    assert load_profile(tmp_path / "p.json").provenance.sampling == sampling


def test_progress_is_told(calibrated) -> None:
    told: list[tuple[int, int]] = []
    calibrate(DRAFT, TARGET, PROMPTS, CalibrationPlan("toy", max_tokens=5), lambda *done: told.append(done))
    assert told == [(number, 4) for number in range(5)]


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="4 calibration tokens are too few"):
        calibrate(DRAFT, TARGET, PROMPTS, CalibrationPlan("toy", max_tokens=1))


def test_a_profile_survives_the_disk(calibrated, tmp_path: Path) -> None:
    profile: Profile = calibrated[0]
    flat = replace(profile.rejection, a=-profile.rejection.a)
    undefined = replace(profile, rejection=flat, risk_averse=float("nan"), risk_prone=float("nan"))
    for number, saved in enumerate((profile, undefined)):
        saved.save(tmp_path / f"{number}.json")
        loaded = load_profile(tmp_path / f"{number}.json")
        assert repr(loaded) == repr(saved)  # NaN is not equal to itself


def test_a_profile_is_refused_for_another_pair_and_names_the_model(calibrated) -> None:
    profile: Profile = calibrated[0]
    profile.check_pair(DRAFT.card, TARGET.card)
    with pytest.raises(ProfileError, match=r"for the draft 'toy-12-5-noise-0.6' .* the draft here is 'toy-12-5'"):
        profile.check_pair(TARGET.card, TARGET.card)
    with pytest.raises(ProfileError, match="for the target"):
        profile.check_pair(DRAFT.card, DRAFT.card)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ('{"prompt": "a"}\n{"text": "b"}', "line 2: prompt is missing"),
        ("nonsense", "line 1 is not JSON"),
        ('["prompt"]', r"line 1: it is \['prompt'\]; expected a table"),
        ('{"prompt": null}', "line 1: prompt is None; expected a string"),
        ('{"prompt": ["a", 1]}', r"line 1: prompt is \['a', 1\]; expected a string"),
        ('{"prompt": "\\ud800"}', "line 1 is not JSON"),
        ('{"prompt": "a", "id": true}', "line 1: id is True; expected a whole number or a string or nothing"),
        ('{"prompt": "a", "id": 1.5}', "line 1: id is 1.5; expected a whole number or a string or nothing"),
        ('{"prompt": "a", "answer": 3}', "line 1: answer is 3; expected a string or nothing"),
    ],
)
def test_a_prompt_file_that_is_none_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_prompts(tmp_path / "prompts.jsonl")


def test_a_prompt_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_bytes('{"prompt": "é"}'.encode("latin-1"))
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        read_prompts(tmp_path / "prompts.jsonl")


def test_what_a_prompt_does_not_have_is_empty_and_what_others_add_is_left_aside(tmp_path: Path) -> None:
    lines = (
        '{"prompt": "a", "id": 7, "task": null, "reference": "r"}',
        "",
        '{"prompt": "b", "id": null, "source": [1]}',
    )
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8-sig")
    assert read_prompts(tmp_path / "prompts.jsonl") == [Prompt("7", "a", reference="r"), Prompt("3", "b")]


def test_a_line_separator_inside_a_prompt_separates_no_lines(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a\u2028b"}\r\n{"prompt": "c"}\n', encoding="utf-8")
    assert [prompt.text for prompt in read_prompts(tmp_path / "prompts.jsonl")] == ["a\u2028b", "c"]


def test_a_limit_takes_prompts_from_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text("".join(f'{{"prompt": "{number}"}}\n' for number in range(10)))
    assert [prompt.text for prompt in read_prompts(tmp_path / "prompts.jsonl", 3)] == ["0", "3", "6"]
