import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.errors import ConfigurationError
from cuhlm.theory.randomness import Purpose, _open_unit, exponential, raw_words, some_words, uniform, uniforms

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
    assert [int(purpose) for purpose in Purpose] == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert raw_words(1, 2, Purpose.ACCEPT, 4).tolist() == [
        11749746819115395754,
        6135242700903393253,
        7259155702073704715,
        10043264124170618689,
    ]
    assert uniform(1, 2, Purpose.ACCEPT).hex() == "0x1.461ef8f5544c5p-1"
    assert exponential(1, 2, Purpose.FADING) == pytest.approx(0.157033048223902, rel=1e-15)


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


def test_uniforms_are_uniform():
    # Null hypothesis: the law claimed. n = 200000, Kolmogorov's statistic at a false-alarm rate of 1e-4 is 2.23/√n;
    # it sees any difference of the distribution functions above 0.01. The wrong rule, numbers squared, is rejected.
    numbers = np.sort(uniforms(5, 0, Purpose.DRAFT, 200_000))
    limit = 2.23 / np.sqrt(numbers.size)
    steps = (np.arange(numbers.size) + 0.5) / numbers.size
    assert np.abs(numbers - steps).max() < limit
    assert np.abs(numbers**2 - steps).max() > limit


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "1", None])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ConfigurationError, match="the seed is"):
        uniform(seed, 0, Purpose.DRAFT)


@pytest.mark.parametrize("position", [-1, 2**56])
def test_a_position_out_of_range_is_refused(position):
    with pytest.raises(ConfigurationError, match="the position is"):
        uniform(0, position, Purpose.DRAFT)
