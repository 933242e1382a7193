import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuhlm.errors import ConfigurationError
from cuhlm.messages import Sampling
from cuhlm.theory.distributions import distribution
from cuhlm.theory.truncation import (
    MeanBound,
    TruncatedLaw,
    denominator_online,
    denominators_online,
    distortion_by_k,
    offline_k,
    online_top,
    payload_bits,
    residual_mass,
    smallest_k,
    top_k,
)

SLACK = 2e-6  # float32 probabilities sum to 1 within this


def normalised(weights):
    law = np.array(weights, np.float64)
    return (law / law.sum()).astype(np.float32)


laws = st.one_of(
    st.lists(st.integers(0, 5), min_size=2, max_size=40).filter(any).map(normalised),
    st.lists(st.floats(1e-6, 1), min_size=2, max_size=40).map(normalised),
    st.builds(
        lambda z, k: distribution(np.array(z, np.float32), Sampling(top_k=k)),
        st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=40),
        st.integers(0, 10),
    ),
)


def brute_force(law):
    """D(k) from the definition: rebuild x̂ for every k and compare."""
    x = law.astype(np.float64)
    return np.array(
        [np.abs(x - TruncatedLaw(*top_k(law, k), law.size).rebuilt()).sum() for k in range(1, law.size + 1)]
    )


def test_payload_bits_are_the_papers():
    assert payload_bits(32_000, 32_000) == 92_000 * 8
    assert payload_bits(30, 32_000) == 86.25 * 8
    assert payload_bits(1, 49_152) == 8 + 16
    assert payload_bits(1, 2**15) == 8 + 15
    assert payload_bits(1, 2**15 + 1, b_prob=4) == 4 + 16


@given(laws, st.data())
def test_top_k_is_sorted_by_probability_and_then_by_id(law, data):
    k = data.draw(st.integers(1, law.size))
    indices, kept = top_k(law, k)
    expected = sorted(range(law.size), key=lambda i: (-law[i], i))[:k]
    assert indices.tolist() == expected
    np.testing.assert_array_equal(kept, law[expected])


@pytest.mark.parametrize("k", [1, 7, 30, 500, 3000, 20_000, 49_152])
def test_top_k_of_a_large_vocabulary(k):
    rng = np.random.default_rng(k)
    law = distribution(rng.normal(0, 3.75, 49_152).astype(np.float32), Sampling())
    law[rng.integers(0, law.size, 5000)] = law[17]  # many ties
    indices, _ = top_k(law, k)
    np.testing.assert_array_equal(indices, np.argsort(-law, kind="stable")[:k])


@pytest.mark.parametrize("k", [0, 6, -1])
def test_a_k_outside_the_vocabulary_is_refused(k):
    with pytest.raises(ConfigurationError, match=f"k is {k}"):
        top_k(np.full(5, 0.2, np.float32), k)


@given(laws, st.data())
def test_the_rebuilt_law_keeps_what_was_sent_and_levels_the_rest(law, data):
    k = data.draw(st.integers(1, law.size))
    indices, kept = top_k(law, k)
    rebuilt = TruncatedLaw(indices, kept, law.size).rebuilt()
    assert rebuilt.dtype == np.float32
    np.testing.assert_array_equal(rebuilt[indices], kept)
    rest = np.delete(rebuilt, indices)
    assert rest.size == law.size - k
    assert np.ptp(rest) == 0 if rest.size else True
    assert rebuilt.sum(dtype=np.float64) == pytest.approx(1, abs=SLACK)


@settings(deadline=None)
@given(laws)
def test_distortions_agree_with_brute_force_and_never_rise(law):
    distortion = distortion_by_k(law)
    np.testing.assert_allclose(distortion, brute_force(law), atol=SLACK)
    assert (np.diff(distortion) <= 0).all()
    assert distortion[-1] == 0


@settings(max_examples=300)
@given(laws, st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 3))
def test_the_online_k_is_the_first_that_meets_the_budget(law, x_d, beta_hat, vartheta):
    budget = vartheta * denominator_online(x_d, beta_hat)
    distortion = brute_force(law)
    for k in (
        online_top(law, x_d, beta_hat, vartheta)[0].size,
        min(law.size, smallest_k(distortion_by_k(law), budget)),
    ):
        assert 1 <= k <= law.size
        assert distortion[k - 1] <= budget + SLACK
        assert k == 1 or distortion[k - 2] > budget - SLACK


@given(laws, st.data())
def test_one_token_of_a_truncated_law_has_the_bits_it_has_in_the_whole(law, data):
    k = data.draw(st.integers(1, law.size))
    truncated = TruncatedLaw(*top_k(law, k), law.size)
    assert [truncated.probability(token) for token in range(law.size)] == truncated.rebuilt().tolist()


