"""What a pass costs, learned from passes."""

import pytest

from cuhlm.engines.pass_times import PassTimes


def test_passes_of_different_lengths_tell_what_a_token_adds() -> None:
    times = PassTimes()
    for tokens in (1, 2, 5, 1, 9, 1, 1, 3):
        times.note(tokens, 0.040 + 0.003 * (tokens - 1))
    assert (times.estimate.alone, times.estimate.per_draft) == pytest.approx((0.040, 0.003))


def test_what_a_token_adds_is_remembered_where_passes_have_been_alike_for_long() -> None:
    times = PassTimes()
    for tokens in (1, 32, 32, *[1] * 2000):
        times.note(tokens, 0.040 + 0.003 * (tokens - 1))
    assert (times.estimate.alone, times.estimate.per_draft) == pytest.approx((0.040, 0.003), rel=1e-3)


def test_before_passes_have_differed_a_token_is_guessed_to_add_less_than_a_pass() -> None:
    times = PassTimes()
    assert (times.estimate.alone, times.estimate.per_draft) == (0, 0)
    times.note(1, 0.040)
    assert 0 < times.estimate.per_draft < times.estimate.alone == 0.040


def test_a_machine_that_gets_slower_is_followed() -> None:
    times = PassTimes()
    for seconds in (*[0.01] * 300, *[0.05] * 600):
        times.note(1, seconds)
    assert times.estimate.alone == pytest.approx(0.05, rel=0.01)


def test_no_cost_is_negative_whatever_the_noise() -> None:
    times = PassTimes()
    for tokens, seconds in ((1, 0.05), (8, 0.01), (1, 0.06), (9, 0.01)):
        times.note(tokens, seconds)
    assert times.estimate.per_draft == 0
    assert times.estimate.alone > 0
