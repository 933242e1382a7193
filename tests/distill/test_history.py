"""What a run remembers of itself."""

from pathlib import Path

from cuhlm.distill.history import History, Measurement


def test_the_time_of_a_sitting_that_measured_nothing_is_not_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert History(path).seconds == 0
    History(path).keep_seconds(120.04)
    assert History(path).seconds == 120
    history = History(path)
    history.add(Measurement(1000, 150.0, ()))
    assert History(path).seconds == 150
    history.keep_seconds(170.0)
    assert History(path).seconds == 170
