"""The tables of a report: thresholds at a risk, and numbers as text."""

import numpy as np
import pytest

from cuhlm.experiments.report.drawing import PART_COLOURS, STYLES
from cuhlm.experiments.report.headline import HeadlineRow
from cuhlm.experiments.report.page import headline_table, interval, number, shown
from cuhlm.measuring.bootstrap import Estimate
from cuhlm.methods import METHODS
from cuhlm.theory.rejection import threshold_at

NAN = float("nan")


def test_the_threshold_at_a_risk_is_the_highest_that_meets_it() -> None:
    random = np.random.default_rng(3)
    u = np.round(random.random(200), 1)  # with ties: a threshold takes all tokens of one u, or none
    beta = np.clip(u * random.random(200), 0, 1)
    for risk in (0.02, 0.1, 0.2, 0.3):
        found = threshold_at(u, beta, risk)
        meets = [limit for limit in np.unique(u) if beta[u <= limit].mean() <= risk]
        assert found == (max(meets) if meets else -1)


def test_nothing_is_skipped_where_even_the_most_certain_are_too_risky() -> None:
    assert threshold_at(np.array([0.1, 0.2]), np.array([0.5, 0.5]), 0.1) == -1


@pytest.mark.parametrize(
    ("value", "text"),
    [(NAN, "–"), (float("inf"), "∞"), (0.0, "0"), (0.12345, "0.123"), (147456.0, "147,456"), (0.00001, "1.0e-05")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_an_interval_stands_behind_its_number() -> None:
    assert interval(Estimate(0.5, 0.4, 0.6)) == "0.5 [0.4 … 0.6]"
    assert interval(Estimate(0.974, 0.9, 0.99), "{:.1%}") == "97.4% [90.0% … 99.0%]"
    assert interval(Estimate(NAN, NAN, NAN)) == "–"
    assert interval(Estimate(3.0, NAN, NAN)) == "3"


def test_a_table_shows_intervals_as_brackets_and_gaps_as_nothing() -> None:
    table = shown("a", "b", [{"k": 3, "tv": 0.25, "tv_low": 0.2, "tv_high": 0.3}, {"k": 4, "share_of_x": 0.1}])
    assert table.headings == ["k", "tv", "share of x"]
    assert table.rows == [["3", "0.25 [0.2 … 0.3]", ""], ["4", "", "0.1"]]


def test_the_papers_figures_stand_above_ours_and_only_where_the_paper_has_them() -> None:
    point = ("cu-hlm", "risk-averse", 0.08, 0.1)
    rows = [
        HeadlineRow("throughput_over_hlm", *point, -10.0, 0.0, Estimate(300.0, 200.0, 400.0)),
        HeadlineRow("throughput_over_hlm", *point, 10.0, 0.0, Estimate(30.0, 20.0, 40.0)),
        HeadlineRow("throughput_over_hlm", *point, -10.0, 50.0, Estimate(100.0, 90.0, 110.0)),
        HeadlineRow("skipped", *point, None, 0.0, Estimate(0.7, 0.6, 0.8)),
    ]
    table = headline_table(rows)
    assert table.rows[0] == ["the paper", "", "", "up to 206.0×", "", "", "74.8%"]
    assert table.rows[1][:3] == ["cu-hlm", "risk-averse: 0.080", "0.1"]
    assert table.rows[1][3:] == [
        "300.0× [200.0× … 400.0×]",
        "30.0× [20.0× … 40.0×]",
        "100.0× [90.0× … 110.0×]",
        "70.0% [60.0% … 80.0%]",
    ]


def test_every_method_has_a_colour_and_a_marker_of_its_own() -> None:
    assert set(STYLES) == set(METHODS)
    assert len(set(STYLES.values())) == len(METHODS)
    assert not {colour for colour, _ in STYLES.values()} & set(PART_COLOURS)
