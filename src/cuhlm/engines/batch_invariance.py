"""Whether a position's logits depend on what else is in the forward pass (design 3, Numerics)."""

from collections.abc import Sequence as Row
from typing import Protocol

import numpy as np

from cuhlm.engines.base import Advance, Sequence
from cuhlm.messages import Array

RUN_LENGTH = 24
_STEPS = (1, 1, 2, 5)
_STRIDE = 7919  # a prime: the run's tokens lie scattered over the vocabulary


class _Engine(Protocol):
    """What the check needs of an engine, which has no card yet."""

    def open(self) -> Sequence: ...

    def advance(self, batch: Row[Advance]) -> list[Array]: ...


def is_batch_invariant(engine: _Engine, vocab_size: int, *, sequences: int = 1) -> bool:
    """Evaluate one run of tokens in several shapes and compare the logits bit by bit.

    The shapes: all in one pass; the last ones again after a suffix drop, one at a time, two and five at once; and,
    where there is room, beside another sequence. It takes about 45 tokens' time. True is strong evidence, no proof;
    False is proof.

    Args:
        engine: with `sequences` free places for `RUN_LENGTH` tokens; left as it was found.
        vocab_size: |V|.
        sequences: places the engine has; the check uses at most two.
    """
    run = [(index + 1) * _STRIDE % vocab_size for index in range(RUN_LENGTH)]
    opened = [engine.open() for _ in range(min(sequences, 2))]
    try:
        expected = opened[0].append(run, rows=RUN_LENGTH)
        return _alone(opened[0], run, expected) and all(
            _beside(engine, opened[0], other, run, expected) for other in opened[1:]
        )
    finally:
        for sequence in opened:
            sequence.close()


def _alone(sequence: Sequence, run: list[int], expected: Array) -> bool:
    position = RUN_LENGTH - sum(_STEPS)
    sequence.drop(position)
    for step in _STEPS:
        following = position + step
        logits = sequence.append(run[position:following], rows=step)
        if not np.array_equal(logits, expected[position:following]):
            return False
        position = following
    return True


def _beside(engine: _Engine, sequence: Sequence, other: Sequence, run: list[int], expected: Array) -> bool:
    position = RUN_LENGTH - 2
    sequence.drop(position)
    logits = engine.advance([Advance(other, run[:5], rows=0), Advance(sequence, run[position:], rows=2)])
    return np.array_equal(logits[1], expected[position:])
