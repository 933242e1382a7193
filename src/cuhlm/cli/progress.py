"""How far a command is: one line, drawn in place on a terminal; elsewhere a plain line now and then.

Results go to standard output, so a plain line goes to standard error, where it is seen when results go into a file.
"""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

PLAIN_SECONDS = 10.0
"""At least so much between two plain lines."""
_WIDE_ENOUGH_FOR_A_BAR = 60

Clock = Callable[[], float]


class Pace:
    """Some work, how much of it is done, and how long the rest will take if it goes on as it went."""

    def __init__(self, what: str, total: int, *, clock: Clock = time.monotonic) -> None:
        """Nothing is done of `total` units yet; of a total of 0 nobody knows how long it takes."""
        self.what, self.total, self.done = what, total, 0
        self._clock, self._began = clock, clock()

    def __str__(self) -> str:
        if not self.total:
            return self.what
        left = f", {_shown_seconds(self._seconds_left)} left" if 0 < self.done < self.total else ""
        return f"{self.what}: {self.done} of {self.total}{left}"

    @property
    def _seconds_left(self) -> float:
        return (self._clock() - self._began) * (self.total - self.done) / self.done


class ShownProgress:
    """One line about the work under way; a listener of an experiment's grid as it is."""

    def __init__(self, bar: Progress | None, *, clock: Clock = time.monotonic) -> None:
        """Shown on `bar`; without one, in plain lines."""
        self._bar, self._clock = bar, clock
        self._task = bar.add_task("", total=None) if bar else None
        self._shown_at = -PLAIN_SECONDS
        self._pace = Pace("", 0, clock=clock)

    def begins(self, what: str, total: int = 0, done: int = 0) -> None:
        """Work of `total` units; `done` of them were done before, which says nothing about the time left."""
        note = f" ({done} done before)" if done else ""
        self._pace = Pace(what + note, total - done, clock=self._clock)
        self.shows(self._pace)

    def advances(self, units: int = 1) -> None:
        """So much more of it is done."""
        self.is_at(self._pace.done + units)

    def is_at(self, done: int) -> None:
        """So much of it is done."""
        self._pace.done = done
        self.shows(self._pace)

    def says(self, what: str) -> None:
        """What is at work now."""
        self._pace.what = what
        self.shows(self._pace)

    def shows(self, pace: Pace, more: str = "") -> None:
        """Show `pace`, and after it something more."""
        if self._bar and self._task is not None:
            self._bar.update(self._task, description=f"{pace}{more}", completed=pace.done, total=pace.total or None)
        elif self._clock() - self._shown_at >= PLAIN_SECONDS:
            self._shown_at = self._clock()
            print(f"{pace}{more}", file=sys.stderr, flush=True)


@contextmanager
def shown_progress(console: Console) -> Generator[ShownProgress, None, None]:
    """Progress while something is done; what `console` prints meanwhile stands above it.

    Args:
        console: of the results. Where it is no terminal, progress is on standard error.
    """
    where = console if console.is_terminal else Console(stderr=True)
    if not where.is_terminal:
        yield ShownProgress(None)
        return
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False, table_column=_one_line(ratio=1))]
    if where.width >= _WIDE_ENOUGH_FOR_A_BAR:
        columns += [BarColumn(20), TimeElapsedColumn(table_column=_one_line())]
    with Progress(*columns, console=where, transient=True, expand=True, redirect_stdout=where is console) as bar:
        yield ShownProgress(bar)


def _one_line(ratio: int | None = None) -> Column:
    return Column(no_wrap=True, overflow="ellipsis", ratio=ratio)


def _shown_seconds(seconds: float) -> str:
    """A time for people, in its two largest units."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
