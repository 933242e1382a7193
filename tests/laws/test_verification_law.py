"""What `draw`, `accepts` and `replacement` put out has the target's law, and a wrong rule is caught (design 4, rule 1).

Each test's null hypothesis: the tokens are independent draws from y. n = 60000, false-alarm rate 1e-4; the check sees
every total variation above 0.016 (computed by `check_law`, asserted below). Seeds are fixed.
"""

import numpy as np
import pytest

from cuhlm.testing.law_checks import check_law
from cuhlm.theory.quality import total_variation
from cuhlm.theory.randomness import Purpose, uniforms
from cuhlm.theory.truncation import TruncatedLaw, top_k
from cuhlm.theory.verification import accepts, draw, replacement, sample, verified_law

N = 60_000
SMALLEST_TV = 0.016
X = np.array([0.5, 0.2, 0.15, 0.1, 0.03, 0.02, 0.0], np.float32)
Y = np.array([0.2, 0.35, 0.05, 0.2, 0.0, 0.1, 0.1], np.float32)


def streams(seed):
    return (uniforms(seed, 0, purpose, N) for purpose in (Purpose.DRAFT, Purpose.ACCEPT, Purpose.RESIDUAL))


def judged(reported, target, token, accept_uniform, residual_uniform):
    stands = accepts(float(reported[token]), float(target[token]), accept_uniform)
    return token if stands else replacement(reported, target, residual_uniform)


def outcomes(drawn_from, reported, target, seed):
    return np.array(
        [judged(reported, target, draw(drawn_from, d).token, a, r) for d, a, r in zip(*streams(seed), strict=True)]
    )


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_a_draft_from_the_rebuilt_law_comes_out_with_the_targets_law(k):
    rebuilt = TruncatedLaw(*top_k(X, k), X.size).rebuilt()
    check = check_law(outcomes(rebuilt, rebuilt, Y, seed=k), Y)
    assert check.passed, check
    assert check.smallest_detectable_tv < SMALLEST_TV


def test_reporting_x_where_the_rebuilt_law_was_drawn_from_is_caught():
    rebuilt = TruncatedLaw(*top_k(X, 1), X.size).rebuilt()
    assert total_variation(verified_law(rebuilt, X, Y), Y) > SMALLEST_TV
    assert not check_law(outcomes(rebuilt, X, Y, seed=20), Y).passed


def test_replacing_from_the_target_instead_of_the_residual_is_caught():
    def wrong(d, a, r):
        token = draw(X, d).token
        return token if accepts(float(X[token]), float(Y[token]), a) else sample(Y, r)

    assert not check_law(np.array([wrong(*u) for u in zip(*streams(21), strict=True)]), Y).passed


def test_the_exact_law_of_a_misreported_draft_is_what_is_observed():
    rebuilt = TruncatedLaw(*top_k(X, 2), X.size).rebuilt()
    assert check_law(outcomes(X, rebuilt, Y, seed=22), verified_law(X, rebuilt, Y)).passed


def test_drafts_have_the_law_they_carry():
    drafts = [draw(X, u) for u in uniforms(23, 0, Purpose.DRAFT, N)]
    assert all(draft.law is X for draft in drafts[:10])
    assert check_law(np.array([draft.token for draft in drafts]), X).passed
    assert not check_law(np.array([draft.token for draft in drafts]), Y).passed
