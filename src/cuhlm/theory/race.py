"""The keyed race: a draw that device and verifier can make alike without talking (design 2.6).

Token i of a law p runs with the time E_{t,i} / p_i, where E_{t,i} ~ Exp(1) is a function of (seed, t, i), and the
first to arrive is drawn. It is a sample of p, whatever p is; and two who race nearly equal laws with one seed nearly
always draw the same token.

The race is lazy. Only likely tokens run exactly; whether another could be among the first two is told by its raw word
alone, an integer comparison, and few can. The outcome is that of `naive_race` to the bit.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cuhlm.messages import Array, Draft
from cuhlm.theory.randomness import Purpose, exponentials, exponentials_of_words, raw_words, some_words
from cuhlm.theory.verification import Law

Ids = npt.NDArray[np.intp]

_FEW = 64
"""Support that is raced word by word: 4 µs each, where all raw words of |V| = 49 152 cost 415."""

_LIKELY, _SPREAD = 2.0**-9, 16
"""Tokens above this probability, and above this part of the largest, run exactly from the start."""

_SLACK = 1 << 13
"""Added to the bound on raw words: more than the rounding of an exponential, its logarithm and the bound itself."""


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
        support = np.flatnonzero(possible)
        exponential = exponentials_of_words(some_words(seed, position, Purpose.RACE, support.tolist()))
        return _ranked(support, exponential / law[support])
    words = raw_words(seed, position, Purpose.RACE, law.size)
    # Divided in the law's own precision: rounded afterwards, by the comparison, it could exceed the bound's threshold.
    threshold = min(_LIKELY, float(law.max() / _SPREAD))
    likely = law > threshold
    times = exponentials_of_words(words[likely]) / law[likely]
    second = float(np.partition(times, 1)[1]) if times.size > 1 else math.inf
    # A token of p ≤ threshold is among the first two only if E ≤ second · threshold, that is, if its word is large.
    bound = max(0, int(math.exp(-second * threshold) * 2.0**64) - _SLACK)
    runners = np.flatnonzero(likely | (words >= np.uint64(bound)))
    runners = runners[possible[runners]]
    return _ranked(runners, exponentials_of_words(words[runners]) / law[runners])


def draw_keyed(law: Array, seed: int, position: int) -> Draft:
    """The winner of the race, with its law."""
    return Draft(race(law, seed, position).token, law)


def naive_race(law: Law, seed: int, position: int) -> Race:
    """`race`, by its definition: every token runs. For tests."""
    support = np.flatnonzero(law)
    return _ranked(support, exponentials(seed, position, law.size)[support] / law[support])


def _ranked(ids: Ids, times: npt.NDArray[np.float64]) -> Race:
    """The first two of `ids`, ascending, by time, then by id; uses up `times`."""
    first = int(times.argmin())
    fastest, times[first] = float(times[first]), math.inf
    if ids.size == 1:
        return Race(int(ids[first]), None, math.inf)
    second = int(times.argmin())
    return Race(int(ids[first]), int(ids[second]), math.log(float(times[second]) / fastest))
