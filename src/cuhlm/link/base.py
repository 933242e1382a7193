"""The seam between device and network: a link reaches one verifier (design 3).

Links: `in_process` (the verifier is handed in), `grpc`, and `simulated` around either.
`cuhlm.testing.check_link` says what every link must do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cuhlm.messages import Block, Chunk, ModelCard, Opening, Verdict


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes on a socket: TCP payload, with HTTP/2 and gRPC framing, without IP headers."""

    up: int
    down: int


def ignored(_prompt_read: int) -> None:
    """Where nobody wants to hear how far the target has read."""


class LinkSession(Protocol):
    """One generation with the verifier."""

    def ready(self, heard: Callable[[int], None] = ignored) -> None:
        """Wait until the verifier has taken the session; once, before anything is sent.

        Args:
            heard: is told now and then how many tokens of the prompt the target has read, here and later in `receive`.

        Raises:
            VerifierBusy, Unauthenticated, ContextOverflow, ProtocolError, LinkError
        """
        ...

    def send(self, block: Block) -> None:
        """Hand a block over; does not wait.

        Raises:
            LinkError: the verifier is known to be lost.
            ProtocolError: it refused an earlier block.
        """
        ...

    def offer(self, chunk: Chunk) -> None:
        """Stream drafts ahead of the verdicts on a block that generates; does not wait, and nothing answers it.

        Where the verifier is lost nothing happens: `receive` says so, behind the verdicts that came before.
        """
        ...

    def wake(self) -> None:
        """Let a `receive` that another thread waits in return None; if none does, perhaps the next one."""
        ...

    def receive(self, timeout_seconds: float | None) -> Verdict | None:
        """The next verdict.

        Args:
            timeout_seconds: None waits until the link's own deadline; 0 only looks.

        Returns:
            The verdict, or None where `timeout_seconds` passed first, or `wake` was called.

        Raises:
            LinkTimeout: the link's deadline passed.
            LinkError: the verifier is lost.
            ProtocolError: the verifier refused the block.
        """
        ...

    def traffic(self) -> Traffic | None:
        """Bytes on the socket since the verifier took the session; None where nothing is counted."""
        ...

    def close(self) -> None:
        """End the session, and any wait for the verifier in another thread; closing twice is allowed."""
        ...


class Link(Protocol):
    """A way to one verifier.

    Attributes:
        shares_machine: whether the verifier computes where the device does, so that each slows the other.
    """

    shares_machine: bool

    def describe(self) -> ModelCard:
        """The target's model card."""
        ...

    def vocabulary(self) -> Sequence[bytes]:
        """What the target's tokens stand for, for naming the first in which a pair differs."""
        ...

    def open(self, opening: Opening) -> LinkSession:
        """Begin a generation; `LinkSession.ready` waits for the verifier.

        Raises:
            VerifierBusy, ProtocolError: where the verifier answers at once.
        """
        ...

    def close(self) -> None:
        """Give connections back; closing twice is allowed."""
        ...
