"""A link on which chunks are late, lost or cut in two, and verdicts wait."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from cuhlm.link.base import Link, LinkSession, Traffic, ignored
from cuhlm.messages import Block, Chunk, ModelCard, Opening, Verdict


class Unsteady:
    """A link on which chunks are late, lost or cut in two, and verdicts wait."""

    def __init__(self, inner: Link, fates: Sequence[str], delays: Sequence[int]) -> None:
        self._inner, self._fates, self._delays = inner, fates, delays
        self.shares_machine = False

    def describe(self) -> ModelCard:
        return self._inner.describe()

    def vocabulary(self) -> Sequence[bytes]:
        return self._inner.vocabulary()

    def open(self, opening: Opening) -> LinkSession:
        return UnsteadySession(self._inner.open(opening), self._fates, self._delays)

    def close(self) -> None:
        pass


class UnsteadySession:
    """Of an unsteady link."""

    def __init__(self, inner: LinkSession, fates: Sequence[str], delays: Sequence[int]) -> None:
        self._inner, self._fates, self._delays = inner, fates, delays
        self._held: list[Chunk] = []
        self._verdict: Verdict | None = None
        self._chunks = self._verdicts = self._waits = 0

    def ready(self, heard: Callable[[int], None] = ignored) -> None:
        self._inner.ready(heard)

    def send(self, block: Block) -> None:
        self._inner.send(block)

    def offer(self, chunk: Chunk) -> None:
        fate = self._fates[self._chunks % len(self._fates)]
        self._chunks += 1
        if fate == "late":
            self._held.append(chunk)
        elif fate == "cut" and len(chunk.drafted) > 1:
            first, rest = slice(1), slice(1, None)
            self._inner.offer(replace(chunk, drafted=chunk.drafted[first], kept=chunk.kept[first]))
            self._inner.offer(
                replace(chunk, position=chunk.position + 1, drafted=chunk.drafted[rest], kept=chunk.kept[rest])
            )
        elif fate != "lost":
            self._inner.offer(chunk)

    def wake(self) -> None:
        self._inner.wake()

    def receive(self, timeout_seconds: float | None) -> Verdict | None:
        if self._verdict is None:
            self._verdict = self._inner.receive(timeout_seconds)
            if self._verdict is None:
                return None
            self._waits = self._delays[self._verdicts % len(self._delays)]
            self._verdicts += 1
        if self._waits:
            self._waits -= 1
            return None
        for chunk in self._held:
            self._inner.offer(chunk)
        self._held.clear()
        verdict, self._verdict = self._verdict, None
        return verdict

    def traffic(self) -> Traffic | None:
        return None

    def close(self) -> None:
        self._inner.close()
