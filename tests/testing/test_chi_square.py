import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cuhlm.testing.chi_square import chi_square_critical, chi_square_tail


@given(st.floats(0, 2000), st.integers(1, 400))
def test_the_chi_square_tail_is_scipys(statistic, freedom):
    assert chi_square_tail(statistic, freedom) == pytest.approx(stats.chi2.sf(statistic, freedom), rel=1e-9, abs=1e-290)


@pytest.mark.parametrize("freedom", [1, 3, 50, 400])
@pytest.mark.parametrize("tail", [0.5, 1e-4, 1e-9])
def test_critical_values_are_scipys(freedom, tail):
    assert chi_square_critical(freedom, tail) == pytest.approx(stats.chi2.isf(tail, freedom), rel=1e-9)
