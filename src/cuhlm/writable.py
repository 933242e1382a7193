"""Writing results: whether one can be written, asked before the work that makes it, and no half-written ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cuhlm.errors import ConfigurationError


def check_writable(path: Path, what: str) -> None:
    """Refuse a path to which nothing can be written; what is there stays as it is.

    Args:
        path: of the file to be.
        what: the result, for the message: "the profile".

    Raises:
        ConfigurationError: with the system's reason.
    """
    existed = path.exists()
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise ConfigurationError(f"{what} {path} cannot be written: {error.strerror}; choose another path") from error
    if not existed:
        path.resolve().unlink()  # of a link that led nowhere, what it led to


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Another path to write to, which becomes `path` at the end; an interruption leaves `path` as it was."""
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    yield partial
    partial.replace(path)
