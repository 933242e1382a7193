"""A link to a verifier in this very process: no socket, no copy (design 3).

For tests, and for `cuhlm generate --target FILE`. The verifier is handed in as an argument, because the link
may not import it.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from cuhlm.link.base import LinkSession, Traffic
from cuhlm.messages import Block, ModelCard, Opening, Verdict


class AnsweringSession(Protocol):
    """What the link needs of a verifier's session."""

    def prefill(self) -> None: ...  # noqa: D102
    def answer(self, block: Block) -> Iterator[Verdict]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Host(Protocol):
    """What the link needs of a verifier."""

    card: ModelCard

    def token_strings(self) -> Sequence[str]: ...  # noqa: D102
    def open(self, opening: Opening) -> AnsweringSession: ...  # noqa: D102


class InProcessLink:
    """Reaches the verifier it is given; the verifier stays the caller's to close."""

    def __init__(self, verifier: Host) -> None:
        self._verifier = verifier

    def describe(self) -> ModelCard:
        """The target's model card."""
        return self._verifier.card

    def token_strings(self) -> Sequence[str]:
        """The target's vocabulary."""
        return self._verifier.token_strings()

    def open(self, opening: Opening) -> LinkSession:
        """Begin a generation; see `Link.open`."""
        return InProcessSession(self._verifier.open(opening))

    def close(self) -> None:
        """Nothing to give back."""


class InProcessSession:
    """Answers are computed when they are received."""

    def __init__(self, session: AnsweringSession) -> None:
        self._session = session
        self._answers: Iterator[Verdict] = iter(())

    def ready(self) -> None:
        """Read the prompt."""
        self._session.prefill()

    def send(self, block: Block) -> None:
        """Hand a block over."""
        self._answers = self._session.answer(block)

    def receive(self, timeout_seconds: float | None) -> Verdict | None:  # noqa: ARG002 (never waits for a network)
        """The next verdict; None where the last block has no more."""
        return next(self._answers, None)

    def traffic(self) -> Traffic | None:
        """Nothing crosses a socket, so nothing is counted."""
        return None

    def close(self) -> None:
        """End the session."""
        self._session.close()
