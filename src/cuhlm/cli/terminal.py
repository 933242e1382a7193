"""Standard output and error: what models write must not steer a terminal, and a stream that fails is told of."""

import io
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

from cuhlm.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_TURNS = "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Ends of lines, and what turns the direction of the text behind it."""

Column = TypeVar("Column")


def visible(text: str) -> str:
    """`text` with every control character but line end and tab as its code: \\x1b."""
    return "".join(
        each if each.isprintable() or each in "\n\t" or not _controls(each) else f"\\x{ord(each):02x}" for each in text
    )


def print_answer(console: "Console", text: str, style: str) -> None:
    """Add `text` to an answer: coloured and harmless on a terminal; into a file or a pipe as it is, to the byte."""
    from rich.text import Text

    if console.is_terminal:
        console.print(Text(visible(text), style), end="")
    else:
        sys.stdout.write(text)
    sys.stdout.flush()


def fitting(
    table: Callable[[Sequence[Column]], "Table"], columns: Sequence[Column], dropped: Iterable[Column], width: int
) -> "Table":
    """What `table` makes of as many of `columns` as fit into `width`, leaving out those of `dropped` in turn."""
    for left_out in (None, *dropped):
        columns = [column for column in columns if column != left_out]
        made = table(columns)
        if needed_width(made) <= width:
            break
    return made


def needed_width(table: "Table") -> int:
    """Columns of a terminal in which nothing of `table` is cut or wrapped."""
    from rich.console import Console

    return Console(width=10**4).measure(table).maximum


def check_output() -> None:
    """Refuse to work for a standard output that is closed: the next file opened would get what is meant for it.

    Raises:
        ConfigurationError: it is.
    """
    if sys.stdout is None:
        raise ConfigurationError("standard output is closed; expected it open; send it to /dev/null, if to nowhere")


@contextmanager
def streams_watched() -> Generator[None, None, None]:
    """Standard output and error for a command: what they do not take is a `ConfigurationError`, and no traceback.

    Who reads standard output may stop: that ends the command in silence. Characters that its encoding does not have
    are written as codes: \\xe9.
    """
    with ExitStack() as stack:
        if sys.stdout is not None:
            stack.enter_context(redirect_stdout(cast(TextIO, _Output(sys.stdout))))
        errors = sys.stderr or stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        stack.enter_context(redirect_stderr(cast(TextIO, _Notes(errors))))
        yield


class _Output:
    """A stream, but for its failures."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As of any stream."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._fails(error)
        return len(text)

    def flush(self) -> None:
        """As of any stream."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fails(error)

    def _fails(self, error: OSError) -> None:
        """Drop what is left to write, which Python would try again at its end, and tell."""
        self._drop()
        if isinstance(error, BrokenPipeError):  # its reader has had enough: end as a program does that does not ask
            raise SystemExit(128 + signal.SIGPIPE)
        raise ConfigurationError(
            f"standard output cannot be written: {error.strerror}; expected room for what comes; send it elsewhere"
        ) from error

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class _Notes(_Output):
    """Standard error: what it does not take cannot be told anywhere, and the work goes on."""

    def _fails(self, error: OSError) -> None:  # noqa: ARG002
        self._drop()


def _controls(character: str) -> bool:
    return ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 or character in _TURNS
