"""Work that needs a model: a flow asks for forward passes and thinks in between, and reads long texts in pieces.

A flow is a generator that yields an `Advance`, is sent the `Rows` that came of it, and returns a result. It may also
yield a `Wait`, and is resumed with None. It does not run itself: `cuhlm.engines.model_thread` runs many side by side.
"""

import math
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from cuhlm.engines.base import Advance
from cuhlm.messages import Array

T = TypeVar("T")

PIECE = 32
"""A long text is cut at multiples of this position, and whoever wants a token waits for one piece of another's text.
On two cores of a CPU the built-in target reads 157 to 169 tokens/s in pieces of 256, 146 to 160 in pieces of 32, 139 to
147 in pieces of 8."""

SHORT = 16
"""Tokens that are read whole and in every pass: a block to be judged, a lone token. More is a text, and takes turns."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What came of an `Advance`.

    Attributes:
        logits: shape (rows, |V|), float32, owned by the receiver.
        seconds: the forward passes', each split by tokens among those that shared it.
    """

    logits: Array
    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """A flow waits until `is_over()`, which is asked whenever something comes (`Batcher.call`) and between passes.

    Attributes:
        is_over: must not wait.
        until: at the latest, by `time.monotonic`.
    """

    is_over: Callable[[], bool]
    until: float = math.inf

    def ends(self) -> bool:
        """Whether it is over."""
        return self.is_over() or time.monotonic() >= self.until


Flow = Generator[Advance | Wait, Rows, T]


@dataclass(slots=True, eq=False)
class UnderWay:
    """A flow that has begun.

    Attributes:
        flow: whose turn it is.
        done: its result.
        wanted: the `Advance` that it waits for; None while it waits for something else, and once it has ended.
        waits: what else it waits for; None where it does not.
        begun_at: length of its sequence before that.
        read: tokens of it that have been read.
        seconds: that it took so far.
    """

    flow: Flow[Any]
    done: "Future[Any]"
    wanted: Advance | None = None
    waits: Wait | None = None
    begun_at: int = 0
    read: int = 0
    seconds: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether it wants nothing any more."""
        return self.wanted is None and self.waits is None

    @property
    def is_long(self) -> bool:
        """Whether more is left to read than goes into every pass."""
        return self.wanted is not None and len(self.wanted.tokens) - self.read > SHORT

    def piece(self) -> Advance:
        """What it reads next: all that is left, or up to the next cut. Cuts depend on positions alone."""
        assert self.wanted is not None
        sequence, tokens = self.wanted.sequence, self.wanted.tokens[self.read :]
        to_cut = PIECE - len(sequence) % PIECE
        without_rows = len(tokens) - self.wanted.rows
        if not self.is_long or len(tokens) <= to_cut or without_rows <= 0:
            return Advance(sequence, tokens, self.wanted.rows)
        return Advance(sequence, tokens[: min(to_cut, without_rows)], 0)

    def has_read(self, piece: Advance, logits: Array, seconds: float) -> Rows | None:
        """Note what came of a `piece`; the rows once all is read."""
        assert self.wanted is not None
        self.read += len(piece.tokens)
        self.seconds += seconds
        return Rows(logits, self.seconds) if self.read == len(self.wanted.tokens) else None

    def resume(self, rows: Rows | BaseException | None) -> None:
        """Let the flow think, unless it was cancelled: with None to begin, with rows, or with what went wrong."""
        if self.done.cancelled():
            self.leave()
            return
        try:
            wanted = self.flow.throw(rows) if isinstance(rows, BaseException) else self.flow.send(rows)  # type: ignore[arg-type]
            begun_at = 0 if isinstance(wanted, Wait) else _checked(wanted)
        except StopIteration as end:
            self._end(result=end.value)
        except BaseException as error:  # whatever it is belongs to whoever waits for the flow
            self._end(error=error)
        else:
            self.wanted, self.waits = (None, wanted) if isinstance(wanted, Wait) else (wanted, None)
            self.begun_at = begun_at
            self.read, self.seconds = 0, 0.0

    def look(self) -> None:
        """Let the flow go on if what it waits for is over; what goes wrong in asking is the flow's."""
        while self.waits is not None:
            try:
                if not self.waits.ends():
                    return
            except BaseException as error:
                self.resume(error)
            else:
                self.resume(None)

    def leave(self) -> None:
        """End the flow where it is; what it says to that is nobody's concern any more."""
        self.wanted = self.waits = None
        with suppress(BaseException):
            self.flow.close()

    def _end(self, *, result: Any = None, error: BaseException | None = None) -> None:
        self.wanted = self.waits = None
        tell(self.done, result, error)


def _checked(wanted: Advance) -> int:
    """The length of the sequence that is to be advanced, by what an engine can take."""
    if not (isinstance(wanted, Advance) and isinstance(wanted.rows, int) and 0 <= wanted.rows <= len(wanted.tokens)):
        raise ValueError(f"a flow yields {wanted!r}; expected an Advance with 0 to all rows of its tokens")
    return len(wanted.sequence)


def tell(done: "Future[Any]", result: Any, error: BaseException | None) -> None:
    """Give `done` its result or its error, unless it was cancelled meanwhile: then nobody waits any more.

    What those raise who are told of it is theirs: concurrent.futures logs it, but for a `SystemExit` and its like.
    """
    with suppress(InvalidStateError, SystemExit, KeyboardInterrupt, GeneratorExit):
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)
