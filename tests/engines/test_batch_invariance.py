"""The logits of a position are the same bits, whatever else is in the forward pass (design 3, Numerics)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from cuhlm.engines import libllama
from cuhlm.engines.base import Advance
from cuhlm.engines.cores import usable_cpus
from cuhlm.engines.llama_cpp import LlamaCppEngine, LlamaCppSequence
from cuhlm.engines.locate import BUILT_IN_DRAFT, BUILT_IN_TARGET, locate
from cuhlm.messages import Array

LENGTH = 700  # over 512 cells llama.cpp may split a row's attention among threads
MODELS = {"draft_engine": BUILT_IN_DRAFT, "target_engine": BUILT_IN_TARGET}


@dataclass(frozen=True)
class Reading:
    """A run of tokens, its logits read in one go (shape (700, |V|)), and a sequence to read it again with."""

    name: str
    engine: LlamaCppEngine
    sequence: LlamaCppSequence
    run: list[int]
    logits: Array

    def same(self, logits: Array, start: int) -> bool:
        return np.array_equal(logits, self.logits[start : start + len(logits)])


def _run(engine: LlamaCppEngine, seed: int, length: int = LENGTH) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(5, engine.card.vocab_size, length)]


@pytest.fixture(scope="module", params=MODELS)
def reading(request: pytest.FixtureRequest) -> Iterator[Reading]:
    engine = request.getfixturevalue(request.param)
    run = _run(engine, seed=1)
    sequence = engine.open()
    yield Reading(MODELS[request.param], engine, sequence, run, sequence.append(run, rows=LENGTH))
    sequence.close()


# Longer steps cover the last 220 to 256 positions, which holds the test's time down: 480 lies before the bound of 512.
@pytest.mark.parametrize(("step", "start"), [(1, 0), (2, 480), (5, 480), (64, 444)])
def test_reading_in_steps_gives_the_bits_of_reading_in_one_go(reading: Reading, step: int, start: int) -> None:
    reading.sequence.drop(start if len(reading.sequence) == LENGTH else 0)
    for position in range(len(reading.sequence), LENGTH, step):
        tokens = reading.run[position : position + step]
        assert reading.same(reading.sequence.append(tokens, rows=len(tokens)), position), f"at {position}"


@pytest.mark.parametrize("length", [650, 513, 400])
def test_a_dropped_suffix_leaves_no_trace(reading: Reading, length: int) -> None:
    reading.sequence.drop(length)
    reading.sequence.append(_run(reading.engine, seed=2, length=40), rows=0)
    reading.sequence.drop(length)
    assert reading.same(reading.sequence.append(reading.run[length:], rows=LENGTH - length), length)


def test_sequences_in_one_batch_do_not_touch_each_other(reading: Reading) -> None:
    others = [reading.engine.open() for _ in range(2)]
    start = 560
    reading.sequence.drop(start)
    for other, length in zip(others, (30, 600), strict=True):
        other.append(_run(reading.engine, seed=3, length=length), rows=0)
    for step in (1, 1, 1, 7, 50):
        position = len(reading.sequence)
        tokens = reading.run[position : position + step]
        batch = [Advance(others[1], [7, 8], 1), Advance(reading.sequence, tokens, step), Advance(others[0], [9], 0)]
        assert reading.same(reading.engine.advance(batch)[1], position)
    for other in others:
        other.close()
    rest = reading.run[len(reading.sequence) :]
    assert reading.same(reading.sequence.append(rest, rows=len(rest)), LENGTH - len(rest))


def test_cells_that_a_neighbour_left_free_change_nothing(reading: Reading) -> None:
    neighbour, late = reading.engine.open(), reading.engine.open()
    neighbour.append(reading.run[:300], rows=0)
    late.append(reading.run[:20], rows=0)
    neighbour.close()
    assert reading.same(late.append(reading.run[20:60], rows=40), 20)
    late.close()


@pytest.mark.usefixtures("every_core")
@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_and_the_context_size_change_nothing(reading: Reading, threads: int) -> None:
    if threads > len(usable_cpus()):
        pytest.skip(f"this machine gives us fewer than {threads} processors")
    engine = LlamaCppEngine.load(locate(reading.name), context_length=640, threads=threads)
    sequence = engine.open()
    assert reading.same(sequence.append(reading.run[:530], rows=30), 500)
    for position in range(530, 550):
        assert reading.same(sequence.append([reading.run[position]]), position)
    engine.close()


def test_the_built_in_models_say_that_they_are_batch_invariant(reading: Reading) -> None:
    assert reading.engine.card.batch_invariant


@pytest.mark.parametrize("name", MODELS.values())
@pytest.mark.parametrize("flash_attention", [0, 1])
def test_the_check_at_loading_notices_the_settings_that_are_not_batch_invariant(
    monkeypatch: pytest.MonkeyPatch, name: str, flash_attention: int
) -> None:
    f16 = 1
    monkeypatch.setattr(libllama, "FLASH_ATTENTION_ON", flash_attention)
    monkeypatch.setattr(libllama, "TYPE_BF16", f16)
    engine = LlamaCppEngine.load(locate(name), context_length=128)
    assert not engine.card.batch_invariant
    engine.close()
