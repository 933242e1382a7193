import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cuhlm.testing.law_checks import check_law, chi_square_critical, chi_square_tail
from cuhlm.theory.randomness import Purpose, uniforms


@given(st.floats(0, 2000), st.integers(1, 400))
def test_the_chi_square_tail_is_scipys(statistic, freedom):
    assert chi_square_tail(statistic, freedom) == pytest.approx(stats.chi2.sf(statistic, freedom), rel=1e-9, abs=1e-290)


@pytest.mark.parametrize("freedom", [1, 3, 50, 400])
@pytest.mark.parametrize("tail", [0.5, 1e-4, 1e-9])
def test_critical_values_are_scipys(freedom, tail):
    assert chi_square_critical(freedom, tail) == pytest.approx(stats.chi2.isf(tail, freedom), rel=1e-9)


def samples_of(law, n, position):
    return np.searchsorted(np.cumsum(law), uniforms(11, position, Purpose.DRAFT, n)).astype(np.intp)


LAW = np.array([0.4, 0.3, 0.2, 0.07, 0.03])


def test_p_values_of_true_laws_are_uniform():
    # Null hypothesis: they are. n = 400 checks of 2000 samples; Kolmogorov's limit of 2.23/√n has a false-alarm rate
    # of 1e-4 and sees any difference of the distribution functions above twice that.
    p = np.sort([check_law(samples_of(LAW, 2000, t), LAW).p_value for t in range(400)])
    assert np.abs(p - (np.arange(400) + 0.5) / 400).max() < 2.23 / 20


def test_a_law_at_the_stated_distance_is_caught():
    # The hardest direction at that distance: the differences in proportion to the law.
    signs = np.array([1, -1, 1, -1, -1])
    shift = LAW * np.where(signs > 0, 1 / LAW[signs > 0].sum(), -1 / LAW[signs < 0].sum())
    tv = check_law(samples_of(LAW, 5000, 0), LAW).smallest_detectable_tv
    assert tv < 0.06
    caught = [not check_law(samples_of(LAW + tv * shift, 5000, t), LAW).passed for t in range(200)]
    assert np.mean(caught) > 0.95


def test_impossible_tokens_fail_the_check_outright():
    law = np.array([0.5, 0.5, 0])
    assert not check_law(np.array([0, 1, 2]), law).passed
    assert not check_law(np.array([0, 1, 3]), law).passed
    assert check_law(np.array([0, 1] * 50), law).passed


def test_rare_tokens_are_pooled():
    law = np.concatenate([[0.9], np.full(1000, 1e-4)])
    samples = samples_of(law, 3000, 5)
    check = check_law(samples, law)
    assert check.passed
    assert check.n == 3000
