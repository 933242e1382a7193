import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.theory.truncation import TruncatedLaw, top_k
from cuhlm.theory.verification import accepts, draw, rejection, replacement, residual, sample, verified_law


def normalised(weights):
    law = np.array(weights, np.float64)
    return (law / law.sum()).astype(np.float32)


size = 6
laws = st.lists(st.integers(0, 9), min_size=size, max_size=size).filter(any).map(normalised)
fractions = st.floats(0, 1)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=900).filter(any), fractions)
def test_a_draw_is_the_inverse_distribution_function_and_never_a_zero(weights, uniform):
    law = normalised(weights)
    draft = draw(law, uniform)
    assert draft.law is law
    assert law[draft.token] > 0
    before = law[: draft.token].sum(dtype=np.float64)
    total = law.sum(dtype=np.float64)
    assert before - 1e-6 <= uniform * total <= before + law[draft.token] + 1e-6


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1000, 49_152])
def test_both_ends_give_the_first_and_the_last_token_that_can_be_drawn(size):
    law = np.zeros(size, np.float32)
    first, last = size // 3, size - 1 - size // 3
    law[[first, last]] = 0.5 if first != last else 1
    for uniform, token in ((0.0, first), (1e-300, first), (1 - 2**-53, last), (1.0, last)):
        assert sample(law, uniform) == token


def test_weights_need_no_normalisation():
    assert [sample(np.array([0, 3, 0, 1], np.float32), u) for u in (0.1, 0.74, 0.76)] == [1, 1, 3]


def test_draws_follow_the_law_over_many_blocks():
    # Every token of a large vocabulary is drawn by the uniforms between its cumulative sums, up to float32 block sums.
    law = normalised(np.random.default_rng(0).random(5000))
    edges = np.concatenate(([0], np.cumsum(law, dtype=np.float64)))
    middles = (edges[1:] + edges[:-1]) / 2 / edges[-1]
    assert [sample(law, u) for u in middles] == list(range(5000))


@given(laws, laws, st.floats(0, 1 - 1e-9))
def test_a_draft_is_replaced_by_what_the_target_has_more_of(q, y, uniform):
    token = replacement(q, y, uniform)
    assert y[token] > q[token] or np.array_equal(q, y)


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.floats(1e-9, 1 - 1e-9))
def test_a_draft_falls_with_its_rejection_probability(believed, wanted, uniform):
    stands = 1 - rejection(believed, wanted)
    if abs(uniform - stands) > 1e-12:  # rounding decides between them
        assert accepts(believed, wanted, uniform) == (uniform < stands)


def test_a_draft_the_target_would_never_say_is_always_rejected():
    q, y = np.array([0.5, 0.5, 0], np.float32), np.array([0, 0.5, 0.5], np.float32)
    assert not accepts(0.5, 0.0, 1e-300)
    assert replacement(q, y, 0.5) == 2
    assert accepts(0.0, 0.5, 0.999)  # whatever the reported law says of it


def test_nothing_left_over_falls_back_to_the_target():
    y = np.array([0.25, 0.75], np.float32)
    assert residual(y, y) is y
    assert residual(y, y * np.float32(1.01)) is y


@given(laws, laws)
def test_a_law_reported_truly_comes_out_as_the_target(x, y):
    np.testing.assert_allclose(verified_law(x, x, y), y, atol=1e-6)


@given(laws, laws, st.integers(1, size))
def test_a_draft_drawn_from_the_rebuilt_law_comes_out_as_the_target_for_every_k(x, y, k):
    rebuilt = TruncatedLaw(*top_k(x, k), size).rebuilt()
    np.testing.assert_allclose(verified_law(rebuilt, rebuilt, y), y, atol=1e-6)


@given(laws, laws, st.integers(1, size))
def test_truncation_without_redrawing_costs_no_more_than_the_distance_of_the_rebuilt_law(x, y, k):
    rebuilt = TruncatedLaw(*top_k(x, k), size).rebuilt()
    error = 0.5 * np.abs(verified_law(x, rebuilt, y) - y).sum()
    assert error <= 0.5 * np.abs(x.astype(np.float64) - rebuilt).sum() + 1e-6


def test_reporting_another_law_changes_what_comes_out():
    x, y = normalised([7, 2, 1]), normalised([1, 1, 1])
    assert np.abs(verified_law(x, y, y) - y).max() > 0.1


@given(laws, laws, laws)
def test_the_exact_law_is_the_sum_over_drafts_of_what_verification_does(x, q, y):
    expected = np.zeros(size)
    rest = np.maximum(0, y.astype(np.float64) - q)
    rest = rest / rest.sum() if rest.sum() > 1e-6 else y / y.sum()
    for token in range(size):
        beta = rejection(float(q[token]), float(y[token]))
        expected[token] += x[token] * (1 - beta)
        expected += x[token] * beta * rest
    np.testing.assert_allclose(verified_law(x, q, y), expected, atol=1e-5)
