"""What a model writes must not steer the terminal, and must reach a file unchanged."""

import io
import sys

import pytest
from rich.console import Console

from cuhlm.cli.terminal import print_answer, visible

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
