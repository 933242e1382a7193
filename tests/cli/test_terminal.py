"""What a model writes must not steer the terminal, and must reach a file unchanged; a stream that fails is told of."""

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from cuhlm.cli.terminal import fitting, print_answer, streams_watched, visible
from cuhlm.errors import ConfigurationError

STEERS = "a\tb\x1b[31mred\r\f\x9b\x7fé\n"


def test_control_characters_are_shown_as_codes_and_text_is_left_alone() -> None:
    assert visible(STEERS) == "a\tb\\x1b[31mred\\x0d\\x0c\\x9b\\x7fé\n"
    assert visible("naïve 日本語 🙂 \u200d [bold]") == "naïve 日本語 🙂 \u200d [bold]"


def test_an_answer_goes_into_a_pipe_to_the_byte(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(Console(file=sys.stdout), STEERS, "green")
    assert capsys.readouterr().out == STEERS


def test_an_answer_on_a_terminal_is_harmless() -> None:
    shown = io.StringIO()
    print_answer(Console(file=shown, force_terminal=True, color_system=None), STEERS, "")
    assert "\x1b[31m" not in shown.getvalue()
    assert "\\x1b[31mred" in shown.getvalue()


def test_a_table_does_without_columns_until_it_fits() -> None:
    def table(columns: Sequence[str]) -> Table:
        return Table(*columns)

    def left(width: int) -> list[str]:
        return [
            str(column.header) for column in fitting(table, ["one", "two", "three"], ["three", "one"], width).columns
        ]

    assert left(100) == left(21) == ["one", "two", "three"]
    assert left(20) == left(13) == ["one", "two"]
    assert left(12) == left(1) == ["two"]


needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that takes nothing")
DESCRIBE = (sys.executable, "-m", "cuhlm", "describe", "--methods")


@needs_dev_full
def test_an_output_that_takes_no_more_is_told_of_and_what_is_left_is_dropped() -> None:
    with Path("/dev/full").open("w") as full, redirect_stdout(full), streams_watched():
        print("an answer")
        with pytest.raises(ConfigurationError, match=r"standard output cannot be written: No space left .*elsewhere"):
            sys.stdout.flush()
        print("more, which nobody gets")


@needs_dev_full
def test_notes_that_nobody_can_read_do_not_end_the_work() -> None:
    with Path("/dev/full").open("w", buffering=1) as full, redirect_stderr(full), streams_watched():
        print("a note", file=sys.stderr)
        print("another", file=sys.stderr)


def test_what_an_encoding_does_not_have_is_written_as_codes() -> None:
    written = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(written, "ascii")), streams_watched():
        print_answer(Console(), "café 日", "")
        assert written.getvalue() == b"caf\\xe9 \\u65e5"


@needs_dev_full
def test_a_command_whose_output_is_full_says_so_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(DESCRIBE, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith("cuhlm: standard output cannot be written")


def test_a_command_whose_output_is_closed_says_so_in_one_line() -> None:
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *DESCRIBE], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith("cuhlm: standard output is closed")


def test_a_reader_that_has_had_enough_ends_a_command_in_silence() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    ended = subprocess.run(DESCRIBE, stdout=writes, stderr=subprocess.PIPE, check=False)
    os.close(writes)
    assert (ended.returncode, ended.stderr) == (141, b"")
