"""Both error rates of the law checks themselves, and what an earlier kind of check did not see."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cuhlm.testing.law_checks import LawCheck, check_joint_law, check_law
from cuhlm.theory.quality import total_variation
from cuhlm.theory.randomness import Purpose, raw_words, uniforms


def samples_of(law: np.ndarray, n: int, position: int) -> np.ndarray:
    sums = np.cumsum(law)
    return np.searchsorted(sums, sums[-1] * uniforms(11, position, Purpose.DRAFT, n)).astype(np.intp)


def shuffled(law: np.ndarray) -> np.ndarray:
    """The same probabilities on other ids, so that the order of ids says nothing of the law."""
    return law[np.argsort(raw_words(12, 0, Purpose.DRAFT, law.size))]


def normalised(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum()


def levelled(law: np.ndarray, k: int) -> np.ndarray:
    """What truncation to k entries rebuilds."""
    out = law.copy()
    rest = np.argsort(-law)[k:]
    out[rest] = law[rest].mean()
    return out


LAW = np.array([0.4, 0.3, 0.2, 0.07, 0.03])
PEAKED = np.concatenate([[0.9], np.full(1000, 1e-4)])
SHORT_ZIPF = shuffled(normalised(1 / np.arange(1, 301)))
ZIPF = shuffled(normalised(1 / np.arange(1, 3001)))
# As a real model's at T = 1: a quarter of the mass falls off fast, the rest by a power law over 49152 ids.
MODEL_LIKE = shuffled(normalised(1 / (3 + np.arange(49_152)) ** 1.7))


@pytest.mark.parametrize(
    ("law", "n"),
    [(LAW, 2000), (np.full(12, 1 / 12), 300), (np.array([0.99, 0.01]), 2345), (PEAKED, 3000), (SHORT_ZIPF, 1000)],
    ids=["five tokens", "uniform", "two cells", "peaked", "zipf"],
)
def test_a_true_law_fails_no_more_often_than_stated(law, n):
    # Null hypothesis: at most 1 check of 100 fails. 1000 checks; 25 failures or more have a chance below 1e-4, and
    # come with a chance of 99 % where the rate is 0.04.
    assert stats.binom.sf(24, 1000, 0.01) < 1e-4
    assert stats.binom.sf(24, 1000, 0.04) > 0.99
    assert sum(not check_law(samples_of(law, n, t), law, false_alarm=0.01).passed for t in range(1000)) < 25


def test_the_count_of_failures_would_show_a_rate_that_is_too_high():
    nearly = normalised(LAW * np.array([1, 1, 1.1, 1, 1.2]))
    assert sum(not check_law(samples_of(nearly, 2000, t), LAW, false_alarm=0.01).passed for t in range(1000)) >= 25


@pytest.mark.parametrize("up", [[0, 2, 4], [0], [4], [2, 3]])
def test_a_law_at_the_stated_distance_is_caught(up):
    # The hardest difference at a distance is in proportion to the law, over a set of about a half and its complement.
    # Null hypothesis: at most 1 % are missed. 1000 checks; error rates as above.
    rises = np.isin(np.arange(5), up)
    shift = LAW * np.where(rises, 1 / LAW[rises].sum(), -1 / LAW[~rises].sum())
    tv = check_law(samples_of(LAW, 5000, 0), LAW).smallest_detectable_tv
    assert tv < 0.06
    missed = sum(check_law(samples_of(LAW + tv * shift, 5000, t), LAW).passed for t in range(1000))
    assert missed < 25


def test_impossible_tokens_fail_the_check_outright():
    law = np.array([0.5, 0.5, 0])
    for impossible in (2, 3, -1):
        check = check_law(np.array([0, 1] * 50 + [impossible]), law)
        assert not check.passed
        assert check.p_value == 0
    assert check_law(np.array([0, 1] * 50), law).passed


def test_too_few_samples_to_tell_anything_are_refused():
    for n, law in ((5000, [0.0005, 0.9995]), (30, [0.5, 0.5]), (1000, [1.0, 0.0])):
        with pytest.raises(ValueError, match=f"{n} samples of this law leave a single cell"):
            check_law(np.zeros(n, np.intp), np.array(law))


@given(
    st.lists(st.floats(0, 30), min_size=2, max_size=12).filter(lambda weights: sum(weights) > 1), st.integers(0, 200)
)
def test_whatever_the_law_the_check_refuses_or_tells(weights, n):
    law = normalised(np.array(weights))
    try:
        check = check_law(samples_of(law, n, 3), law)
    except ValueError:
        assert n < 40 or (n * law).max() > n - 40  # with 20 beside the likeliest token there are two cells
    else:
        assert check.p_value > 1e-7
        assert 0 <= check.pool_mass <= check.smallest_detectable_tv <= 1


def test_one_rare_token_over_and_over_is_caught():
    # Each of the 2000 tokens is expected 2.5 times: all of them are rare.
    assert check_law(np.zeros(5000, np.intp), np.full(2000, 0.0005)).p_value < 1e-100


@pytest.mark.parametrize("law", [ZIPF, MODEL_LIKE], ids=["zipf", "like a model's"])
def test_a_levelled_tail_is_caught_where_ids_by_law_share_cells(law):
    # 20 of 20. The tail is levelled beyond the ids that have a cell of their own: the difference lies among rare ids.
    n = 1000
    rebuilt = levelled(law, int((n * law >= 20).sum()))
    assert total_variation(law, rebuilt) > 0.05
    for t in range(20):
        check = check_law(samples_of(rebuilt, n, t), law)
        assert not check.passed, check
        assert check.p_values["by law"] < check.p_values["by id"]


def test_ids_that_are_never_reached_are_caught_where_neighbours_share_cells():
    cut = np.where(np.arange(ZIPF.size) < 2800, ZIPF, 0)
    check = check_law(samples_of(cut, 3000, 0), ZIPF)
    assert not check.passed
    assert check.p_values["by id"] < 1e-6 < check.p_values["by law"]


def test_ids_that_gain_from_others_like_them_are_caught_by_their_repeats():
    # Half of 49152 equally probable ids, scattered at random, are drawn twice as often, the others never.
    law = np.full(49_152, 1 / 49_152)
    gains = raw_words(13, 0, Purpose.DRAFT, law.size) % 2 == 0
    check = check_law(samples_of(normalised(law * gains), 5000, 0), law)
    assert not check.passed
    assert check.p_values["repeats"] < 1e-6 < check.p_values["by law"]
    assert check_law(samples_of(law, 5000, 0), law).passed


def test_the_smallest_visible_distance_counts_in_what_shared_cells_could_hide():
    check = check_law(samples_of(PEAKED, 3000, 5), PEAKED)
    assert check.passed
    assert check.n == 3000
    assert check.pool_mass == pytest.approx(0.1)
    assert check.smallest_detectable_tv > 0.1
    assert check_law(samples_of(LAW, 3000, 5), LAW).pool_mass == 0


def test_samples_alone_decide():
    samples = samples_of(ZIPF, 3000, 0)
    assert check_law(samples, ZIPF) == check_law(samples.copy(), ZIPF.copy())


SECOND = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
FIRST = np.array([0.5, 0.3, 0.2])


def pairs_of(first: np.ndarray, second: np.ndarray, n: int, *, noise: tuple[int, int]) -> np.ndarray:
    """Pairs of tokens drawn by inversion; `noise` names the stream of each of the two."""
    a = np.searchsorted(np.cumsum(first), uniforms(14, noise[0], Purpose.DRAFT, n))
    sums = np.cumsum(second, axis=1)[a]
    b = (sums < uniforms(14, noise[1], Purpose.DRAFT, n)[:, None]).sum(axis=1)
    return np.stack([a, b], axis=1)


def joint(pairs: np.ndarray) -> LawCheck:
    return check_joint_law(pairs, FIRST, SECOND)


def test_pairs_of_the_joint_law_pass_and_their_smallest_visible_distance_is_stated():
    # Null hypothesis: p(a)·p(b | a). n = 10000, false alarm 1e-4, every TV above 0.04 is seen.
    check = joint(pairs_of(FIRST, SECOND, 10_000, noise=(0, 1)))
    assert check.passed, check
    assert check.smallest_detectable_tv < 0.04


def test_a_second_token_of_the_right_law_that_shares_the_firsts_noise_is_caught():
    # Both tokens have the right law one by one: one second law for all firsts, so that b does not depend on a.
    alone = np.tile(SECOND[0], (3, 1))
    pairs = pairs_of(FIRST, alone, 10_000, noise=(0, 0))
    assert check_law(pairs[:, 0], FIRST).passed
    assert check_law(pairs[:, 1], SECOND[0]).passed
    assert not check_joint_law(pairs, FIRST, alone).passed
    assert check_joint_law(pairs_of(FIRST, alone, 10_000, noise=(0, 1)), FIRST, alone).passed


def test_a_second_token_that_ignores_the_first_is_caught():
    ignoring = np.tile(FIRST @ SECOND, (3, 1))
    assert not joint(pairs_of(FIRST, ignoring, 10_000, noise=(0, 1))).passed


def test_a_pair_outside_the_vocabulary_is_no_other_pair():
    pairs = pairs_of(FIRST, SECOND, 10_000, noise=(0, 1))
    for outside in ((0, 3), (1, -1), (3, 0)):
        assert not joint(np.concatenate([pairs, [outside]])).passed


def test_narrow_integers_are_the_same_tokens():
    first = np.full(30, 1 / 30)
    second = np.tile(first, (30, 1))
    pairs = (uniforms(5, 1, Purpose.DRAFT, 40_000) * 30).astype(np.uint8).reshape(-1, 2)
    assert check_joint_law(pairs, first, second).passed
    with pytest.raises(ValueError, match=r"shape \(2, 30\); expected \(30, 30\)"):
        check_joint_law(pairs, first, second[:2])


@pytest.mark.parametrize("law", [[0.0, 0.0], [np.nan, 1.0], [-0.1, 1.1]])
def test_what_is_no_law_is_refused(law):
    with pytest.raises(ValueError, match="expected probabilities"):
        check_law(np.array([0, 1]), np.array(law))
