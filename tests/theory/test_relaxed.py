"""The law of relaxed verdicts where it follows by hand; `tests/laws/test_opportunistic.py` holds the verifier to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.theory.relaxed import relaxed_law

SIZE = 6
weights = st.one_of(st.just(0.0), st.floats(0.001, 1))
laws = st.lists(weights, min_size=SIZE, max_size=SIZE).filter(lambda each: sum(each) > 0.1)


def law(weights: list[float]) -> np.ndarray:
    return np.array(weights) / sum(weights)


@given(laws, laws, st.lists(st.booleans(), min_size=SIZE, max_size=SIZE))
def test_it_is_a_law(x: list[float], y: list[float], plausible: list[bool]) -> None:
    made = relaxed_law(law(x), law(y), np.array(plausible))
    assert made.min() >= 0
    assert made.sum() == pytest.approx(1)


@given(laws, laws)
def test_where_all_is_plausible_it_is_the_drafts_and_where_nothing_is_the_targets(
    x: list[float], y: list[float]
) -> None:
    everything, nothing = np.ones(SIZE, bool), np.zeros(SIZE, bool)
    assert relaxed_law(law(x), law(y), everything) == pytest.approx(law(x))
    assert relaxed_law(law(x), law(y), nothing) == pytest.approx(law(y), abs=1e-9)


def test_of_two_tokens_it_is_what_the_race_says() -> None:
    """x = (1/4, 3/4), y = (3/4, 1/4), the second implausible: it stays where both draw it, with 1/(1 + 3) = 1/4."""
    made = relaxed_law(np.array([0.25, 0.75]), np.array([0.75, 0.25]), np.array([True, False]))
    assert made == pytest.approx([0.75, 0.25])
