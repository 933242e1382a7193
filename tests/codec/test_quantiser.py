"""Levels and rounding."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuhlm.codec.quantiser import LEVELS, MAX_BITS, MIN_BITS, levels, quantise

WIDTHS = range(MIN_BITS, MAX_BITS + 1)


@pytest.mark.parametrize("b_prob", WIDTHS)
def test_levels_ascend_from_exactly_0_to_exactly_1(b_prob: int) -> None:
    table = levels(b_prob)
    assert table.shape == (2**b_prob,)
    assert (table[0], table[-1]) == (0, 1)
    assert np.all(np.diff(table) > 0)


@pytest.mark.parametrize("b_prob", [4, 8])
def test_levels_are_the_cubes_that_they_are_said_to_be(b_prob: int) -> None:
    highest = 2**b_prob - 1
    for code, level in enumerate(LEVELS[b_prob]):
        cube = Fraction(code, highest) ** 3
        assert abs(Fraction(level) - cube) <= cube * Fraction(1, 2**24) + Fraction(1, 2**53)


@pytest.mark.parametrize("b_prob", WIDTHS)
def test_sums_of_levels_are_exact(b_prob: int) -> None:
    scaled = LEVELS[b_prob] * 2.0**52
    assert np.array_equal(scaled, np.rint(scaled))  # multiples of 2^−52: a sum below 2 has at most 53 bits
    assert np.array_equal(LEVELS[b_prob].astype(np.float32).astype(np.float64), LEVELS[b_prob])


@settings(deadline=None)
@given(st.data())
def test_rounding_encloses_keeps_order_zeros_and_levels_and_never_gains_mass(data: st.DataObject) -> None:
    table = LEVELS[data.draw(st.integers(MIN_BITS, MAX_BITS))]
    raw = np.sort(data.draw(st.lists(st.floats(0, 1), min_size=1, max_size=200)))[::-1]
    kept = (raw / max(1.0, raw.sum())).astype(np.float32).astype(np.float64)
    codes = quantise(kept, table)
    decoded = table[codes]
    assert np.all(np.diff(codes) <= 0)
    assert np.all(decoded[kept == 0] == 0)
    assert decoded.sum() <= min(1.0, kept.sum()) + 1e-12
    below = np.searchsorted(table, kept, side="right") - 1
    assert np.all((codes == below) | (codes == below + 1))
    assert np.array_equal(codes[table[below] == kept], below[table[below] == kept])


@settings(deadline=None)
@given(size=st.integers(20, 5000), seed=st.integers(0, 2**32), spread=st.floats(0, 3))
def test_the_mass_is_missed_by_less_than_what_could_still_go_up(size: int, seed: int, spread: float) -> None:
    table = LEVELS[8]
    weights = np.exp(np.random.default_rng(seed).normal(0, spread, size))
    kept = np.sort(weights / weights.sum())[::-1]
    codes = quantise(kept, table)
    missing = kept.sum() - table[codes].sum()
    could_rise = (table[codes] < kept) & (codes < 255)
    narrowest = np.min((table[np.minimum(codes + 1, 255)] - table[codes])[could_rise], initial=1.0)
    assert -1e-12 <= missing < max(narrowest, 1e-12)


def one_at_a_time(kept: list[float], table: list[float]) -> list[int]:
    """The rule in plain words: nearest to a tie first, each that fits; the narrowest where it is still too much."""
    below = [max(code for code, level in enumerate(table) if level <= value) for value in kept]
    gap = [table[min(code + 1, len(table) - 1)] - table[code] for code in below]
    rest = [value - table[code] for value, code in zip(kept, below, strict=True)]
    up = {entry for entry in range(len(kept)) if rest[entry] > gap[entry] / 2}
    excess = sum(table[code] for code in below) + sum(gap[entry] for entry in up) - min(1.0, sum(kept))
    by_tie = sorted((entry for entry in range(len(kept)) if gap[entry]), key=lambda e: abs(rest[e] / gap[e] - 0.5))
    if excess > 0:
        for entry in [entry for entry in by_tie if entry in up]:
            if gap[entry] <= excess:
                up.remove(entry)
                excess -= gap[entry]
        for entry in sorted(up, key=lambda entry: gap[entry]):
            if excess > 0:
                up.remove(entry)
                excess -= gap[entry]
    for entry in [entry for entry in by_tie if entry not in up and rest[entry] > 0]:
        if gap[entry] <= -excess:
            up.add(entry)
            excess += gap[entry]
    return sorted((code + (entry in up) for entry, code in enumerate(below)), reverse=True)


@settings(deadline=None, max_examples=300)
@given(raw=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=12), b_prob=st.sampled_from([4, 8]))
def test_codes_are_those_of_the_rule_taken_one_entry_at_a_time(raw: list[float], b_prob: int) -> None:
    table = LEVELS[b_prob]
    ordered = np.sort(raw)[::-1]
    kept = (ordered / max(1.0, ordered.sum())).astype(np.float32).astype(np.float64)
    assert quantise(kept, table).tolist() == one_at_a_time(kept.tolist(), table.tolist())


def test_nearest_rounding_alone_would_gain_or_lose_mass() -> None:
    table = LEVELS[8]
    kept = np.full(3000, 1 / 3000)
    below = np.searchsorted(table, kept, side="right") - 1
    nearest = below + (kept - table[below] > (table[below + 1] - table[below]) / 2)
    assert abs(table[nearest].sum() - 1) > 0.01
    assert 0 <= 1 - table[quantise(kept, table)].sum() < 6e-5  # one gap


@settings(deadline=None)
@given(size=st.integers(2, 400), seed=st.integers(0, 2**32), spread=st.floats(0, 6), b_prob=st.sampled_from([4, 8, 16]))
def test_keeping_the_mass_turns_only_entries_that_are_worth_it(
    size: int, seed: int, spread: float, b_prob: int
) -> None:
    # Turning an entry costs at most its gap, and saves as much of the sum: with what is missing counted, as it is in
    # x̂, the law is no farther away than by nearest rounding, but for the entry that ends an excess, which may cost
    # its gap twice.
    table = LEVELS[b_prob]
    weights = np.exp(np.random.default_rng(seed).normal(0, spread, size))
    kept = np.sort(weights / weights.sum() * 0.9)[::-1]
    nearest = table[np.searchsorted((table[1:] + table[:-1]) / 2, kept)]
    decoded = table[quantise(kept, table)]
    error, plain = (np.abs(law - kept).sum() + abs(law.sum() - kept.sum()) for law in (decoded, nearest))
    widest = np.diff(table)[np.searchsorted(table, kept, side="right") - 1].max()
    assert error <= plain + 2 * widest + 1e-12
