"""What a run's folder says of it: kept, read again, and held against the next command."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from cuhlm.distill.history import History, Measurement
from cuhlm.distill.plan import Objective, Plan, Training, check_plan, keep_plan
from cuhlm.errors import ConfigurationError
from cuhlm.measuring.agreement import Agreement

PLAN = Plan("target", "", "prompts", Training(layers=4, tokens=1000, objective=Objective.TV))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a run with `PLAN`."""
    check_plan(PLAN, tmp_path)
    keep_plan(PLAN, tmp_path)
    return tmp_path


def test_a_run_goes_on_with_its_plan_and_more_tokens(folder: Path) -> None:
    check_plan(PLAN, folder)
    check_plan(replace(PLAN, training=replace(PLAN.training, tokens=5000)), folder)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(PLAN, target="another"), "with target 'target', not 'another'"),
        (replace(PLAN, training=replace(PLAN.training, neurons=64)), "with neurons None, not 64"),
        (replace(PLAN, training=replace(PLAN.training, objective=Objective.KL)), "with objective 'tv', not 'kl'"),
    ],
)
def test_another_plan_is_refused_with_what_differs(folder: Path, other: Plan, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_plan(other, folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda plan: plan.pop("training"), "training is missing"),
        (lambda plan: plan["training"].update(layers="4"), "training.layers is '4'; expected a whole number"),
        (lambda plan: plan["training"].update(layers=0), "layers: 0; expected 1 or more"),
        (lambda plan: plan["training"].update(colour=1), "training.colour is unknown"),
        (
            lambda plan: plan["training"].update(objective="l2"),
            "training.objective is 'l2'; expected one of kl, tv, kl",
        ),
    ],
)
def test_a_plan_that_was_spoilt_is_told_with_its_key(
    folder: Path, spoil: Callable[[dict[str, Any]], object], message: str
) -> None:
    kept = asdict(PLAN)
    spoil(kept)
    (folder / "plan.json").write_text(json.dumps(kept))
    with pytest.raises(ConfigurationError, match=rf"plan\.json: {message}.*give another --out"):
        check_plan(PLAN, folder)


def test_measurements_are_read_back_and_a_torn_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    measurement = Measurement(10, 1.26, [Agreement(1.0, 5, 0.5, 0.4, 0.3, 0.1)])
    History(path).add(measurement)
    history = History(path)
    history.add(replace(measurement, tokens=20))
    assert history.measurements[0] == replace(measurement, seconds=1.3)
    assert [each.tokens for each in History(path).measurements] == [10, 20]
    with path.open("a") as file:
        file.write('{"tokens": 30, "sec')
    with pytest.raises(ConfigurationError, match=r"history\.jsonl, line 3 is not JSON"):
        History(path)
