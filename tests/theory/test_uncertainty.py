import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuhlm.errors import ConfigurationError
from cuhlm.theory.distributions import LogitRow
from cuhlm.theory.randomness import Purpose, uniforms
from cuhlm.theory.uncertainty import (
    Measure,
    bin_midpoints,
    entropy,
    expected_disagreement,
    expected_disagreements,
    margin,
    max_probability,
    sampled_disagreement,
)

BOUND = 1e-4  # what the histogram may cost, see theory/softmax_sums.py

# A few levels, each repeated many times, are the histogram's hardest inputs: nothing averages out within a bin.
levels = st.lists(st.tuples(st.floats(-50, 50, width=32), st.integers(1, 40_000)), min_size=1, max_size=5).map(
    lambda pairs: np.repeat(np.array([v for v, _ in pairs], np.float32), [n for _, n in pairs])
)
spread = st.tuples(st.integers(2, 60_000), st.floats(0, 12), st.integers(0, 2**32)).map(
    lambda t: np.random.default_rng(t[2]).normal(0, t[1], t[0]).astype(np.float32)
)
ranges = st.sampled_from(
    [(0.0, 2.0, 20), (0.05, 2.0, 20), (0.0, 1.0, 7), (0.5, 0.6, 3), (0.0, 40.0, 12), (0.0, 1e-3, 5)]
)


def naive(logits, token, temperatures):
    gaps = logits.max().astype(np.float64) - logits.astype(np.float64)
    return 1 - np.mean([np.exp(-gaps[token] / t) / np.exp(-gaps / t).sum() for t in temperatures])