@settings(max_examples=300)
@given(laws, st.floats(0, 1), st.floats(0, 1), st.floats(0, 3))
def test_one_selection_finds_the_entries_that_a_second_one_over_the_vocabulary_would(law, x_d, beta_hat, vartheta):
    indices, kept = online_top(law, x_d, beta_hat, vartheta)
    again, same = top_k(law, indices.size)
    assert indices.tolist() == again.tolist()
    np.testing.assert_array_equal(kept, same)


@pytest.mark.parametrize("spread", [0.5, 3.75, 8])
@pytest.mark.parametrize("vartheta", [0.0, 0.001, 0.1, 2.0])
def test_one_selection_is_enough_in_large_vocabularies_with_ties(spread, vartheta):
    law = distribution(np.random.default_rng(5).normal(0, spread, 49_152).astype(np.float32).round(1), Sampling())
    indices, kept = online_top(law, 0.2, 0.4, vartheta)
    again, same = top_k(law, indices.size)
    np.testing.assert_array_equal(indices, again)
    np.testing.assert_array_equal(kept, same)


@pytest.mark.parametrize("spread", [0, 0.5, 2, 3.75, 8, 50])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.5), Sampling(top_k=40), Sampling(top_p=0.9), Sampling(0)])
def test_both_ways_to_the_online_k_agree_on_large_vocabularies(spread, sampling):
    logits = np.random.default_rng(3).normal(0, spread, 49_152).astype(np.float32)
    law = distribution(logits, sampling)
    distortion = distortion_by_k(law)
    for x_d, beta_hat, vartheta in ((0.0, 1.0, 0.1), (0.9, 0.1, 0.1), (0.3, 0.5, 0.001), (0.3, 0.5, 1.9)):
        budget = vartheta * denominator_online(x_d, beta_hat)
        k = online_top(law, x_d, beta_hat, vartheta)[0].size
        assert distortion[k - 1] <= budget + SLACK
        assert k == 1 or distortion[k - 2] > budget - SLACK


@pytest.mark.parametrize("size", [2, 100, 49_152])
def test_uniform_and_one_hot_laws_need_one_entry(size):
    one_hot = np.zeros(size, np.float32)
    one_hot[size // 2] = 1
    for law in (np.full(size, 1 / size, np.float32), one_hot):
        assert online_top(law, float(law.max()), 0.5)[0].size == 1
        assert smallest_k(distortion_by_k(law), 1e-6) == 1


def test_smallest_k_takes_many_budgets_at_once():
    distortion = np.array([0.8, 0.5, 0.5, 0.1, 0.0])
    budgets = np.array([[1.0, 0.8, 0.6], [0.5, 0.2, 0.0]])
    assert smallest_k(distortion, budgets).tolist() == [[1, 1, 2], [2, 4, 5]]
    assert smallest_k(distortion, 0.1) == 4


def test_the_online_denominator_is_the_formula_and_does_not_overflow():
    def ell(s, eta):
        return math.log(1 + math.exp(eta * s)) / eta

    for x_d, beta_hat, eta in ((0.2, 0.3, 1), (0, 0, 1), (1, 1, 4)):
        expected = (1 - x_d) * ell(-1, eta) + x_d * ell(-beta_hat, eta)
        assert denominator_online(x_d, beta_hat, eta) == pytest.approx(expected)
        assert denominators_online(np.array([x_d]), np.array([beta_hat]), eta)[0] == pytest.approx(expected)
    assert denominator_online(0.5, 0.5, eta=1e6) == pytest.approx(0, abs=1e-9)


def test_the_mean_bound_is_the_mean_of_u_and_leaves_out_tokens_without_residual():
    rng = np.random.default_rng(0)
    pairs = [tuple(normalised(rng.random(12) ** 4) for _ in range(2)) for _ in range(5)]
    bound = MeanBound(12)
    for x, y in pairs:
        bound.add(x, y)
    bound.add(pairs[0][0], pairs[0][0])
    expected = np.mean([brute_force(x) / np.maximum(0, y.astype(float) - x).sum() for x, y in pairs], axis=0)
    np.testing.assert_allclose(bound.values, expected, atol=1e-5)
    assert (bound.used, bound.left_out) == (5, 1)
    for vartheta in (0.01, 0.1, 0.5, 10):
        assert offline_k(bound.values, vartheta) == 1 + int(np.argmax(bound.values <= vartheta))


def test_a_mean_over_no_tokens_is_refused():
    with pytest.raises(ConfigurationError, match="no calibration token"):
        _ = MeanBound(4).values


def test_residual_mass_is_the_total_variation():
    x, y = normalised([1, 2, 3, 4]), normalised([4, 3, 2, 1])
    assert residual_mass(x, y) == pytest.approx(0.5 * np.abs(x - y).sum())
