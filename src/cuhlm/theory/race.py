"""The keyed race: a draw that device and verifier can make alike without talking (design 2.6).

Token i of a law p runs with the time E_{t,i} / p_i, where E_{t,i} ~ Exp(1) is a function of (seed, t, i), and the
first to arrive is drawn. It is a sample of p, whatever p is; and two who race nearly equal laws with one seed nearly
always draw the same token.

The race is lazy. A word of 64 bits stands for each E, and comes in two parts. Its highest 16 bits, the token's *short*,
are made for the whole vocabulary, four with one word of the generator; they tell nearly always who cannot be among the
first two. The other 48 are made for the two or three who can. The outcome is that of `naive_race` to the bit.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cuhlm.messages import Array, Draft
from cuhlm.theory.randomness import Floats, Purpose, Words, exponentials_of_words, raw_words, some_words
from cuhlm.theory.verification import Law

Ids = npt.NDArray[np.intp]
Shorts = npt.NDArray[np.uint16]

_FEW = 64
"""Support whose shorts are made one by one: 2 to 4 µs each, where all of |V| = 49 152 cost 35 to 100."""

_LIKELY, _SPREAD = 2.0**-9, 16
"""Tokens above this probability, or above this part of the largest, run from the start; where that leaves one alone,
above this part of the second largest."""

_SLACK = 1 + 2.0**-40
"""Factor on a time that others are compared with: more than the rounding of an exponential and of its division."""


@dataclass(frozen=True, slots=True)
class Race:
    """How a race ended.

    Attributes:
        token: the winner.
        runner_up: who came second; None where only one token has any probability.
        gap: ln of the runner-up's time over the winner's, at least 0: how clear it was; infinite without runner-up.
    """

    token: int
    runner_up: int | None
    gap: float


def race(law: Law, seed: int, position: int) -> Race:
    """Run the race of `law` at `position`.

    Ties, which only float rounding can make, go to the lower id.

    Args:
        law: probabilities, shape (|V|,), float32, at least 0 and not all 0; need not sum to exactly 1.
        seed: of the session.
        position: t.

    Raises:
        ConfigurationError: seed or position is out of range.
    """
    possible = law > 0
    if np.count_nonzero(possible) <= _FEW:
        entrants = np.flatnonzero(possible)
        shorts = _some_shorts(seed, position, entrants)
    else:
        everyones = _shorts(seed, position, law.size)
        entrants = _entrants(law, possible, everyones)
        shorts = everyones[entrants]
    probs = law[entrants]
    runners = exponentials_from(shorts) / probs <= _second(exponentials_up_to(shorts) / probs)
    ids, rest = entrants[runners], some_words(seed, position, Purpose.RACE_REST, entrants[runners].tolist())
    return _ranked(ids, exponentials_of_words(_words(shorts[runners], rest)) / probs[runners])


def draw_keyed(law: Array, seed: int, position: int) -> Draft:
    """The winner of the race, with its law."""
    ended = race(law, seed, position)
    return Draft(ended.token, law, ended.gap)


def naive_race(law: Law, seed: int, position: int) -> Race:
    """`race`, by its definition: every token runs. For tests."""
    support = np.flatnonzero(law)
    return _ranked(support, exponentials(seed, position, law.size)[support] / law[support])


def exponentials(seed: int, position: int, size: int) -> Floats:
    """E_{t,i} of the ids below `size`, float64, above 0, shape (size,).

    Raises:
        ConfigurationError: seed or position is out of range.
    """
    rest = raw_words(seed, position, Purpose.RACE_REST, size)
    return exponentials_of_words(_words(_shorts(seed, position, size), rest))


def exponentials_from(shorts: Shorts) -> Floats:
    """At least how large the E of these shorts are, shape (n,); but for rounding."""
    return exponentials_of_words(_words(shorts, np.uint64(2**64 - 1)))


def exponentials_up_to(shorts: Shorts) -> Floats:
    """At most how large the E of these shorts are, shape (n,); but for rounding."""
    return exponentials_of_words(_words(shorts, np.uint64(0)))


def least_short(exponential: float) -> int:
    """A short, from 0 to 2^16 − 1, below which none is that of this E or of a smaller one."""
    return int(math.exp(-exponential * _SLACK) * 2.0**16)


def _shorts(seed: int, position: int, size: int) -> Shorts:
    """Those of the ids below `size`, shape (size,): four in a word, the lowest first."""
    words = raw_words(seed, position, Purpose.RACE, -(-size // 4))
    return words.astype("<u8", copy=False).view("<u2")[:size]


def _some_shorts(seed: int, position: int, ids: Ids) -> Shorts:
    words = some_words(seed, position, Purpose.RACE, (ids // 4).tolist())
    return (words >> (16 * (ids % 4)).astype(np.uint64)).astype(np.uint16)


def _words(shorts: Shorts, rest: Words | np.uint64) -> Words:
    """Shorts with the highest 48 bits of `rest` behind them."""
    return (shorts.astype(np.uint64) << np.uint64(48)) | (rest >> np.uint64(16))


def _entrants(law: Law, possible: npt.NDArray[np.bool_], shorts: Shorts) -> Ids:
    """Who could be among the first two of a wide law, ascending: the likely, and whoever has a large short."""
    likely, threshold = _likely(law)
    second = _second(exponentials_up_to(shorts[likely]) / law[likely])
    # A token of p ≤ threshold is among the first two only if E ≤ second · threshold.
    entrants = np.flatnonzero(likely | (shorts >= np.uint16(least_short(second * threshold))))
    return entrants[possible[entrants]]


def _likely(law: Law) -> tuple[npt.NDArray[np.bool_], float]:
    """Which tokens of `law` run from the start, at least two of them; and the probability that no other exceeds."""
    # Divided in the law's own precision: rounded afterwards, by the comparison, it could exceed what is returned.
    first = int(law.argmax())
    threshold = min(_LIKELY, float(law[first] / _SPREAD))
    likely = law > threshold
    if np.count_nonzero(likely) == 1:
        second = max(float(part.max()) for part in (law[:first], law[first + 1 :]) if part.size)
        threshold = float(np.float32(second) / _SPREAD)
        likely = law > threshold
    return likely, threshold


def _second(times: Floats) -> float:
    """The second smallest, or a little more; infinite where there is none."""
    return _SLACK * float(np.partition(times, 1)[1]) if times.size > 1 else math.inf


def _ranked(ids: Ids, times: Floats) -> Race:
    """The first two of `ids`, ascending, by time, then by id; uses up `times`."""
    first = int(times.argmin())
    fastest, times[first] = float(times[first]), math.inf
    if ids.size == 1:
        return Race(int(ids[first]), None, math.inf)
    second = int(times.argmin())
    return Race(int(ids[first]), int(ids[second]), math.log(float(times[second]) / fastest))
