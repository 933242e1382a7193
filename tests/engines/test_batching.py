"""The thread that owns the target model."""

import threading
from collections.abc import Sequence as Row
from contextlib import closing

import numpy as np
import pytest
from tests.eventually import HANG_SECONDS

from cuhlm.engines.base import Advance
from cuhlm.engines.batching import Batcher
from cuhlm.errors import ContextOverflow, LinkError
from cuhlm.messages import Array
from cuhlm.testing import ToyEngine


class LosesRows(ToyEngine):
    """An engine with a bug: now and then it forgets a sequence."""

    forgets = True

    def advance(self, batch: Row[Advance]) -> list[Array]:
        rows = super().advance(batch)
        return rows[:-1] if self.forgets else rows


def test_passes_that_wait_together_get_the_logits_they_would_get_alone() -> None:
    engine = ToyEngine()
    results: dict[int, Array] = {}
    with closing(Batcher(engine)) as batcher:

        def advance(token: int) -> None:
            results[token] = batcher.advance(batcher.open(), 0, (1, token), 1).logits

        threads = [threading.Thread(target=advance, args=(token,)) for token in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_SECONDS)
    assert all(np.array_equal(results[token][0], engine.logits([1, token])) for token in range(4))


def test_one_that_does_not_fit_fails_alone() -> None:
    with closing(Batcher(ToyEngine(context_length=4))) as batcher:
        sequence = batcher.open()
        with pytest.raises(ContextOverflow):
            batcher.advance(sequence, 0, (1,) * 9, 1)
        assert batcher.advance(sequence, 0, (1, 2), 1).logits.shape == (1, 16)


def test_an_engine_that_answers_too_little_does_not_end_the_thread() -> None:
    engine = LosesRows()
    with closing(Batcher(engine)) as batcher:
        sequence = batcher.open()
        with pytest.raises(RuntimeError, match="0 of 1 sequences"):
            batcher.advance(sequence, 0, (1,), 1)
        engine.forgets = False
        assert batcher.advance(sequence, 0, (1, 2), 1).logits.shape == (1, 16)


def test_whoever_comes_while_it_closes_is_answered_or_told() -> None:
    for _ in range(50):
        batcher = Batcher(ToyEngine())
        sequences = [batcher.open() for _ in range(4)]
        outcomes: list[str] = []

        def advance(number: int, batcher: Batcher = batcher, sequences: list = sequences, to: list = outcomes) -> None:
            try:
                batcher.advance(sequences[number], 0, (1,), 1)
                to.append("answered")
            except LinkError:
                to.append("told")

        threads = [threading.Thread(target=advance, args=(number,), daemon=True) for number in range(4)]
        for thread in threads:
            thread.start()
        batcher.close()
        for thread in threads:
            thread.join(HANG_SECONDS)
        assert len(outcomes) == 4
        batcher.discard(sequences[0])  # too late to matter, and no mistake


def test_a_closed_one_takes_no_work() -> None:
    batcher = Batcher(ToyEngine())
    batcher.close()
    batcher.close()
    with pytest.raises(LinkError, match="shutting down"):
        batcher.open()
