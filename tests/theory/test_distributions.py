import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.errors import ModelError
from cuhlm.messages import Sampling
from cuhlm.theory.distributions import LogitRow, distribution, law_of, softmax

logit_rows = st.lists(st.floats(-60, 60, width=32), min_size=2, max_size=30).map(lambda z: np.array(z, np.float32))
samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0, 1e-6, 0.3, 1, 2.5, 100]),
    top_k=st.integers(0, 12),
    top_p=st.floats(0.05, 1),
    min_p=st.floats(0, 0.9),
)


def naive(logits, sampling):
    """Design 2.1 in float64, one step after the other; returns the kept ids and the probabilities."""
    if sampling.temperature == 0:
        return np.eye(logits.size)[int(np.argmax(logits))]
    z = (logits.astype(np.float64) - logits.max()) / sampling.temperature
    probs = np.exp(z) / np.exp(z).sum()
    order = sorted(range(logits.size), key=lambda i: (-probs[i], i))
    if sampling.top_k:
        order = order[: sampling.top_k]
    mass = np.cumsum(probs[order]) / probs[order].sum()
    order = order[: 1 + int(np.searchsorted(mass, sampling.top_p))]
    order = [i for i in order if probs[i] >= sampling.min_p * probs[order[0]]]
    law = np.zeros(logits.size)
    law[order] = probs[order] / probs[order].sum()
    return law


@given(logit_rows, samplings)
def test_probabilities_are_those_of_the_definition(logits, sampling):
    law = distribution(logits, sampling)
    assert law.dtype == np.float32
    assert law.min() >= 0
    assert abs(float(law.sum(dtype=np.float64)) - 1) < 1e-5
    expected = naive(logits, sampling)
    if np.array_equal(law > 0, expected > 1e-45):  # the filters' edges may fall otherwise in float32
        np.testing.assert_allclose(law, expected, rtol=1e-4, atol=1e-7)
    else:
        edge = np.minimum(law, expected)[(law > 0) != (expected > 0)]
        assert edge.sum() < 1e-6


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(), [0, 1, 2, 3, 4]),
        (Sampling(top_k=2), [1, 2]),
        (Sampling(top_k=3), [0, 1, 2]),  # 0 and 4 are equal: the lower id stays
        (Sampling(top_p=0.39), [1]),
        (Sampling(top_p=0.41), [1, 2]),
        (Sampling(top_p=0.9), [0, 1, 2, 4]),
        (Sampling(min_p=0.5), [1, 2]),
        (Sampling(top_k=2, top_p=0.55), [1]),  # top-p counts what top-k left
        (Sampling(temperature=0), [1]),
        (Sampling(temperature=1e-9), [1]),
        (Sampling(temperature=2, top_p=0.39), [1, 2]),  # tempered first
    ],
)
def test_each_filter_keeps_what_its_definition_says(sampling, kept):
    logits = np.log(np.array([0.125, 0.4, 0.3, 0.05, 0.125], np.float32))
    assert np.flatnonzero(distribution(logits, sampling)).tolist() == kept


def test_temperature_zero_is_one_hot_at_the_first_argmax():
    assert distribution(np.array([1, 3, 3, 2], np.float32), Sampling(temperature=0)).tolist() == [0, 1, 0, 0]


def test_batches_hold_the_same_rows_as_single_calls():
    logits = np.random.default_rng(1).normal(0, 3, (2, 3, 500)).astype(np.float32)
    for sampling in (Sampling(), Sampling(temperature=0), Sampling(0.7, 40, 0.9, 0.01)):
        batch = distribution(logits, sampling)
        for index in np.ndindex(2, 3):
            np.testing.assert_array_equal(batch[index], distribution(logits[index], sampling))


@given(logit_rows, samplings)
def test_a_row_has_the_law_of_its_logits_to_the_bit(logits, sampling):
    row = LogitRow.of(logits)
    assert law_of(row, sampling).tobytes() == distribution(logits, sampling).tobytes()
    assert row.gap(0) == float(logits.max()) - float(logits[0])


def test_logits_are_left_as_they_are():
    logits = np.arange(50, dtype=np.float32)
    for sampling in (Sampling(), Sampling(temperature=0), Sampling(2, 5, 0.9, 0.1)):
        distribution(logits, sampling)
    assert logits.tolist() == list(range(50))


def test_top_p_reaches_beyond_the_entries_it_sorts_first():
    logits = np.zeros(5000, np.float32)
    assert np.count_nonzero(distribution(logits, Sampling(top_p=0.5))) == pytest.approx(2500, abs=1)
    assert np.count_nonzero(distribution(logits, Sampling(top_p=0.999999))) >= 4999


def test_excluded_tokens_have_probability_zero():
    law = softmax(np.array([0, -np.inf, 0], np.float32), 0.5)
    assert law.tolist() == [0.5, 0, 0.5]


def test_large_vocabularies_sum_to_one():
    logits = np.random.default_rng(0).normal(0, 3.75, 151_936).astype(np.float32)
    assert math.isclose(float(softmax(logits).sum(dtype=np.float64)), 1, abs_tol=1e-6)


@pytest.mark.parametrize("temperature", [0, 0.7, 1])
@pytest.mark.parametrize("broken", [[0, np.nan, 1], [0, np.inf, 1], [-np.inf] * 3])
def test_logits_that_make_no_distribution_are_refused(broken, temperature):
    with pytest.raises(ModelError, match="make no distribution"):
        distribution(np.array([[0, 1, 2], broken], np.float32), Sampling(temperature=temperature))
    with pytest.raises(ModelError, match="make no distribution"):
        LogitRow.of(np.array(broken, np.float32))
