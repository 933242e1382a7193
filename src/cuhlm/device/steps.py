"""What the decoding loop asks of its driver, and what it gets back (design 3).

The loop does no I/O. It yields steps; a driver carries them out and resumes it with the result.
"""

from dataclasses import dataclass
from enum import StrEnum

from cuhlm.messages import Block, Verdict
from cuhlm.records import Stages, TokenRecord


@dataclass(frozen=True, slots=True)
class Send:
    """Hand `block` to the link. `stages` and `draft_passes` say what the device did for it so far."""

    block: Block
    stages: Stages = Stages()
    draft_passes: int = 0


@dataclass(frozen=True, slots=True)
class Receive:
    """Resume the loop with a `Reply`; with None where `wait` is false and no verdict has come."""

    wait: bool = True


@dataclass(frozen=True, slots=True)
class Emit:
    """A token is decided. `text` is what it adds to the answer that can be shown for certain."""

    record: TokenRecord
    text: str


Step = Send | Receive | Emit


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
    """The loop's result: why it ended, and text that was held back until then."""

    reason: Reason
    text: str
