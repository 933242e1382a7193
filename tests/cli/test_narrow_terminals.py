"""Tables in a narrow terminal: nothing in them is cut."""

import re

import pytest
from rich.console import Console

from cuhlm.cli.show_cards import print_channels, print_methods
from cuhlm.cli.show_experiment import _table

RULES = ("risk-averse", "risk-prone", "0.5")


def lines_of_a_table(shown: str, width: int) -> list[str]:
    lines = [line for line in shown.splitlines() if line[:1] in "│┃┏"]
    assert lines
    assert max(map(len, shown.splitlines())) <= width
    assert not [line for line in lines if re.search(r"\w…|…\s*[│┃]", line)], "something is cut"
    return lines


@pytest.mark.parametrize("width", [40, 60, 80])
def test_methods_and_channels_fit(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    print_methods()
    assert any("cu-hlm-offline" in line for line in lines_of_a_table(capsys.readouterr().out, width))
    print_channels()
    assert any("trace:FILE.csv" in line for line in lines_of_a_table(capsys.readouterr().out, width))


@pytest.mark.parametrize(("width", "rules"), [(40, RULES[:1]), (60, RULES[:2]), (80, RULES), (132, RULES)])
def test_an_experiments_headline_shows_as_many_operating_points_as_fit(
    width: int, rules: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    common = {"method": "cu-hlm", "paper": 206, "value": 123.4, "low": 100.1, "high": 150.2}
    rows = [
        common | {"claim": "throughput_over_hlm", "snr_db": -10.0, "round_trip_ms": trip, "threshold_rule": rule}
        for trip in (0.0, 50.0)
        for rule in RULES
    ]
    measured = {"n_prompts": 40, "temperature": 1.0, "compute": "measured", "interval": "95 % bootstrap intervals"}
    console = Console(width=width)
    console.print(_table({"measured_on": measured, "rows": rows}, width))
    shown = "\n".join(lines_of_a_table(capsys.readouterr().out, width))
    assert tuple(rule for rule in RULES if rule in shown) == rules
    assert shown.count("[100 … 150]") == 2 * len(rules)
