"""What the decoding loop asks of its driver, and what it gets back (design 3).

The loop does no I/O. It yields steps; a driver carries them out and resumes it with the result.
"""

from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cuhlm.device.keeping import RiskReport
from cuhlm.messages import Block, Chunk, Verdict
from cuhlm.records import Stages, TokenRecord


@dataclass(frozen=True, slots=True)
class Send:
    """Hand `block` to the link. `stages` and `draft_passes` say what the device did for it so far."""

    block: Block
    stages: Stages = Stages()
    draft_passes: int = 0


@dataclass(frozen=True, slots=True)
class Stream:
    """Hand `chunk` to the link: drafts streamed ahead, that nothing answers."""

    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Receive:
    """Resume the loop with a `Reply`; with None where `wait` is false and no verdict has come, or `until` is done."""

    wait: bool = True
    until: "Future[Any] | None" = None


@dataclass(slots=True)
class Reopen:
    """Look for a verifier that was lost; the loop is resumed once `until` is done.

    Attributes:
        prompt: what the new session goes on behind.
        until: is waited for; None does not wait.
        has_succeeded: whether a new session is open: the driver says so.
    """

    prompt: tuple[int, ...]
    until: "Future[Any] | None" = None
    has_succeeded: bool = False


@dataclass(frozen=True, slots=True)
class Emit:
    """A token is decided. `text` is what it adds to the answer that can be shown for certain."""

    record: TokenRecord
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The target reads the prompt, which can take long.

    Attributes:
        tokens: that it has read.
        total: tokens of the prompt.
    """

    tokens: int
    total: int


@dataclass(frozen=True, slots=True)
class Drafted:
    """What is drafted behind the decided text, and not decided yet: it may be shown, as what it is.

    Attributes:
        position: of the first.
        tokens: each behind the other; none where the last ones fell.
        text: of them; may end within a character.
    """

    position: int
    tokens: tuple[int, ...]
    text: str


Step = Send | Stream | Receive | Reopen | Emit | Drafted


@dataclass(frozen=True, slots=True)
class Reply:
    """A verdict, and what it cost on the link.

    Attributes:
        verdict: the verifier's answer.
        seconds: since the block was handed over, or since the last verdict.
        bytes_up: bytes sent on the socket meanwhile; None where they were not counted.
        bytes_down: bytes received, likewise.
    """

    verdict: Verdict
    seconds: float
    bytes_up: int | None = None
    bytes_down: int | None = None


class Reason(StrEnum):
    """Why an answer ended."""

    END_OF_TURN = "end of turn"
    STOP_STRING = "stop string"
    MAX_TOKENS = "max tokens"
    CONTEXT_FULL = "context full"


@dataclass(frozen=True, slots=True)
class Finish:
    """The loop's result.

    Attributes:
        reason: why the answer ended.
        text: that was held back until then.
        risk: what was risked, where the method has a budget.
    """

    reason: Reason
    text: str
    risk: RiskReport | None = None
