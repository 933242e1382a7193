"""A session that may be lost: it is opened anew in a thread of its own, as often as it takes (design 2.11)."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from cuhlm.errors import CuhlmError, LinkError
from cuhlm.link.base import Link, LinkSession, Traffic, ignored
from cuhlm.messages import Block, Chunk, Opening, Verdict

AGAIN_SECONDS = 1.0
"""Between two attempts."""


class LastingSession:
    """Implements `LinkSession` by the one that is open; what `receive` raises says that it is lost.

    Args:
        link: opens them.
        opening: of the first; those after it differ by their prompts.
    """

    def __init__(self, link: Link, opening: Opening) -> None:
        self._link = link
        self._opening = opening
        self._inner = link.open(opening)
        self._found: LinkSession | None = None
        self._looking: threading.Thread | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def ready(self, heard: Callable[[int], None] = ignored) -> None:
        """Wait for the first; see `LinkSession.ready`."""
        self._inner.ready(heard)

    def reopened(self, prompt: tuple[int, ...]) -> bool:
        """Whether another session is open now; does not wait.

        Args:
            prompt: what the lost one had decided, its own prompt included: the other goes on behind it.
        """
        if self._looking is None:
            self._inner.close()
            self._looking = threading.Thread(target=self._look, args=(prompt,), name="cuhlm-reopening", daemon=True)
            self._looking.start()
        with self._lock:
            if self._found is None:
                return False
            self._inner, self._found, self._looking = self._found, None, None
        return True

    def send(self, block: Block) -> None:
        """See `LinkSession.send`."""
        self._inner.send(block)

    def offer(self, chunk: Chunk) -> None:
        """See `LinkSession.offer`."""
        self._inner.offer(chunk)

    def wake(self) -> None:
        """See `LinkSession.wake`."""
        self._inner.wake()

    def receive(self, timeout_seconds: float | None) -> Verdict | None:
        """See `LinkSession.receive`."""
        return self._inner.receive(timeout_seconds)

    def traffic(self) -> Traffic | None:
        """Of the session that is open now."""
        return self._inner.traffic()

    def close(self) -> None:
        """End the session, and the search for another."""
        self._closed.set()
        self._inner.close()
        with self._lock:
            found, self._found = self._found, None
        if found is not None:
            found.close()

    def _look(self, prompt: tuple[int, ...]) -> None:
        """Try until one is open, the verifier says that it never will be, or nobody wants it any more."""
        with suppress(CuhlmError):  # but a lost link: told no sooner than the answer ends without it
            while not self._closed.is_set():
                try:
                    self._keep(self._opened(prompt))
                    return
                except LinkError:
                    self._closed.wait(AGAIN_SECONDS)

    def _opened(self, prompt: tuple[int, ...]) -> LinkSession:
        session = self._link.open(replace(self._opening, prompt=prompt))
        try:
            session.ready()
        except BaseException:
            session.close()
            raise
        return session

    def _keep(self, session: LinkSession) -> None:
        with self._lock:
            if not self._closed.is_set():
                self._found = session
                return
        session.close()
