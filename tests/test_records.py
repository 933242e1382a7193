"""Traces on disk, and numbers that JSON cannot write."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest

from cuhlm.errors import ConfigurationError
from cuhlm.messages import Fate
from cuhlm.records import Stages, TokenRecord, json_values, read_trace, trace_file

RECORDS = [
    TokenRecord(3, 7, Fate.SKIPPED, draft_token=7, u=0.1, draft_passes=1, stages=Stages(draft=0.5)),
    TokenRecord(4, 9, Fate.TARGET, wire_bytes_up=None, wire_bytes_down=None, target_passes=1, transmitted=True),
]


def test_a_trace_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    with trace_file(tmp_path / "t.jsonl") as add:
        for record in RECORDS:
            add(record)
    assert list(read_trace(tmp_path / "t.jsonl")) == RECORDS


def test_a_record_is_on_disk_before_the_next_one_comes(tmp_path: Path) -> None:
    with trace_file(tmp_path / "t.jsonl") as add:
        add(RECORDS[0])
        assert list(read_trace(tmp_path / "t.jsonl")) == RECORDS[:1]


def test_what_ends_a_generation_is_not_hidden_by_its_trace(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), trace_file(tmp_path / "t.jsonl"):
        raise ZeroDivisionError


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_as_what_it_is() -> None:
    with pytest.raises(ConfigurationError, match="cannot be written: No space left"), trace_file("/dev/full") as add:
        add(RECORDS[0])


def test_a_trace_that_cannot_be_written_is_refused_before_anything_is_generated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written: No such file"), trace_file(tmp_path / "no" / "t"):
        raise AssertionError("not reached")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", ": position is missing"),
        ("nonsense", " is not JSON"),
        ("[1]", r": it is \[1\]; expected a table"),
        ('{"position": 1, "token": 2, "fate": "eaten"}', ": fate is 'eaten'; expected one of skipped, accepted"),
        ('{"position": 1, "token": 2, "fate": "target", "k": true}', ": k is True; expected a whole number"),
        ('{"position": 1, "token": 2, "fate": "target", "stages": {"a": 1}}', ": stages.a is unknown"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "t.jsonl").write_text(line + "\n")
    with pytest.raises(ConfigurationError, match=r"t\.jsonl, line 1" + message):
        list(read_trace(tmp_path / "t.jsonl"))


def test_a_trace_of_an_earlier_version_can_be_read(tmp_path: Path) -> None:
    # As `json.dumps` wrote it.
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(asdict(record)) + "\n" for record in RECORDS))
    assert list(read_trace(tmp_path / "t.jsonl")) == RECORDS


def test_a_run_that_is_refused_leaves_the_trace_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("old")
    with pytest.raises(ConfigurationError), trace_file(path):
        raise ConfigurationError
    assert path.read_text() == "old"
    with trace_file(path):
        pass
    assert path.read_text() == ""


def test_numbers_that_json_cannot_write_become_null() -> None:
    written = json.dumps(json_values({"a": math.inf, "b": [math.nan, -math.inf, 1.5], "c": (1, "x")}), allow_nan=False)
    assert json.loads(written) == {"a": None, "b": [None, None, 1.5], "c": [1, "x"]}
