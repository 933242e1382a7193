import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.theory.quality import total_variation
from cuhlm.theory.truncation import top_k
from cuhlm.theory.verification import resampled_law, resampling_distance

SIZE = 8
ROUNDING = 1e-6  # float32 probabilities sum to 1 within this
laws = (
    st.lists(st.integers(0, 20), min_size=SIZE, max_size=SIZE)
    .filter(any)
    .map(lambda w: (np.array(w) / sum(w)).astype(np.float32))
)
entries = st.integers(1, SIZE)


def largest(law, k):
    """The k largest entries, and 0 elsewhere."""
    indices, kept = top_k(law, k)
    known = np.zeros_like(law)
    known[indices] = kept
    return known


def quantised(law, k):
    """As they come down, in 4 bits each."""
    codec = FixedWidthCodec(4)
    return codec.decode(codec.encode(*top_k(law, k), law.size), law.size).alone()


def untold(y, known):
    """What the distance never exceeds, whatever x is."""
    missing = np.subtract(y, known, dtype=np.float64)
    return max(float(np.maximum(0, missing).sum()), float(np.maximum(0, -missing).sum()))


def observed_by_hand(x, y, known):
    """The law by its definition, draft by draft."""
    law = np.zeros(SIZE)
    rest = np.maximum(0, known.astype(np.float64) - x)
    rest = rest if rest.any() else known.astype(np.float64)
    for draft, chance in enumerate(x):
        if chance > 0:
            stands = min(1.0, float(y[draft]) / float(chance))
            law[draft] += chance * stands
            law += chance * (1 - stands) * rest / rest.sum()
    return law


@given(laws, laws, entries)
def test_the_law_of_split_is_the_sum_over_its_drafts(x, y, k):
    known = largest(y, k)
    np.testing.assert_allclose(resampled_law(x, y, known), observed_by_hand(x, y, known), atol=ROUNDING)


@given(laws, laws)
def test_with_the_whole_of_y_the_law_is_y(x, y):
    np.testing.assert_allclose(resampled_law(x, y, y), y, atol=ROUNDING)
    assert resampling_distance(x, y, y) == 0


@given(laws, laws, entries, st.sampled_from([largest, quantised]))
def test_the_error_of_split_is_never_above_its_bounds(x, y, k, known_of):
    known = known_of(y, k)
    error, bound, without_x = (
        total_variation(resampled_law(x, y, known), y),
        resampling_distance(x, y, known),
        untold(y, known),
    )
    assert error <= bound + ROUNDING
    assert bound <= without_x + ROUNDING


@given(laws, laws, entries)
def test_with_k_exact_entries_the_bound_is_the_error_where_anything_is_left_to_draw(x, y, k):
    known = largest(y, k)
    unsent = y - known
    expected = float(np.maximum(0, unsent.astype(np.float64) - x).sum())
    assert resampling_distance(x, y, known) == pytest.approx(expected, abs=ROUNDING)
    if (known > x).any():
        assert total_variation(resampled_law(x, y, known), y) == pytest.approx(expected, abs=ROUNDING)


@given(laws, entries)
def test_some_draft_makes_the_bound_without_x_true(y, k):
    # One that never drafts what was not sent, and all else at least as often as the target.
    known = largest(y, k)
    unsent = float((y - known).sum(dtype=np.float64))
    x = known.copy()
    x[int(known.argmax())] += np.float32(unsent)
    assert resampling_distance(x, y, known) == pytest.approx(untold(y, known), abs=ROUNDING)


def test_the_bounds_are_far_below_1_where_little_is_left_out():
    x = np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.01, 0.01], np.float32)
    y = np.array([0.3, 0.4, 0.1, 0.1, 0.04, 0.03, 0.02, 0.01], np.float32)
    bounds = [resampling_distance(x, y, largest(y, k)) for k in range(1, SIZE + 1)]
    assert bounds == pytest.approx([0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.0, 0.0], abs=1e-6)
    assert untold(y, largest(y, 4)) == pytest.approx(0.1, abs=1e-6)


def test_a_replacement_from_y_itself_breaks_the_bound():
    # The wrong rule: y where the residual belongs. Nothing is left out of y, so the bound is 0, and the law is not y.
    x = np.array([0.7, 0.3, *[0.0] * 6], np.float32)
    y = np.array([0.3, 0.7, *[0.0] * 6], np.float32)
    accepted = np.minimum(x, y)
    wrong = accepted + (1 - accepted.sum()) * y
    assert total_variation(wrong, y) > resampling_distance(x, y, y) + 0.1
