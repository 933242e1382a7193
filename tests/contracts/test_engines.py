"""Every engine keeps the contract of `cuhlm.testing.check_engine`, and the contract notices one that does not."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from cuhlm.engines.batching import Batcher
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.load import load_engine
from cuhlm.engines.locate import BUILT_IN_DRAFT, BUILT_IN_TARGET
from cuhlm.engines.recalling import RecallingEngine
from cuhlm.messages import Array
from cuhlm.testing import ENGINE_CHECKS, EngineCheck, ToyEngine, check_engine
from cuhlm.testing.toy_engine import ToySequence


@pytest.fixture(scope="module", params=[BUILT_IN_DRAFT, BUILT_IN_TARGET])
def engine(request: pytest.FixtureRequest) -> Iterator[LlamaCppEngine]:
    engine = load_engine(request.param, context_length=40, sequences=8)
    yield engine
    engine.close()


@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
def test_llama_cpp_keeps_the_contract(check: EngineCheck, engine: LlamaCppEngine) -> None:
    check(engine)


def test_llama_cpp_keeps_the_contract_until_it_is_closed() -> None:
    check_engine(lambda: load_engine(BUILT_IN_DRAFT, context_length=40, sequences=8))


@pytest.mark.parametrize("vocab_size", [3, 16, 512])
def test_a_toy_engine_keeps_the_contract(vocab_size: int) -> None:
    check_engine(lambda: ToyEngine(vocab_size=vocab_size, end_token=vocab_size - 1, noise=0.5))


@pytest.mark.parametrize("ahead", [False, True])
def test_an_engine_that_recalls_keeps_the_contract_of_the_one_below(ahead: bool) -> None:
    check_engine(lambda: RecallingEngine(ToyEngine(vocab_size=16, end_token=15, noise=0.5), ahead=ahead))


def test_a_batcher_keeps_the_contract_of_the_one_below() -> None:
    check_engine(lambda: Batcher(ToyEngine(vocab_size=16, end_token=15, noise=0.5)))


class _KeepsDropped(ToySequence):
    def drop(self, length: int) -> None:
        super().drop(length)
        self.tokens[-1:] = [0] * min(1, length)


class _ReturnsFirstRows(ToySequence):
    def append(self, tokens: Sequence[int], rows: int = 1) -> Array:
        return super().append(tokens, len(tokens))[:rows] if tokens else super().append(tokens, rows)


class _LendsItsLogits(ToySequence):
    def append(self, tokens: Sequence[int], rows: int = 1) -> Array:
        logits = super().append(tokens, rows)
        logits.flags.writeable = False
        return logits


class _Truncates(ToySequence):
    def append(self, tokens: Sequence[int], rows: int = 1) -> Array:
        room = self.engine.card.context_length - len(self)
        return super().append(tokens[:room], min(rows, room))


class _DependsOnTheBatch(ToySequence):
    def append(self, tokens: Sequence[int], rows: int = 1) -> Array:
        return super().append(tokens, rows) + np.float32(1e-6 * len(tokens))


@pytest.mark.parametrize("broken", [_KeepsDropped, _ReturnsFirstRows, _LendsItsLogits, _Truncates, _DependsOnTheBatch])
def test_the_contract_notices(broken: Callable[[ToyEngine], ToySequence]) -> None:
    class BrokenEngine(ToyEngine):
        def open(self) -> ToySequence:
            super().open()
            return broken(self)

    with pytest.raises(AssertionError, match="not so: "):
        check_engine(BrokenEngine)


def test_the_contract_notices_an_engine_that_never_runs_out_of_places() -> None:
    with pytest.raises(AssertionError, match="a bound"):
        check_engine(lambda: ToyEngine(sequences=10**6))
