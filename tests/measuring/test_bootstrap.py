"""Bootstrap intervals over prompts."""

import numpy as np
import pytest
from scipy import stats

from cuhlm.measuring.bootstrap import (
    Ratio,
    estimate,
    resample_counts,
    risk_coverage_area,
    tail_probability,
    weighted_correlation,
    weighted_estimate,
)

RANDOM = np.random.default_rng(5)


def test_a_resample_draws_as_many_units_as_there_are_and_is_the_same_again() -> None:
    counts = resample_counts(7, resamples=50)
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert (counts == resample_counts(7, resamples=50)).all()
    assert not (counts == counts[0]).all()


def test_an_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    # n = 300 samples of 40 exponential numbers. The percentile bootstrap is a little too narrow for them: it covers
    # about 0.93. Between 0.88 and 0.98 with a false alarm below 1e-3 (binomial); an interval of half the width
    # covers 0.65 and is rejected.
    counts = resample_counts(40)
    covered = narrow = 0
    for _ in range(300):
        values = RANDOM.exponential(size=40)
        found = estimate(Ratio(values, np.ones(40)), counts)
        covered += found.low <= 1 <= found.high
        half = (found.high - found.low) / 4
        narrow += abs(found.value - 1) <= half
    assert 0.88 <= covered / 300 <= 0.98
    assert narrow / 300 < 0.88


def test_a_ratio_of_two_methods_on_the_same_prompts_is_paired() -> None:
    fades = RANDOM.exponential(size=30) * 100
    counts, ones = resample_counts(30), np.ones(30)
    twice = estimate(Ratio(2 * fades, ones), counts, over=Ratio(fades, ones))
    assert twice == pytest.approx((2, 2, 2))


def test_the_interval_of_many_units_has_the_width_of_the_normal_one() -> None:
    values = np.random.default_rng(4).random(4000)
    found = estimate(Ratio(values, np.ones(4000)), resample_counts(4000, seed=9))
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(values.size), rel=0.1)


def test_one_unit_alone_has_no_interval() -> None:
    found = estimate(Ratio(np.array([3.0]), np.array([2.0])), resample_counts(1))
    assert found.value == 1.5
    assert np.isnan(found[1:]).all()


def test_units_with_nothing_to_say_are_left_out() -> None:
    ratio = Ratio(np.array([1.0, 0.0, 3.0]), np.array([1.0, 0.0, 1.0]))
    found = estimate(ratio, resample_counts(3))
    assert found.value == 2
    assert 1 <= found.low <= found.high <= 3
    assert np.isnan(estimate(Ratio(np.zeros(3), np.zeros(3)), resample_counts(3)).value)


def test_weights_stand_for_repeated_rows() -> None:
    a, b = RANDOM.normal(size=20), RANDOM.normal(size=20)
    weights = RANDOM.integers(0, 4, size=20)
    assert weighted_correlation(a, b, weights.astype(float)) == pytest.approx(
        np.corrcoef(np.repeat(a, weights), np.repeat(b, weights))[0, 1]
    )
    assert np.isnan(weighted_correlation(np.ones(20), b, np.ones(20)))


def test_the_area_is_the_mean_risk_over_all_coverages() -> None:
    u, beta = RANDOM.permutation(50) / 50, RANDOM.random(50)
    order = np.argsort(u)
    by_hand = np.mean([beta[order][: n + 1].mean() for n in range(50)])
    assert risk_coverage_area(u, beta, np.ones(50)) == pytest.approx(by_hand)
    assert risk_coverage_area(beta, beta, np.ones(50)) < by_hand
    assert risk_coverage_area(np.zeros(50), beta, np.ones(50)) == pytest.approx(beta.mean())  # it knows nothing


def test_rows_of_one_unit_are_resampled_together() -> None:
    unit = np.repeat(np.arange(5), 10)
    values = unit.astype(float)  # all that varies is between units
    found = weighted_estimate(lambda w: float(w @ values / w.sum()), unit, resample_counts(5))
    alone = weighted_estimate(lambda w: float(w @ values / w.sum()), np.arange(50), resample_counts(50))
    assert found.value == alone.value == 2
    assert found.high - found.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize("units", [8, 10, 40, 1000])
def test_a_percentile_interval_of_few_units_leaves_out_less(units: int) -> None:
    student = stats.t.ppf(0.975, units - 1) * np.sqrt(units / (units - 1))
    assert tail_probability(units) == pytest.approx(stats.norm.sf(student), rel=0.03)
    assert tail_probability(units) < 0.025
