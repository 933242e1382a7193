"""What holds memory, threads or connections, and gives them back."""

from types import TracebackType
from typing import Self


class Closing:
    """A context manager of whatever has a `close`."""

    def close(self) -> None:
        """Give back what it holds; closing twice is allowed."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
