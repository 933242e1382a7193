"""An engine that recalls reads what is new, and nothing twice."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.engines.recalling import RecallingEngine
from cuhlm.messages import Array
from cuhlm.testing import ToyEngine
from cuhlm.testing.toy_engine import ToySequence

VOCAB = 5


class _CountingEngine(ToyEngine):
    """Counts the tokens that it reads."""

    def __init__(self) -> None:
        super().__init__(vocab_size=VOCAB)
        self.read = 0

    def open(self) -> ToySequence:
        return _CountingSequence(self)


class _CountingSequence(ToySequence):
    engine: _CountingEngine

    def append(self, tokens: Sequence[int], rows: int = 1) -> Array:
        self.engine.read += len(tokens)
        return super().append(tokens, rows)


texts = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=8)


@given(st.lists(texts, min_size=1, max_size=6), st.booleans(), st.data())
def test_rows_are_those_of_the_engine_below_whatever_was_read_before(
    several: list[list[int]], ahead: bool, data: st.DataObject
) -> None:
    below = ToyEngine(vocab_size=VOCAB)
    recalling = RecallingEngine(_CountingEngine(), ahead=ahead)
    for text in several:
        rows = data.draw(st.integers(0, len(text)))
        expected, found = (engine.open().append(text, rows) for engine in (below, recalling))
        assert np.array_equal(found, expected)


@given(texts, texts, texts, st.booleans())
def test_a_common_beginning_is_read_once(
    beginning: list[int], first: list[int], second: list[int], ahead: bool
) -> None:
    below = _CountingEngine()
    recalling = RecallingEngine(below, ahead=ahead)
    for end in (first, second, first):
        sequence = recalling.open()
        sequence.append(beginning)
        for token in end:
            sequence.append([token])
    assert below.read <= len(beginning) + len(first) + len(second)


def test_a_text_that_is_read_without_rows_is_read_when_one_is_wanted() -> None:
    below = _CountingEngine()
    sequence = RecallingEngine(below, ahead=True).open()
    assert sequence.append([1, 2, 3], rows=0).shape == (0, VOCAB)
    assert (len(sequence), below.read) == (3, 0)
    sequence.append([4])
    assert below.read == 4
    assert np.array_equal(sequence.append([2]), ToyEngine(vocab_size=VOCAB).open().append([1, 2, 3, 4, 2]))
    assert below.read == 5
