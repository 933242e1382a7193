"""Whether a position's logits depend on what else is in the forward pass (design 3, Numerics)."""

from collections import abc
from typing import Protocol

import numpy as np

from cuhlm.engines.base import Advance, Sequence
from cuhlm.messages import Array

RUN_LENGTH = 66
"""Tokens that the check reads at once: from 64 on, llama.cpp may take another attention kernel."""

_AGAIN = 24  # position from which tokens are read again; earlier, some variant settings show no difference
_STEPS = (*[1] * 24, 2, 3)  # one model's single rows differ from position 24 on, another's from 37
_STRIDE = 7919  # a prime: the run's tokens lie scattered over the vocabulary


class _Engine(Protocol):
    """What the check needs of an engine, which has no card yet."""

    def open(self) -> Sequence: ...

    def advance(self, batch: abc.Sequence[Advance]) -> list[Array]: ...


def is_batch_invariant(engine: _Engine, vocab_size: int, *, sequences: int) -> bool:
    """Evaluate one run of tokens in several shapes and compare the logits bit by bit.

    The shapes: all in one pass; after a suffix drop, one at a time, then two and three at once; and, where there is
    room, beside another sequence. It takes the time of about 100 tokens. False is proof; True is evidence: the check
    finds each of the variant settings of llama.cpp that we know, but reads no long context.

    Args:
        engine: with room for `RUN_LENGTH` tokens in each sequence, and none open; left as it was found.
        vocab_size: |V|.
        sequences: places the engine has; the check uses at most two.
    """
    run = [(index + 1) * _STRIDE % vocab_size for index in range(RUN_LENGTH)]
    opened = [engine.open() for _ in range(min(sequences, 2))]
    try:
        expected = opened[0].append(run, rows=RUN_LENGTH - _AGAIN)
        opened[0].drop(_AGAIN)
        return _in_steps(opened[0], run, expected) and all(
            _beside(engine, opened[0], other, run, expected) for other in opened[1:]
        )
    finally:
        for sequence in opened:
            sequence.close()


def _in_steps(sequence: Sequence, run: list[int], expected: Array) -> bool:
    for step in _STEPS:
        start = len(sequence)
        logits = sequence.append(run[start : start + step], rows=step)
        if not np.array_equal(logits, expected[start - _AGAIN : start - _AGAIN + step]):
            return False
    return True


def _beside(engine: _Engine, sequence: Sequence, other: Sequence, run: list[int], expected: Array) -> bool:
    start = len(sequence)
    logits = engine.advance([Advance(other, run[:3], rows=0), Advance(sequence, run[start : start + 2], rows=2)])[1]
    return np.array_equal(logits, expected[start - _AGAIN : start - _AGAIN + 2])
