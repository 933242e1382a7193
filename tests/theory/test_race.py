"""The lazy race is the naive one to the bit, and what wins it has the law that was raced (design 2.6).

Each law test's null hypothesis: winners at different positions are independent draws from the law. n = 20000,
false-alarm rate 1e-4; what total variation the check sees is computed by `check_law` and asserted. Seeds are fixed.
They go thousands of times through the same lines, so coverage is not measured there.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cuhlm.errors import ConfigurationError
from cuhlm.messages import Array, Sampling
from cuhlm.testing.law_checks import LawCheck, check_joint_law, check_law
from cuhlm.theory.distributions import distribution, softmax
from cuhlm.theory.quality import total_variation
from cuhlm.theory.race import (
    Race,
    draw_keyed,
    exponentials,
    exponentials_from,
    exponentials_up_to,
    least_short,
    naive_race,
    race,
)
from cuhlm.theory.randomness import Purpose, exponentials_of_words, raw_words

N = 20_000
FALSE_ALARM = 1e-4
TINY = np.float32(2.0**-149)
X = np.array([0.5, 0.2, 0.15, 0.1, 0.03, 0.02, 0.0], np.float32)
Y = np.array([0.2, 0.35, 0.05, 0.2, 0.0, 0.1, 0.1], np.float32)
WIDE = softmax(np.random.default_rng(0).normal(0, 1.5, 200).astype(np.float32))
"""So many that few of them run exactly."""

Generator = np.random.Generator
Rule = Callable[[Array, int], int]
"""The token of a law at a position."""


def normalised(weights: npt.NDArray[np.floating]) -> Array:
    return np.asarray(weights / weights.sum(), np.float32)


def few(size: int, support: int, rng: Generator) -> Array:
    law = np.zeros(size, np.float32)
    law[rng.permutation(size)[:support]] = rng.random(min(support, size), np.float32) + np.float32(1e-3)
    return normalised(law)


KINDS: dict[str, Callable[[int, Generator], Array]] = {
    "random": lambda size, rng: normalised(rng.random(size) + 1e-9),
    "exponential": lambda size, rng: normalised(rng.exponential(size=size) + 1e-30),
    "softmax": lambda size, rng: softmax(rng.normal(0, 3, size).astype(np.float32)),
    "peaked": lambda size, rng: softmax(rng.normal(0, 12, size).astype(np.float32)),
    "one nearly certain": lambda size, rng: normalised(np.where(np.arange(size) == rng.integers(size), 1, 1e-12)),
    "one far ahead": lambda size, rng: softmax(rng.normal(0, 2, size).astype(np.float32) + 40 * (np.arange(size) == 7)),
    "flat": lambda size, _: np.full(size, 1 / size, np.float32),
    "nearly flat": lambda size, rng: normalised(1 + 1e-6 * rng.random(size)),
    "tied": lambda size, rng: normalised(2.0 ** -rng.integers(0, 4, size)),
    "tied at the thresholds": lambda size, rng: (
        rng.choice(np.array([2**-5, 2**-9, 2**-13, 0], np.float32), size) + TINY
    ),
    "few": lambda size, rng: few(size, int(rng.integers(1, 12)), rng),
    "63 possible": lambda size, rng: few(size, 63, rng),
    "64 possible": lambda size, rng: few(size, 64, rng),
    "65 possible": lambda size, rng: few(size, 65, rng),
    "top-p": lambda size, rng: distribution(rng.normal(0, 3, size).astype(np.float32), Sampling(top_p=0.95)),
    "min-p": lambda size, rng: distribution(rng.normal(0, 3, size).astype(np.float32), Sampling(min_p=0.02)),
    "one-hot": lambda size, rng: distribution(rng.normal(0, 3, size).astype(np.float32), Sampling(0.0)),
    "some denormal": lambda size, rng: softmax(rng.normal(0, 40, size).astype(np.float32)),
    "all denormal": lambda size, rng: TINY * rng.integers(0, 40, size).astype(np.float32) + TINY,
    "unnormalised": lambda size, rng: (100 * rng.random(size) ** 8 + 1e-6).astype(np.float32),
}

seeds = st.integers(0, 2**64 - 1)
positions = st.integers(0, 2**56 - 1)


@st.composite
def laws(draw: st.DrawFn) -> Array:
    size = draw(st.one_of(st.integers(1, 80), st.integers(1, 3000)))
    return KINDS[draw(st.sampled_from(list(KINDS)))](size, np.random.default_rng(draw(st.integers(0, 2**32))))


# What once differed: of a law in which all is denormal, float32 rounded what the likely are told by.
ROUNDED = np.where(np.arange(68) < 60, 24 * TINY, 2 * TINY)


@given(laws(), seeds, positions)
@example(ROUNDED, 167, 0)
@example(ROUNDED, 343, 0)
def test_the_lazy_race_ends_as_the_naive_one_to_the_bit(law: Array, seed: int, position: int) -> None:
    assert law.dtype == np.float32
    assert race(law, seed, position) == naive_race(law, seed, position)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_law_ends_as_by_the_naive_race(kind: str) -> None:
    rng = np.random.default_rng(1)
    for position in range(40):
        law = KINDS[kind](int(rng.integers(100, 3000)), rng)
        assert race(law, 1, position) == naive_race(law, 1, position)


@pytest.mark.parametrize("size", [49_152, 151_936])
def test_a_whole_vocabulary_ends_as_by_the_naive_race(size: int) -> None:
    rng = np.random.default_rng(size)
    for position, kind in enumerate(("random", "softmax", "peaked", "flat", "tied", "65 possible", "top-p", "one-hot")):
        law = KINDS[kind](size, rng)
        assert race(law, size, position) == naive_race(law, size, position)
    for position, spread in enumerate((1, 2, 4, 8)):
        law = softmax(rng.normal(0, spread, size).astype(np.float32))
        assert race(law, size, position) == naive_race(law, size, position)


@given(st.floats(2.0**-12, 9.0))
def test_the_least_short_is_the_least_that_an_exponential_may_have(exponential: float) -> None:
    short = least_short(exponential)
    below, same, above = exponentials_from(np.array([short - 1, short, short + 1], np.uint16))
    assert below > exponential >= same * (1 - 1e-9)
    assert exponential > above


@given(seeds, positions, st.lists(st.integers(0, 2**16 - 1), min_size=1))
def test_an_exponential_lies_between_those_of_its_short(seed: int, position: int, shorts: list[int]) -> None:
    of = np.array(shorts, np.uint16)
    least, most = exponentials_from(of), exponentials_up_to(of)
    assert (least > 0).all()
    assert (least < most).all()
    rest = raw_words(seed, position, Purpose.RACE_REST, of.size) >> np.uint64(16)
    these = exponentials_of_words((of.astype(np.uint64) << np.uint64(48)) | rest)
    assert (least <= these).all()
    assert (these <= most).all()


def test_the_noise_of_a_key_is_known() -> None:
    np.testing.assert_allclose(
        exponentials(7, 3, 49_152)[[0, 5, 49_151]],
        [2.0591546145066144, 0.2688561213031766, 0.16829229335672277],
        rtol=1e-15,
    )


@given(seeds, positions, st.integers(1, 300))
def test_a_tokens_noise_does_not_depend_on_how_many_there_are(seed: int, position: int, size: int) -> None:
    np.testing.assert_array_equal(exponentials(seed, position, size), exponentials(seed, position, 301)[:size])


def test_the_noise_is_exponential_and_its_shorts_are_independent() -> None:
    # Null hypothesis: Exp(1), and no correlation of a token's with one up to 16 ids further. n = 200000; Kolmogorov's
    # statistic at a false-alarm rate of 1e-4 is 2.23/√n, and sees differences above 0.01; so do correlations, of
    # numbers made uniform, above 4.5/√n in 16 trials. The wrong rules, squared and summed in pairs, are rejected.
    waits = exponentials(5, 0, 200_000)
    steps = (np.arange(waits.size) + 0.5) / waits.size
    limit = 2.23 / math.sqrt(waits.size)
    assert np.abs(1 - np.exp(-np.sort(waits)) - steps).max() < limit
    assert np.abs(1 - np.exp(-(np.sort(waits) ** 2)) - steps).max() > limit
    even = np.exp(-waits) - 0.5
    assert all(abs(correlation(even, shift)) < 4.5 / math.sqrt(waits.size) for shift in range(1, 17))
    assert correlation(even[1:] + even[:-1], 1) > 4.5 / math.sqrt(waits.size)


def correlation(numbers: npt.NDArray[np.float64], shift: int) -> float:
    return float(np.corrcoef(numbers[shift:], numbers[:-shift])[0, 1])


@given(laws(), seeds, positions)
def test_the_runner_up_wins_where_the_winner_does_not_run(law: Array, seed: int, position: int) -> None:
    ended = race(law, seed, position)
    assume(ended.runner_up is not None)
    without = law.copy()
    without[ended.token] = 0
    assert race(without, seed, position).token == ended.runner_up


@given(laws(), seeds, positions)
def test_no_gap_is_below_0_and_no_impossible_token_runs(law: Array, seed: int, position: int) -> None:
    ended = race(law, seed, position)
    assert ended.gap >= 0
    assert law[ended.token] > 0
    assert (ended.runner_up is None) == (np.count_nonzero(law) == 1) == (ended.gap == math.inf)
    if ended.runner_up is not None:
        assert law[ended.runner_up] > 0
        assert ended.runner_up != ended.token


@given(seeds, positions, st.integers(1, 3000), st.integers(0, 2999))
def test_a_token_alone_wins_without_a_runner_up(seed: int, position: int, size: int, token: int) -> None:
    law = np.zeros(size, np.float32)
    law[token % size] = 1
    assert race(law, seed, position) == Race(token % size, None, math.inf)


@given(laws(), seeds, positions, st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_a_race_does_not_depend_on_the_sum_of_the_law(law: Array, seed: int, position: int, factor: float) -> None:
    assume(law[law > 0].min() > 1e-30)  # halving a denormal rounds it
    scaled = race(law * np.float32(factor), seed, position)
    ended = race(law, seed, position)
    assert (scaled.token, scaled.runner_up) == (ended.token, ended.runner_up)


@given(laws(), seeds, positions)
def test_the_law_is_left_as_it_was(law: Array, seed: int, position: int) -> None:
    before = law.copy()
    draft = draw_keyed(law, seed, position)
    assert draft.law is law
    assert draft.token == race(law, seed, position).token
    np.testing.assert_array_equal(law, before)


@pytest.mark.parametrize("law", [X, WIDE], ids=["few", "many"])
@pytest.mark.parametrize(("seed", "position"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**56)])
def test_a_key_out_of_range_is_refused(law: Array, seed: int, position: int) -> None:
    with pytest.raises(ConfigurationError, match=r"the (seed|position) is"):
        race(law, seed, position)


def winners(law: Array, seed: int, rule: Rule | None = None) -> npt.NDArray[np.intp]:
    """Tokens of `law` at n positions, by `rule` or the race."""
    rule = rule or (lambda law, position: race(law, seed, position).token)
    return np.array([rule(law, position) for position in range(N)], np.intp)


@pytest.mark.no_cover
@pytest.mark.parametrize(("law", "seed", "smallest_tv"), [(Y, 1, 0.03), (WIDE, 2, 0.19)], ids=["few", "many"])
def test_winners_have_the_law_that_was_raced(law: Array, seed: int, smallest_tv: float) -> None:
    check = check_law(winners(law, seed), law, false_alarm=FALSE_ALARM)
    assert check.passed, check
    assert check.smallest_detectable_tv < smallest_tv


@pytest.mark.no_cover
def test_a_race_of_another_law_is_caught() -> None:
    assert total_variation(X, Y) > 0.03
    assert not check_law(winners(X, 1), Y, false_alarm=FALSE_ALARM).passed
    close = normalised(WIDE.astype(np.float64) ** 0.8)
    assert not check_law(winners(close, 2), WIDE, false_alarm=FALSE_ALARM).passed


@pytest.mark.no_cover
def test_times_multiplied_by_the_probability_are_caught() -> None:
    def wrong(law: Array, position: int) -> int:
        times = exponentials(3, position, law.size) * law
        return int(np.where(law > 0, times, math.inf).argmin())

    assert not check_law(winners(Y, 3, wrong), Y, false_alarm=FALSE_ALARM).passed


@pytest.mark.no_cover
def test_positions_that_share_their_noise_are_caught() -> None:
    def wrong(law: Array, position: int) -> int:
        return race(law, 4, position // 50).token

    assert not check_law(winners(Y, 4, wrong), Y, false_alarm=FALSE_ALARM).passed


def first_two(law: Array, seed: int) -> npt.NDArray[np.intp]:
    return np.array([(ended.token, ended.runner_up) for ended in (race(law, seed, t) for t in range(N))], np.intp)


def check_order(pairs: npt.NDArray[np.intp], law: Array) -> LawCheck:
    """That the first has `law`, and the second what is left of it without the first."""
    return check_joint_law(pairs, law, law * (1 - np.eye(law.size)), false_alarm=FALSE_ALARM)


@pytest.mark.no_cover
def test_the_runner_up_has_the_law_that_the_winner_leaves() -> None:
    # n = 20000 pairs, false-alarm rate 1e-4; a wrong rule, the runner-up of an unrelated race, is rejected.
    pairs = first_two(Y, 5)
    check = check_order(pairs, Y)
    assert check.passed, check
    assert check.smallest_detectable_tv < 0.05
    unrelated = np.column_stack((pairs[:, 0], first_two(Y, 6)[:, 1]))
    assert not check_order(unrelated[unrelated[:, 0] != unrelated[:, 1]], Y).passed


@pytest.mark.no_cover
def test_two_laws_raced_with_one_seed_agree_as_often_as_promised() -> None:
    # Null hypothesis: the chance to agree is Σ_i 1 / Σ_j max(x_j/x_i, y_j/y_i), the exact one of two such races. n =
    # 20000; by Hoeffding, a true one is off by `error` with a chance of at most 1e-4, and one that is off by 2 · error
    # is missed with as much. The wrong rule, noise of another position for the second law, is rejected.
    error = math.sqrt(math.log(2 / FALSE_ALARM) / (2 * N))
    assert error < 0.016
    for x, y in ((X, Y), (WIDE, normalised(WIDE.astype(np.float64) ** 1.3))):
        tv = float(total_variation(x, y))
        promised, independent = (1 - tv) / (1 + tv), float(x @ y)
        mine, theirs = winners(x, 7), winners(y, 7)
        agreement = float((mine == theirs).mean())
        assert abs(agreement - coupled(x, y)) < error
        assert agreement > promised - error
        assert agreement > independent + 2 * error
        assert float((mine == np.roll(theirs, 1)).mean()) < promised - 2 * error


def coupled(x: Array, y: Array) -> float:
    """The chance that one race of two laws has one winner."""
    both = np.flatnonzero((x > 0) & (y > 0))
    x64, y64 = x.astype(np.float64), y.astype(np.float64)
    return float(sum(1 / np.maximum(x64 / x64[i], y64 / y64[i]).sum() for i in both))
