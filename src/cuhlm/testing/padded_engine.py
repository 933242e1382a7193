"""An engine whose forward passes take as long as one wants: a fast model stands in for a large one on a server."""

import time
from collections import abc

from cuhlm.engines.base import Advance, Engine, Sequence, Tokenizer
from cuhlm.messages import Array, ModelCard
from cuhlm.theory.pacing import PassTime


class PaddedEngine:
    """Implements `engines.base.Engine` around another, which stays the caller's to close.

    Only `advance` is padded, which is how a batcher uses it.

    Args:
        engine: does the work.
        time: what a pass over 1 + n tokens takes at least.
    """

    def __init__(self, engine: Engine, time: PassTime) -> None:
        self._engine = engine
        self._time = time

    @property
    def card(self) -> ModelCard:
        """The other engine's."""
        return self._engine.card

    @property
    def tokenizer(self) -> Tokenizer:
        """The other engine's."""
        return self._engine.tokenizer

    def open(self) -> Sequence:
        """A new, empty sequence of the other engine."""
        return self._engine.open()

    def advance(self, batch: abc.Sequence[Advance]) -> list[Array]:
        """As the other engine, but not sooner."""
        ends = time.perf_counter() + self._time.seconds(sum(len(entry.tokens) for entry in batch) - 1)
        rows = self._engine.advance(batch)
        time.sleep(max(0.0, ends - time.perf_counter()))
        return rows

    def close(self) -> None:
        """Nothing of its own to free."""
