"""Traces on disk, and numbers that JSON cannot write."""

import json
import math
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


@pytest.mark.parametrize("line", ["{}", "nonsense", "[1]", '{"fate": "eaten", "stages": {}}'])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.jsonl").write_text(line + "\n")
    with pytest.raises(ConfigurationError, match=r"t\.jsonl, line 1, is not a trace record"):
        list(read_trace(tmp_path / "t.jsonl"))


def test_numbers_that_json_cannot_write_become_null() -> None:
    written = json.dumps(json_values({"a": math.inf, "b": [math.nan, -math.inf, 1.5], "c": (1, "x")}), allow_nan=False)
    assert json.loads(written) == {"a": None, "b": [None, None, 1.5], "c": [1, "x"]}
