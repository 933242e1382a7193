"""Writing results: whether one can be written, asked before the work that makes it, and no half-written ones."""

import os
import re
import reprlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cuhlm.errors import ConfigurationError

_COMPONENT = re.compile(r"(?!\.)[\w.-]{1,100}", re.ASCII)


def check_component(name: str, what: str) -> None:
    """Refuse a name from a file or a command line that is to be part of a path, but says more than a name.

    Args:
        name: to become a file's or a folder's, or a part of it.
        what: it names, for the message: "the prompt set".

    Raises:
        ConfigurationError: it is not one plain component.
    """
    if not _COMPONENT.fullmatch(name):
        raise ConfigurationError(
            f"the name {reprlib.repr(name)} of {what} cannot name a file; expected up to 100 letters, digits, '.', '_' "
            "and '-', and first no '.'; give another"
        )


def check_writable(path: Path, what: str) -> None:
    """Refuse a path to which nothing can be written; what is there stays as it is.

    Args:
        path: of the file to be.
        what: the result, for the message: "the profile".

    Raises:
        ConfigurationError: with the system's reason.
    """
    existed = path.exists()
    if path.is_fifo():  # opened and closed, it would end for its reader
        return
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise unwritable(path, what, error) from error
    if not existed:
        path.resolve().unlink()  # of a link that led nowhere, what it led to


def unwritable(path: Path, what: str, error: OSError) -> ConfigurationError:
    """The error to raise where the result `what` cannot be written to `path`."""
    return ConfigurationError(f"{what} {path} cannot be written: {error.strerror or error}; choose another path")


@contextmanager
def written_whole(path: Path, what: str = "the file", *, shared: bool = False) -> Iterator[Path]:
    """Another path to write to, which becomes `path` at the end; whatever fails before leaves `path` as it was.

    Args:
        path: of the file to be.
        what: it is, for the message.
        shared: whether other processes write into this folder; two of them then never write one file. Where none do,
            what a killed process left is written over by the next.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    whole = path.resolve()  # a link stays one
    owner = f".{os.getpid()}" if shared else ""
    replaced = _can_be_replaced(whole)
    partial = whole.with_name(f"{whole.stem[:100]}{owner}.partial{whole.suffix}") if replaced else whole
    try:
        yield partial
        if replaced:
            if whole.exists():
                shutil.copymode(whole, partial)
            partial.replace(whole)
    except OSError as error:
        raise unwritable(path, what, error) from error
    finally:
        if replaced:
            with suppress(OSError):
                partial.unlink()


def _can_be_replaced(path: Path) -> bool:
    """Whether another file can take its place: a device or a pipe is none, and some folders take no new file."""
    return (path.is_file() or not path.exists()) and os.access(path.parent, os.W_OK)


def write_whole(path: Path, text: str, what: str = "the file", *, shared: bool = False) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all; arguments and errors as those of `written_whole`."""
    with written_whole(path, what, shared=shared) as partial:
        partial.write_text(text, encoding="utf-8")
