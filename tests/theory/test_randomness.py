import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.errors import ConfigurationError
from cuhlm.theory.randomness import Purpose, _open_unit, exponentials, raw_words, some_words, uniform, uniforms

seeds = st.integers(0, 2**64 - 1)
positions = st.integers(0, 2**56 - 1)


def philox4x64(counter, key, rounds=10):
    """Salmon et al. 2011, from the paper: the reference that numpy's is held against."""
    mask = 2**64 - 1
    c, k = list(counter), list(key)
    for _ in range(rounds):
        a, b = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(b >> 64) ^ c[1] ^ k[0], b & mask, (a >> 64) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
    return c


@given(seeds, positions, st.sampled_from(list(Purpose)))
def test_words_are_philox_of_the_key_in_counter_order(seed, position, purpose):
    key = (seed, position << 8 | purpose)
    expected = philox4x64((1, 0, 0, 0), key) + philox4x64((2, 0, 0, 0), key)
    assert raw_words(seed, position, purpose, 8).tolist() == expected


@given(seeds, positions, st.sampled_from(list(Purpose)))
def test_a_single_uniform_is_the_streams_first(seed, position, purpose):
    assert uniform(seed, position, purpose) == uniforms(seed, position, purpose)[0]


@given(seeds, positions, st.sampled_from(list(Purpose)), st.lists(st.integers(0, 3000), max_size=12))
def test_some_words_are_those_of_the_stream_at_these_indices(seed, position, purpose, indices):
    words = some_words(seed, position, purpose, indices)
    np.testing.assert_array_equal(words, raw_words(seed, position, purpose, 3001)[indices], strict=True)


def test_known_answers():
    assert [int(purpose) for purpose in Purpose] == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert raw_words(1, 2, Purpose.ACCEPT, 4).tolist() == [
        11749746819115395754,
        6135242700903393253,
        7259155702073704715,
        10043264124170618689,
    ]
    assert uniform(1, 2, Purpose.ACCEPT).hex() == "0x1.461ef8f5544c5p-1"
    np.testing.assert_allclose(
        exponentials(7, 3, np.array([0, 5, 49151])),
        [0.6375460457387191, 0.9440972012064511, 1.104083728914006],
        rtol=1e-15,
    )


@given(seeds, positions, st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_a_tokens_exponential_does_not_depend_on_which_others_are_asked(seed, position, ids):
    everything = exponentials(seed, position, 301)
    np.testing.assert_array_equal(exponentials(seed, position, np.array(ids)), everything[ids])
    assert (everything > 0).all()


def test_no_ids_have_no_exponentials():
    assert exponentials(1, 1, np.array([], dtype=np.int64)).size == 0


def test_streams_of_different_keys_differ():
    streams = [
        tuple(raw_words(seed, position, purpose, 2).tolist())
        for seed in (0, 1, 2**64 - 1)
        for position in (0, 1, 2**56 - 1)
        for purpose in Purpose
    ]
    assert len(set(streams)) == len(streams)


def test_uniforms_stay_inside_the_open_interval_at_both_ends():
    ends = _open_unit(np.array([0, 2**64 - 1], dtype=np.uint64))
    assert 0 < ends[0] < 1e-15
    assert 1 - 1e-15 < ends[1] < 1


def test_uniforms_are_uniform_and_exponentials_are_exponential():
    # Null hypothesis: the law claimed. n = 200000, Kolmogorov's statistic at a false-alarm rate of 1e-4 is 2.23/√n;
    # it sees any difference of the distribution functions above 0.01. The wrong rule, numbers squared, is rejected.
    numbers = np.sort(uniforms(5, 0, Purpose.DRAFT, 200_000))
    limit = 2.23 / np.sqrt(numbers.size)
    steps = (np.arange(numbers.size) + 0.5) / numbers.size
    assert np.abs(numbers - steps).max() < limit
    assert np.abs(numbers**2 - steps).max() > limit
    waits = np.sort(exponentials(5, 0, 200_000))
    assert np.abs(1 - np.exp(-waits) - steps).max() < limit


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "1", None])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ConfigurationError, match="the seed is"):
        uniform(seed, 0, Purpose.DRAFT)


@pytest.mark.parametrize("position", [-1, 2**56])
def test_a_position_out_of_range_is_refused(position):
    with pytest.raises(ConfigurationError, match="the position is"):
        uniform(0, position, Purpose.DRAFT)
