"""A link to a verifier in this very process: no socket, no copy (design 3).

For tests, and for `cuhlm generate --target FILE`. The verifier is handed in as an argument, because the link
may not import it.
"""

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait
from typing import Protocol

from cuhlm.closing import Closing
from cuhlm.errors import LinkError
from cuhlm.link.base import LinkSession, Traffic, ignored
from cuhlm.messages import Block, Chunk, ModelCard, Opening, Verdict

HEARD_SECONDS = 0.5
"""How often it is told how far the target has read."""


class AnsweringSession(Protocol):
    """What the link needs of a verifier's session."""

    @property
    def prompt_read(self) -> int: ...  # noqa: D102
    def prefill(self) -> "Future[None]": ...  # noqa: D102
    def answer(self, block: Block, tell: Callable[[Verdict], None]) -> "Future[None]": ...  # noqa: D102
    def offer(self, chunk: Chunk) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Host(Protocol):
    """What the link needs of a verifier."""

    card: ModelCard

    def vocabulary(self) -> Sequence[bytes]: ...  # noqa: D102
    def open(self, opening: Opening) -> AnsweringSession: ...  # noqa: D102


class InProcessLink(Closing):
    """Reaches the verifier it is given; the verifier stays the caller's to close."""

    def __init__(self, verifier: Host) -> None:
        self.shares_machine = True
        self._verifier = verifier

    def describe(self) -> ModelCard:
        """The target's model card."""
        return self._verifier.card

    def vocabulary(self) -> Sequence[bytes]:
        """What the target's tokens stand for."""
        return self._verifier.vocabulary()

    def open(self, opening: Opening) -> LinkSession:
        """Begin a generation; see `Link.open`."""
        return InProcessSession(self._verifier.open(opening))

    def close(self) -> None:
        """Nothing to give back."""


_Inbox = queue.SimpleQueue["Verdict | Future[None] | None"]
"""The verdicts of one answer, then its end; None wakes who waits."""


class InProcessSession:
    """Verdicts are made while the device goes on, as behind a network."""

    def __init__(self, session: AnsweringSession) -> None:
        self._session = session
        self._inbox: _Inbox = queue.SimpleQueue()
        self._inbox.put(_nothing_asked())

    def ready(self, heard: Callable[[int], None] = ignored) -> None:
        """Read the prompt."""
        reading = self._session.prefill()
        while not wait((reading,), HEARD_SECONDS).done:
            heard(self._session.prompt_read)
        _outcome(reading)

    def send(self, block: Block) -> None:
        """Hand a block over."""
        inbox: _Inbox = queue.SimpleQueue()
        self._inbox = inbox  # what an answer that was given up still says goes to the old one
        self._session.answer(block, inbox.put).add_done_callback(inbox.put)

    def offer(self, chunk: Chunk) -> None:
        """Stream drafts ahead."""
        self._session.offer(chunk)

    def wake(self) -> None:
        """End the wait of another thread."""
        self._inbox.put(None)

    def receive(self, timeout_seconds: float | None) -> Verdict | None:
        """The next verdict; None where there is none within the time, or the last block has no more."""
        waits = timeout_seconds is None or timeout_seconds > 0
        try:
            item = self._inbox.get(waits, timeout_seconds if waits else None)
        except queue.Empty:
            return None
        if not isinstance(item, Future):
            return item
        self._inbox.put(item)  # whoever asks again hears the same
        _outcome(item)
        return None

    def traffic(self) -> Traffic | None:
        """Nothing crosses a socket, so nothing is counted."""
        return None

    def close(self) -> None:
        """End the session."""
        self._session.close()


def _outcome(work: "Future[None]") -> None:
    """Wait for the end of `work`, and raise its error."""
    try:
        work.result()
    except CancelledError:
        raise LinkError("the session was closed while it was waited for; open another") from None


def _nothing_asked() -> "Future[None]":
    done: Future[None] = Future()
    done.set_result(None)
    return done
