"""Keyed randomness: (seed, position, purpose) names a stream of numbers (design 2.6).

Every random number in the system is a function of its key, so a request sent twice gets the same verdict, a
replay is exact, and drafting ahead can be rolled back. The streams are the raw 64-bit words of numpy's
counter-based Philox4x64-10, which are the same on every machine and in every numpy version; numpy's
``Generator`` promises neither and is not used. Made of the raw words here, uniforms are the same everywhere too;
only the logarithm in `exponentials_of_words` may differ in its last bit between processors.
"""

import operator
from collections import abc
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ConfigurationError

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]

_PURPOSE_BITS = 8
_WORD = 2**64 - 1
_POSITION_LIMIT = 2 ** (64 - _PURPOSE_BITS)


class Purpose(IntEnum):
    """What a stream is for. Numbers are part of the key: never renumber or use again (4 was), only add."""

    DRAFT = 0  # drawing d from x
    REDRAFT = 1  # drawing d again, from x̂, once it is known that it will be sent
    ACCEPT = 2  # accepting or rejecting d
    RESIDUAL = 3  # drawing from the residual after a rejection
    GATE = 5  # the random gate
    UNCERTAINTY = 6  # temperatures and samples of the sampled disagreement
    FADING = 7  # the channel
    RACE = 8  # the exponential race shared by device and verifier: the highest 16 bits of each token's word
    CALIBRATION = 9  # choosing calibration tokens
    BOOTSTRAP = 10  # resampling for intervals
    RACE_REST = 11  # the other 48


def check_seed(seed: int) -> int:
    """Return `seed` as an int in [0, 2^64).

    Raises:
        ConfigurationError: it is not a whole number in that range.
    """
    try:
        value = operator.index(seed)
    except TypeError:
        raise ConfigurationError(f"the seed is {seed!r}; expected a whole number from 0 to 2^64 − 1") from None
    if not 0 <= value < 2**64:
        raise ConfigurationError(f"the seed is {seed}; expected a whole number from 0 to 2^64 − 1")
    return value


def raw_words(seed: int, position: int, purpose: Purpose, size: int) -> Words:
    """The first `size` words of the stream, shape (size,), uint64.

    Philox4x64-10 with the key (seed, 2^8·position + purpose); as in numpy, the first block has counter 1.

    Raises:
        ConfigurationError: seed or position is out of range.
    """
    return np.random.Philox(key=np.array(_key(seed, position, purpose), dtype=np.uint64)).random_raw(size)


def _key(seed: int, position: int, purpose: Purpose) -> tuple[int, int]:
    if not 0 <= position < _POSITION_LIMIT:
        raise ConfigurationError(f"the position is {position}; expected a whole number from 0 to 2^56 − 1")
    return check_seed(seed), position << _PURPOSE_BITS | purpose


def some_words(seed: int, position: int, purpose: Purpose, indices: abc.Sequence[int]) -> Words:
    """The words of the stream at `indices`, shape (n,), uint64; for few of them (a block of four costs 4 µs)."""
    key = _key(seed, position, purpose)
    return np.array([_block(*key, index // 4 + 1)[index % 4] for index in indices], dtype=np.uint64)


def _block(key_a: int, key_b: int, counter: int) -> tuple[int, int, int, int]:
    """Four words of Philox4x64-10, in plain integers (Salmon et al., SC11, fig. 2).

    Making a numpy generator for one word costs 14 µs, and 140 µs where a model's forward pass has just emptied the
    caches; this costs 4 and 13.
    """
    a, b, c, d = counter, 0, 0, 0
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (right >> 64) ^ b ^ key_a, right & _WORD, (left >> 64) ^ d ^ key_b, left & _WORD
        key_a, key_b = (key_a + 0x9E3779B97F4A7C15) & _WORD, (key_b + 0xBB67AE8584CAA73B) & _WORD
    return a, b, c, d


def _open_unit(words: Words) -> Floats:
    """Words as numbers in the open interval (0, 1); uses up `words`."""
    # 52 bits and a half: the 53-bit version would round its largest value to 1.
    words >>= np.uint64(12)
    numbers = words.astype(np.float64)
    numbers += 0.5
    numbers *= 2.0**-52
    return numbers


def uniforms(seed: int, position: int, purpose: Purpose, size: int = 1) -> Floats:
    """The first `size` numbers of the stream as uniforms in the open interval (0, 1), shape (size,), float64.

    Raises:
        ConfigurationError: seed or position is out of range.
    """
    return _open_unit(raw_words(seed, position, purpose, size))


def uniform(seed: int, position: int, purpose: Purpose) -> float:
    """The first number of the stream, in the open interval (0, 1).

    Raises:
        ConfigurationError: seed or position is out of range.
    """
    return ((_block(*_key(seed, position, purpose), 1)[0] >> 12) + 0.5) * 2.0**-52


def exponential(seed: int, position: int, purpose: Purpose) -> float:
    """The first number of the stream as one that is Exp(1), above 0.

    Raises:
        ConfigurationError: seed or position is out of range.
    """
    return float(exponentials_of_words(some_words(seed, position, purpose, [0]))[0])


def exponentials_of_words(words: Words) -> Floats:
    """The Exp(1) numbers that raw words stand for, float64, above 0: the larger the word, the smaller the number.

    Args:
        words: any shape, uint64; used up.
    """
    numbers = _open_unit(words)
    np.log(numbers, out=numbers)
    return np.negative(numbers, out=numbers)
