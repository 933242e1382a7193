"""What a plan prints, and its map as a picture."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cuhlm.channel.presets import find_channel
from cuhlm.cli.plan_svg import map_as_svg
from cuhlm.cli.show_plan import show_plan
from cuhlm.data import DRAFT_PROFILE
from cuhlm.errors import ConfigurationError
from cuhlm.measuring.plan import RATIOS, ROUND_TRIPS_MS, Cell, costs_for
from cuhlm.profiles import load_profile

PROFILE = load_profile(DRAFT_PROFILE)
LTE, COSTS = find_channel("lte"), costs_for(0.005, 0.040, 0.0004)


def test_the_table_and_the_map_are_printed_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cuhlm.measuring.plan.MAP_TEXTS", 1)
    show_plan(PROFILE, LTE, COSTS, 0.02, with_map=True, svg=tmp_path / "map.svg", as_json=False)
    said = capsys.readouterr()
    for words in ("opportunistic", "tokens/s", "Best with the target's", "Who wins: smollm2-draft-16l"):
        assert words in said.out
    assert "the map is drawn in" in said.err
    assert "<svg" in (tmp_path / "map.svg").read_text(encoding="utf-8")


def test_as_json_all_numbers_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(PROFILE, LTE, COSTS, 0.02, with_map=False, svg=None, as_json=True)
    plan = json.loads(capsys.readouterr().out)
    assert plan["methods"]["remote"]["passes"] == 1
    assert plan["methods"]["lossless"]["kept_beta"] is None


def test_without_a_profile_there_is_nothing_to_go_by() -> None:
    with pytest.raises(ConfigurationError, match="there is no profile to go by"):
        show_plan(None, LTE, COSTS, 0.02, with_map=False, svg=None, as_json=False)


def test_the_picture_escapes_names_and_says_each_cell_in_words() -> None:
    cells = [Cell(rtt, ratio, "remote", 1.0) for ratio in RATIOS for rtt in ROUND_TRIPS_MS]
    picture = ElementTree.fromstring(map_as_svg(cells, 'a <b> & "c"'))
    titles = [element.text for element in picture.iter() if element.tag.endswith("title")]
    assert titles[0] == 'Which method wins where: a <b> & "c"'
    assert titles[1] == "remote: 1.00 times remote at 1 ms, ratio 2"
    assert len(titles) == 1 + len(cells)
