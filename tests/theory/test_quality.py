import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.theory.quality import agreement, gated_law, kl_divergence, negative_log_likelihood, total_variation
from cuhlm.theory.truncation import TruncatedLaw, top_k
from cuhlm.theory.verification import verified_law

size = 5
laws = (
    st.lists(st.integers(0, 9), min_size=size, max_size=size)
    .filter(any)
    .map(lambda w: (np.array(w) / sum(w)).astype(np.float32))
)
masks = st.lists(st.booleans(), min_size=size, max_size=size).map(lambda m: np.array(m, dtype=bool))


@given(laws, laws)
def test_distances_are_zero_only_between_equals_and_obey_pinsker(p, q):
    tv, kl = total_variation(p, q), kl_divergence(p, q)
    assert 0 <= tv <= 1 + 1e-6
    assert kl >= -1e-6
    assert tv <= math.sqrt(max(0, kl) / 2) + 1e-3
    assert total_variation(p, p) == 0
    assert kl_divergence(p, p) == 0


def test_divergence_is_infinite_where_a_token_is_missing_and_counts_no_absent_ones():
    p, q = np.array([0.5, 0.5, 0]), np.array([0.5, 0, 0.5])
    assert kl_divergence(p, q) == math.inf
    assert kl_divergence(np.array([1.0, 0]), np.array([0.5, 0.5])) == pytest.approx(math.log(2))
    assert total_variation(p, q) == 0.5


def test_likelihood_of_an_impossible_token_is_none():
    y = np.array([0.25, 0.75, 0], np.float32)
    assert negative_log_likelihood(y, 0) == pytest.approx(math.log(4))
    assert negative_log_likelihood(y, 2) == math.inf


@given(laws, laws)
def test_one_group_reported_truly_is_the_target(x, y):
    everything = np.ones(size, dtype=bool)
    np.testing.assert_allclose(gated_law(x, y, ~everything, [(everything, x)]), y, atol=1e-6)


@given(laws, laws)
def test_skipping_all_is_the_draft_and_skipping_none_of_a_redrawn_draft_is_the_target(x, y):
    everything = np.ones(size, dtype=bool)
    np.testing.assert_allclose(gated_law(x, y, everything, []), x, atol=1e-6)
    np.testing.assert_allclose(gated_law(x, y, ~everything), y, atol=1e-6)


@given(laws, laws, masks, masks, st.integers(1, size), st.integers(1, size))
def test_a_gated_law_is_the_sum_over_drafts(x, y, skips, first, k_first, k_second):
    first = first & ~skips
    second = ~skips & ~first
    reported = [TruncatedLaw(*top_k(x, k), size).rebuilt() for k in (k_first, k_second)]
    expected = np.zeros(size)
    for token in range(size):
        only = np.where(np.arange(size) == token, x, 0)
        expected += only if skips[token] else verified_law(only, reported[0 if first[token] else 1], y)
    law = gated_law(x, y, skips, [(first, reported[0]), (second, reported[1])])
    np.testing.assert_allclose(law, expected, atol=1e-6)
    assert law.sum() == pytest.approx(1, abs=1e-5)


@given(laws, laws, masks)
def test_a_gate_costs_at_most_the_mass_it_skips(x, y, skips):
    assert total_variation(gated_law(x, y, skips), y) <= x[skips].sum() + 1e-5


@pytest.mark.parametrize(
    ("a", "b", "share"),
    [([], [], 1), ([1], [], 0), ([1, 2, 3], [1, 2, 3], 1), ([1, 2, 3, 4], [1, 5, 3], 0.5), ([1, 2], [1, 2, 3, 4], 0.5)],
)
def test_agreement_counts_the_places_of_the_longer_one(a, b, share):
    assert agreement(a, b) == share
    assert agreement(tuple(b), tuple(a)) == share
