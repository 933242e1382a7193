"""Scores of risk, fitted to made-up positions whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from cuhlm.measuring.risk import RISKS, features_of, fit_scores, foresight, held_out_scores, labels_of, texts_of
from cuhlm.risk_scores import Positions
from cuhlm.theory.score import Wrong


def made_up(texts: int = 30, tokens: int = 60, *, seed: int = 4, hint: bool = True) -> Positions:
    """Drafts that are wrong with a chance of u², as far as u tells."""
    rng = np.random.default_rng(seed)
    n = texts * tokens
    u, gap, own = rng.uniform(0, 1, n), rng.exponential(2, n), rng.uniform(0.1, 1, n)
    wrong = rng.random(n) < (u**2 if hint else 1 / 3)
    return Positions(
        lengths=(tokens,) * texts,
        u=tuple(u),
        gap=tuple(gap),
        own=tuple(own),
        plausible=tuple(np.where(wrong, 0.05, 0.5)),
        beta=tuple(u**2),
        agrees=tuple(bool(each) for each in ~wrong),
    )


POSITIONS = made_up()


def test_there_is_a_score_for_each_meaning_of_wrong_which_foresees_it() -> None:
    scores = fit_scores(POSITIONS)
    assert set(scores) == set(Wrong)
    for fitted in scores.values():
        assert fitted.folds == 3
        assert fitted.area_under_curve > 0.75
        assert sum(each.n for each in fitted.reliability) == 1800


def test_reliability_is_that_of_a_score_which_can_be_believed() -> None:
    for each in fit_scores(POSITIONS)[Wrong.PLAUSIBLE].reliability:
        assert each.realised == pytest.approx(each.predicted, abs=4 * np.sqrt(0.25 / each.n))


def test_a_threshold_is_the_largest_that_kept_no_more_wrong_ones_than_asked_for() -> None:
    fitted = fit_scores(POSITIONS)[Wrong.PLAUSIBLE]
    labels = labels_of(POSITIONS, Wrong.PLAUSIBLE)
    scores, _ = held_out_scores(features_of(POSITIONS), labels, texts_of(POSITIONS))
    for risk in RISKS:
        kept = scores <= fitted.threshold_for(risk)
        assert kept.mean() == pytest.approx(fitted.kept_at(risk))
        assert kept.sum() == 0 or labels[kept].mean() <= risk
    assert fitted.threshold_for(1.0) == max(fitted.threshold)
    assert replace(fitted, wrong_share=(0.5,) * len(fitted.threshold)).threshold_for(0.02) == 0.0


def test_held_out_texts_have_no_say_in_their_scores() -> None:
    features, texts = features_of(POSITIONS), texts_of(POSITIONS)
    labels = labels_of(POSITIONS, Wrong.PLAUSIBLE)
    turned = np.where(texts % 3 == 1, 1 - labels, labels)
    before, after = (held_out_scores(features, each, texts)[0] for each in (labels, turned))
    assert np.allclose(before[texts % 3 == 1], after[texts % 3 == 1])
    assert not np.allclose(before[texts % 3 == 0], after[texts % 3 == 0])


def test_too_few_texts_to_hold_any_out_are_said_to_be() -> None:
    assert fit_scores(made_up(texts=1))[Wrong.KEYED].folds == 1


def test_one_text_tells_of_no_spread() -> None:
    area, kept = foresight(made_up(texts=1), Wrong.KEYED, seed=1)
    assert area[0] > 0.5
    assert all(np.isnan(each[1:]).all() for each in (area, *kept))


def test_where_nothing_is_wrong_there_is_nothing_to_tell_apart() -> None:
    right = replace(POSITIONS, agrees=(True,) * len(POSITIONS.agrees))
    area, kept = foresight(right, Wrong.KEYED, seed=1)
    assert np.isnan(area).all()
    assert all(each[0] == 1 for each in kept)


def test_what_is_told_of_foresight_holds_chance_apart() -> None:
    told, by_chance = (foresight(made_up(hint=hint), Wrong.KEYED, seed=1) for hint in (True, False))
    assert told.area[1] > 0.7
    assert by_chance.area[1] < 0.5 < by_chance.area[2] + 0.05
    for value, low, high in (told.area, *told.kept):
        assert low <= value <= high
