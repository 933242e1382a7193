"""Drafting ahead where both models compute on one machine: the device keeps to what is faster there."""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from tests.toy_pair import PROMPT, VOCAB, settings

from cuhlm.device.device import Answer, Device, Request, collect
from cuhlm.device.ending import Limits
from cuhlm.engines.base import Advance
from cuhlm.link.in_process import InProcessLink
from cuhlm.messages import Array, Sampling
from cuhlm.testing import PaddedEngine, ToyEngine
from cuhlm.theory.pacing import PassTime
from cuhlm.verifier.host import Verifier

REQUEST = Request(PROMPT, Sampling(), 1, Limits(150))
LOSSLESS = settings("lossless")


class OnOneCore(PaddedEngine):
    """Engines that share a lock: while one computes the others wait."""

    def __init__(self, engine: ToyEngine, time: PassTime, core: threading.Lock) -> None:
        super().__init__(engine, time)
        self._core = core

    def advance(self, batch: Sequence[Advance]) -> list[Array]:
        with self._core:
            return super().advance(batch)


@contextmanager
def on_one_core(draft_noise: float, per_row: float) -> Iterator[Device]:
    core, target, draft = threading.Lock(), PassTime(0.004, per_row), PassTime(0.003, 0.0)
    engines = (ToyEngine(vocab_size=VOCAB, seed=5), ToyEngine(vocab_size=VOCAB, seed=5, noise=draft_noise))
    with (
        closing(Verifier(OnOneCore(engines[0], target, core))) as verifier,
        closing(Device(OnOneCore(engines[1], draft, core), InProcessLink(verifier))) as device,
    ):
        yield device


def drafted_at_the_end(answer: Answer) -> float:
    """Draft passes a token, once it is known what pays."""
    late = answer.records[80:]
    return sum(record.draft_passes for record in late) / len(late)


def test_where_drafting_only_slows_the_target_it_stops() -> None:
    with on_one_core(draft_noise=3.0, per_row=0.004) as device:
        # It goes by times, which a busy machine may spoil in one answer; without the trial all draft to their ends.
        answers = (collect(device.generate(LOSSLESS, REQUEST)) for _ in range(4))
        assert any(drafted_at_the_end(answer) < 0.1 for answer in answers)


def test_a_device_that_asks_drafts_on_as_it_wants_few_passes_and_not_many_tokens_a_second() -> None:
    with on_one_core(draft_noise=0.3, per_row=0.004) as device:
        patient = replace(LOSSLESS, patience_seconds=math.inf)
        assert drafted_at_the_end(collect(device.generate(patient, REQUEST))) > 0.3


@pytest.mark.parametrize("shares_machine", [True, False])
def test_the_text_is_the_targets_either_way(shares_machine: bool) -> None:
    with closing(Verifier(ToyEngine(vocab_size=VOCAB, seed=5), max_sessions=2)) as verifier:
        link = InProcessLink(verifier)
        link.shares_machine = shares_machine
        with closing(Device(ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6), link)) as device:
            remote = collect(device.generate(settings("remote"), REQUEST))
            assert collect(device.generate(LOSSLESS, REQUEST)).tokens == remote.tokens
