import math

import numpy as np
import pytest
from scipy import stats

from cuhlm.errors import ConfigurationError
from cuhlm.theory.rejection import (
    RejectionModel,
    fit_rejection,
    rejection_probability,
    risk_averse_threshold,
    risk_prone_threshold,
)

PAPER = RejectionModel(a=0.815, b=-0.066)  # TinyLlama-1.1B → Llama-2-7B


def test_the_papers_line_gives_the_papers_threshold():
    assert risk_averse_threshold(PAPER) == pytest.approx(0.0810, abs=5e-5)
    assert risk_prone_threshold(PAPER, 0.3) == pytest.approx((0.3 + 0.066) / 0.815)


def test_predictions_are_probabilities():
    assert [PAPER.predict(u) for u in (0, 0.5, 2)] == [0, pytest.approx(0.3415), 1]
    np.testing.assert_allclose(PAPER.predict_all(np.array([0, 0.5, 2])), [0, 0.3415, 1])


def test_rejection_probability_covers_all_orders_of_x_and_y():
    x, y = np.array([0.5, 0.25, 0.25, 0, 0], np.float32), np.array([0.25, 0.5, 0, 0.25, 0], np.float32)
    assert [rejection_probability(x, y, token) for token in range(5)] == [0.5, 0, 1, 0, 1]


def test_the_fit_is_least_squares():
    rng = np.random.default_rng(0)
    u = rng.random(500)
    beta = np.clip(0.8 * u - 0.05 + rng.normal(0, 0.1, 500), 0, 1)
    model, line = fit_rejection(u, beta), stats.linregress(u, beta)
    assert model.a == pytest.approx(line.slope)
    assert model.b == pytest.approx(line.intercept)
    assert model.pearson_r == pytest.approx(line.rvalue)
    assert model.r_squared == pytest.approx(line.rvalue**2)
    assert model.residual_std == pytest.approx(line.stderr * np.sqrt(((u - u.mean()) ** 2).sum()))
    assert model.n == 500


def test_a_fit_without_variation_of_beta_says_so():
    model = fit_rejection(np.array([0.1, 0.2, 0.3]), np.zeros(3))
    assert (model.a, model.b, model.residual_std) == (0, 0, 0)
    assert math.isnan(model.pearson_r)


@pytest.mark.parametrize("u", [[], [0.1, 0.2], [0.3, 0.3, 0.3]])
def test_tokens_that_determine_no_line_are_refused(u):
    with pytest.raises(ConfigurationError, match=f"{len(u)} calibration tokens"):
        fit_rejection(np.array(u), np.zeros(len(u)))


def test_a_line_that_does_not_rise_has_no_threshold_and_skips_nothing():
    for a in (0.0, -0.5):
        threshold = risk_averse_threshold(RejectionModel(a=a, b=0.1))
        assert math.isnan(threshold)
        assert not threshold >= 0
