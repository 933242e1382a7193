"""The certificate is false no more often than it says, whatever the risk does, and a wrong one is false too often."""

import math
from collections import deque
from collections.abc import Callable

import numpy as np
import pytest

from cuhlm.errors import ConfigurationError
from cuhlm.theory.certificate import Certificate, share_of_delta

RUNS, TOKENS, DELTA = 1000, 1500, 0.05
# The null hypothesis: at some time of a run the bound lies below the mean chance with a probability of δ. Among 1000
# runs more than 85 false ones then have a probability below 1e-6 (binomial): with twice δ there would be 100.
MOST_FALSE = 85

Chance = Callable[[int, int], float]
"""p_t from the number of the token and how many were wrong so far: known when the token is decided."""


def steady(_number: int, _wrong: int) -> float:
    return 0.03


def drifting(number: int, _wrong: int) -> float:
    return 0.005 + 0.1 * number / TOKENS


def bursting(number: int, _wrong: int) -> float:
    return 0.3 if number % 200 < 10 else 0.002


def adversarial(number: int, wrong: int) -> float:
    """Lucky so far? Then risk more."""
    return 0.12 if wrong < 0.02 * number else 0.005


class Optimistic(Certificate):
    """A wrong certificate: it takes the labels for the chances, with the interval of a mean at one time."""

    @property
    def bound(self) -> float:
        if self.counted < 30:
            return 1.0
        mean = self._wrong / self.counted
        return mean + 1.645 * math.sqrt(mean * (1 - mean) / self.counted)


class Hindsight(Certificate):
    """A wrong certificate: its guesses are made when the labels are known."""

    def label(self, number: int, wrong: bool) -> None:
        self._waiting[number - self._first].guess = float(wrong)
        super().label(number, wrong)

    @property
    def bound(self) -> float:
        return min(1.0, (self._wrong + 1e-9) / self.counted) if self.counted >= 50 else 1.0


def false_runs(kind: type[Certificate], chance: Chance, *, runs: int, seed: int) -> int:
    """Runs in which the bound was below the running mean of the chances at some time; labels come up to 64 late."""
    rng = np.random.default_rng(seed)
    false = 0
    for _ in range(runs):
        certificate = kind(DELTA)
        late: deque[tuple[int, bool]] = deque()
        sums, wrong, is_false = [0.0], 0, False
        draws, delays = rng.random(TOKENS), rng.integers(1, 65, TOKENS)
        for number in range(TOKENS):
            p = chance(number, wrong)
            is_wrong = bool(draws[number] < p)
            wrong += is_wrong
            sums.append(sums[-1] + p)
            late.append((certificate.decide(min(1.0, p + 0.01)), is_wrong))
            if len(late) >= delays[number]:
                while late:
                    certificate.label(*late.pop())  # in the reverse order
                counted = certificate.counted
                is_false |= certificate.bound < sums[counted] / counted - 1e-12
        false += is_false
    return false


@pytest.mark.parametrize("chance", [steady, drifting, bursting, adversarial])
def test_a_certificate_is_false_in_no_more_runs_than_it_says(chance: Chance) -> None:
    assert false_runs(Certificate, chance, runs=RUNS, seed=7) <= MOST_FALSE


@pytest.mark.parametrize("wrong", [Optimistic, Hindsight])
def test_a_wrong_certificate_is_false_too_often(wrong: type[Certificate]) -> None:
    assert false_runs(wrong, adversarial, runs=100, seed=7) > 17  # at δ: with a probability below 1e-5


def test_it_counts_in_the_order_of_decisions() -> None:
    certificate = Certificate(DELTA)
    first, second, third = (certificate.decide(0.1) for _ in range(3))
    certificate.label(third, True)
    certificate.label(second, False)
    assert certificate.counted == 0
    certificate.label(first, False)
    assert certificate.counted == 3


def test_it_comes_near_the_risk_when_there_is_much_to_go_by() -> None:
    certificate = Certificate(DELTA)
    rng = np.random.default_rng(1)
    bounds = {}
    for number in range(20_000):
        certificate.label(certificate.decide(0.02), bool(rng.random() < 0.02))
        bounds[number + 1] = certificate.bound
    assert bounds[10] == 1.0
    assert bounds[1000] < 0.05
    assert 0.02 < bounds[20_000] < 0.025


def test_the_shares_of_all_epochs_and_thresholds_add_up_to_delta() -> None:
    shares = [share_of_delta(0.05, epoch, 4) * 4 for epoch in range(1, 2000)]
    assert sum(shares) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0, math.nan])
def test_a_probability_that_is_none_is_refused(delta: float) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a number in \(0, 1\)"):
        Certificate(delta)