@settings(max_examples=150, deadline=None)
@given(levels | spread, ranges, st.data())
def test_the_closed_form_is_within_its_bound_of_the_plain_formula(logits, theta, data):
    temperatures = bin_midpoints(*theta)
    token = data.draw(st.sampled_from([int(logits.argmax()), int(logits.argmin()), logits.size // 2]))
    u = expected_disagreement(LogitRow.of(logits), token, temperatures=temperatures)
    assert 0 <= u <= 1
    assert u == pytest.approx(naive(logits, token, temperatures), abs=BOUND)


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("gap", [0, 3, 10, 18, 24, 40, 60])
def test_the_bound_holds_where_a_bins_entries_all_lie_at_one_place_of_it(share, gap):
    temperatures = bin_midpoints()
    width = 0.45 / 32
    logits = np.full(151_936, -(np.floor(gap / width) + share) * width, np.float32)
    logits[7] = 0
    assert expected_disagreement(LogitRow.of(logits), 7, temperatures=temperatures) == pytest.approx(
        naive(logits, 7, temperatures), abs=BOUND
    )


def test_excluded_tokens_do_not_count():
    logits = np.array([1, 0, -np.inf, -np.inf], np.float32)
    temperatures = bin_midpoints()
    assert expected_disagreement(LogitRow.of(logits), 0, temperatures=temperatures) == pytest.approx(
        naive(logits[:2], 0, temperatures), abs=BOUND
    )
    assert expected_disagreement(LogitRow.of(logits), 2, temperatures=temperatures) == 1
    assert 0 < entropy(LogitRow.of(logits)) < 1
    assert max_probability(LogitRow.of(logits)) < 1


def test_all_tokens_at_once_agree_with_one_at_a_time():
    logits = np.random.default_rng(0).normal(0, 3.75, 3000).astype(np.float32)
    temperatures = bin_midpoints()
    every = expected_disagreements(logits, temperatures)
    assert every.dtype == np.float32
    for token in (int(logits.argmax()), 0, 1, 2999):
        assert every[token] == pytest.approx(
            expected_disagreement(LogitRow.of(logits), token, temperatures=temperatures), abs=BOUND
        )


def test_midpoints_are_those_of_equal_bins():
    np.testing.assert_allclose(bin_midpoints(0.5, 1.5, 4), [0.625, 0.875, 1.125, 1.375])
    np.testing.assert_allclose(bin_midpoints(), np.arange(0.05, 2, 0.1))


def test_the_mean_of_the_sampled_estimator_is_the_closed_form():
    # Null hypothesis: the estimator's mean is the integral over θ, up to the midpoint rule. n = 4000 estimates, whose
    # standard error is below 0.12/√n: a limit of 4 of these has a false-alarm rate below 1e-4, and a difference of
    # 0.016 is seen in 99 of 100 cases. The wrong rule, another token's closed form, is rejected.
    logits = np.random.default_rng(2).normal(0, 3, 300).astype(np.float32)
    token, other = np.argsort(logits)[-1], np.argsort(logits)[-2]
    estimates = [
        sampled_disagreement(LogitRow.of(logits), int(token), uniforms=uniforms(3, t, Purpose.UNCERTAINTY, 40))
        for t in range(4000)
    ]
    limit = 4 * np.std(estimates) / np.sqrt(len(estimates))
    assert limit < 0.0076
    fine = bin_midpoints(perturbations=400)
    assert np.mean(estimates) == pytest.approx(naive(logits, token, fine), abs=limit)
    assert np.mean(estimates) != pytest.approx(naive(logits, other, fine), abs=limit)


def test_the_sampled_estimator_counts_in_steps_of_one_over_m():
    logits = np.array([1, 0.5, 0], np.float32)
    u = sampled_disagreement(LogitRow.of(logits), 0, uniforms=uniforms(1, 1, Purpose.UNCERTAINTY, 10), perturbations=5)
    assert u * 5 == pytest.approx(round(u * 5))


def test_a_certain_model_has_no_uncertainty_and_an_ignorant_one_all_of_it():
    certain, ignorant = np.full(1000, -200, np.float32), np.zeros(1000, np.float32)
    certain[3] = 200
    for measure in (entropy, margin, max_probability):
        assert measure(LogitRow.of(certain)) == pytest.approx(0, abs=1e-6)
        assert measure(LogitRow.of(ignorant)) == pytest.approx(1, abs=1e-6)


@given(st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=40))
def test_the_other_measures_agree_with_their_definitions(values):
    logits = np.array(values, np.float32)
    weights = np.exp(logits.astype(np.float64) - logits.max())
    probs = np.sort(weights / weights.sum())[::-1]
    nats = -np.sum(probs * np.log(np.maximum(probs, 1e-300)))
    assert entropy(LogitRow.of(logits)) == pytest.approx(nats / np.log(probs.size), abs=1e-5)
    assert margin(LogitRow.of(logits)) == pytest.approx(1 - (probs[0] - probs[1]), abs=1e-5)
    assert max_probability(LogitRow.of(logits)) == pytest.approx((1 - probs[0]) / (1 - 1 / probs.size), abs=1e-5)


def test_measures_have_the_names_a_profile_may_hold():
    assert [str(m) for m in Measure] == ["sampled", "expected", "entropy", "margin", "max_probability"]


@pytest.mark.parametrize("wrong", [(1.0, 1.0, 20), (-0.1, 2.0, 20), (0.0, float("inf"), 20), (0.0, 2.0, 0)])
def test_empty_temperature_ranges_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="expected"):
        bin_midpoints(*wrong)


def test_too_few_uniforms_and_temperatures_of_zero_are_refused():
    logits = np.zeros(4, np.float32)
    with pytest.raises(ConfigurationError, match="2·M = 40"):
        sampled_disagreement(LogitRow.of(logits), 0, uniforms=np.full(20, 0.5))
    with pytest.raises(ConfigurationError, match="a temperature is 0"):
        expected_disagreement(LogitRow.of(logits), 0, temperatures=np.array([0.0, 1.0]))
    with pytest.raises(ConfigurationError, match="fewer than 1048576"):
        expected_disagreement(LogitRow.of(np.zeros(2**20, np.float32)), 0, temperatures=np.ones(1))
