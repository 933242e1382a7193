"""When an answer ends, and which of its text can be shown already."""

import codecs
from collections.abc import Callable
from dataclasses import dataclass

from cuhlm.device.steps import Reason
from cuhlm.errors import ConfigurationError
from cuhlm.given import texts, whole


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends an answer, beside the model itself.

    Attributes:
        max_tokens: tokens to generate at most.
        stop_strings: the answer ends before the first of these.
    """

    max_tokens: int = 256
    stop_strings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_tokens", whole("max tokens", self.max_tokens))
        object.__setattr__(self, "stop_strings", texts("the stop strings", self.stop_strings))
        if self.max_tokens < 1:
            raise ConfigurationError(f"max tokens is {self.max_tokens}; expected 1 or more")
        if "" in self.stop_strings:
            raise ConfigurationError("a stop string is empty; expected some text; leave it out")


class Ending:
    """Watches tokens as they are decided.

    Args:
        limits: see `Limits`.
        end_tokens: tokens that end the turn; they are never shown.
        room: tokens that still fit into both contexts.
        piece: the bytes a token adds to the text (`Tokenizer.piece`).

    Attributes:
        reason: why the answer has ended; None while it has not.
    """

    def __init__(self, limits: Limits, end_tokens: frozenset[int], room: int, piece: Callable[[int], bytes]) -> None:
        self.reason: Reason | None = None
        self._limits = limits
        self._end_tokens = end_tokens
        self._left = min(limits.max_tokens, room)
        self._full = Reason.MAX_TOKENS if limits.max_tokens <= room else Reason.CONTEXT_FULL
        self._piece = piece
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        if self._left <= 0:
            self.reason = self._full

    @property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end the turn."""
        return self._end_tokens

    @property
    def left(self) -> int:
        """Tokens that may still be generated."""
        return self._left

    def see(self, token: int) -> str:
        """Note that `token` was decided; returns the text that can be shown now."""
        self._left -= 1
        if token in self._end_tokens:
            self.reason = Reason.END_OF_TURN
            return ""
        self._held += self._characters.decode(self._piece(token))
        shown, self._held, stopped = _split(self._held, self._limits.stop_strings)
        if stopped:
            self.reason = Reason.STOP_STRING
        elif self._left <= 0:
            self.reason = self._full
        return shown

    def rest(self) -> str:
        """Text that was held back because a stop string might have begun in it."""
        if self.reason is Reason.STOP_STRING:
            return ""
        return self._held + self._characters.decode(b"", final=True)


def _split(text: str, stop_strings: tuple[str, ...]) -> tuple[str, str, bool]:
    """`text` as (may be shown, must wait, a stop string is in it)."""
    found = [at for stop in stop_strings if (at := text.find(stop)) >= 0]
    if found:
        return text[: min(found)], "", True
    waits = max((_overlap(text, stop) for stop in stop_strings), default=0)
    return text[: len(text) - waits], text[len(text) - waits :], False


def _overlap(text: str, stop: str) -> int:
    """Length of the longest proper beginning of `stop` with which `text` ends."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
