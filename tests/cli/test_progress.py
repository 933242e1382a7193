"""How far a command is, in one line."""

import io

import pytest
from rich.console import Console

from cuhlm.cli.progress import PLAIN_SECONDS, Pace, ShownProgress, shown_progress


class Clock:
    """Goes by the seconds it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "done", "expected"),
    [
        (5, 0, "decoding: 0 of 40"),
        (5, 10, "decoding: 10 of 40, 15 s left"),
        (600, 10, "decoding: 10 of 40, 30 min left"),
        (3600, 10, "decoding: 10 of 40, 3 h 0 min left"),
        (3600, 40, "decoding: 40 of 40"),
    ],
)
def test_a_pace_says_what_is_done_and_how_long_the_rest_takes_at_that_pace(
    seconds: float, done: int, expected: str
) -> None:
    clock = Clock()
    pace = Pace("decoding", 40, clock=clock)
    clock.now, pace.done = seconds, done
    assert str(pace) == expected


def test_without_a_terminal_there_is_a_plain_line_on_standard_error_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    progress = ShownProgress(None, clock=clock)
    progress.begins("decoding", 100, done=60)
    for _ in range(40):
        clock.now += PLAIN_SECONDS / 16
        progress.advances()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "decoding (60 done before): 0 of 40",
        "decoding (60 done before): 16 of 40, 15 s left",
        "decoding (60 done before): 32 of 40, 5 s left",
    ]


@pytest.mark.parametrize("width", [10, 20, 40, 60, 80, 200])
def test_on_a_terminal_there_is_one_line_of_any_width_and_none_is_left(width: int) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=width)
    with shown_progress(console) as progress:
        progress.begins("a long description of what is at work [/] just now", 3)
        for _ in range(3):
            progress.advances()
            console.print("an answer", end="\n", crop=True)
    text = shown.getvalue()
    assert "a lon" in text
    assert text.count("\x1b[1A") <= 1, "a line that is two lines high is drawn anew from the upper one"
    assert text.count("\n") == 4, "three answers, and the end of the line that is then taken away"


def test_results_in_a_pipe_have_no_progress_among_them(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(Console()) as progress:
        progress.begins("decoding", 3)
        print("a result")
    out, err = capsys.readouterr()
    assert (out, err) == ("a result\n", "decoding: 0 of 3\n")
