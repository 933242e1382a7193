"""The thread that owns a model, for callers that block and for flows."""

import math
import threading
import time
from collections import abc
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import groupby

import numpy as np
import pytest
from tests.eventually import HANG_SECONDS

from cuhlm.engines.base import Advance
from cuhlm.engines.batching import Batcher
from cuhlm.engines.flows import PIECE, Flow, Rows, Wait
from cuhlm.engines.model_thread import BatchedSequence
from cuhlm.errors import ContextOverflow, ModelClosed, ModelError
from cuhlm.messages import Array
from cuhlm.testing import ToyEngine


class Watched(ToyEngine):
    """An engine that notes the tokens of each forward pass, and stops before each while it is held."""

    def __init__(self, **numbers: int) -> None:
        super().__init__(**numbers)
        self.passes: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def advance(self, batch: abc.Sequence[Advance]) -> list[Array]:
        self.passes.append([len(entry.tokens) for entry in batch])
        self.entered.release()
        assert self.may_go_on.wait(HANG_SECONDS)
        return super().advance(batch)


class LosesRows(ToyEngine):
    """An engine with a bug: now and then it forgets a sequence."""

    forgets = True

    def advance(self, batch: abc.Sequence[Advance]) -> list[Array]:
        rows = super().advance(batch)
        return rows[:-1] if self.forgets else rows


def reading(sequence: BatchedSequence, tokens: abc.Sequence[int], rows: int = 1) -> Flow[Rows]:
    return (yield Advance(sequence, tokens, rows))


def greedy(sequence: BatchedSequence, prompt: abc.Sequence[int], count: int) -> Flow[list[int]]:
    """The `count` most probable tokens after `prompt`, one after another."""
    tokens, found = list(prompt), []
    for _ in range(count):
        rows = yield Advance(sequence, tokens)
        tokens = [int(rows.logits[0].argmax())]
        found += tokens
    return found


def result(of: "Future[Rows]") -> Rows:
    return of.result(HANG_SECONDS)


def test_passes_that_wait_together_get_the_logits_they_would_get_alone() -> None:
    engine = ToyEngine()
    with closing(Batcher(engine)) as batcher, ThreadPoolExecutor(4) as threads:
        rows = list(threads.map(lambda token: batcher.open().append((1, token)), range(4)))
    assert all(np.array_equal(rows[token][0], engine.logits([1, token])) for token in range(4))


def test_a_lone_caller_that_blocks_wakes_no_other_thread() -> None:
    class Names(ToyEngine):
        by: list[str] = []  # noqa: RUF012 (one engine, one test)

        def advance(self, batch: abc.Sequence[Advance]) -> list[Array]:
            self.by.append(threading.current_thread().name)
            return super().advance(batch)

    engine = Names(context_length=1000)
    with closing(Batcher(engine)) as batcher:
        sequence = batcher.open()
        sequence.append([1, 2])
        sequence.append([1] * 300, rows=0)  # a text: others must have their turns
        sequence.append([3])
    here = threading.current_thread().name
    assert [name for name, _ in groupby(engine.by)] == [here, "cuhlm-model", here]


def test_whoever_comes_while_a_lone_caller_uses_the_model_waits_for_it() -> None:
    engine = Watched()
    with closing(Batcher(engine)) as batcher, ThreadPoolExecutor(1) as thread:
        one, other = batcher.open(), batcher.open()
        engine.may_go_on.clear()
        alone = thread.submit(one.append, [1])
        assert engine.entered.acquire(timeout=HANG_SECONDS)
        flow = batcher.run(greedy(other, [1], 2))
        assert not engine.entered.acquire(timeout=0.1)
        engine.may_go_on.set()
        assert alone.result(HANG_SECONDS).shape == (1, 16)
        assert len(flow.result(HANG_SECONDS)) == 2


def test_flows_that_think_after_one_pass_share_the_next() -> None:
    engine = Watched()
    with closing(Batcher(engine)) as batcher:
        sequences = [batcher.open() for _ in range(4)]
        engine.may_go_on.clear()
        first = batcher.run(greedy(sequences[0], [1], 1))
        assert engine.entered.acquire(timeout=HANG_SECONDS)
        others = [batcher.run(greedy(sequence, [2], 5)) for sequence in sequences[1:]]
        engine.may_go_on.set()
        wait([first, *others], HANG_SECONDS)
    assert engine.passes == [[1]] + [[1, 1, 1]] * 5
    assert len({tuple(other.result()) for other in others}) == 1


def test_a_pass_is_split_by_tokens_among_those_that_shared_it() -> None:
    engine = Watched()
    with closing(Batcher(engine)) as batcher:
        sequences = [batcher.open() for _ in range(3)]
        engine.may_go_on.clear()
        batcher.run(reading(sequences[0], [1]))
        assert engine.entered.acquire(timeout=HANG_SECONDS)
        lone, block = batcher.run(reading(sequences[1], [1])), batcher.run(reading(sequences[2], [1] * 4))
        engine.may_go_on.set()
        assert 4 * result(lone).seconds == pytest.approx(result(block).seconds)


def test_a_text_is_read_in_pieces_between_which_others_have_their_turn() -> None:
    engine = Watched(context_length=2000)
    with closing(Batcher(engine)) as batcher:
        one, other, third = (batcher.open() for _ in range(3))
        engine.may_go_on.clear()
        held = batcher.run(reading(batcher.open(), [1]))
        assert engine.entered.acquire(timeout=HANG_SECONDS)
        texts = [batcher.run(reading(sequence, [1] * (3 * PIECE - 1), rows=2)) for sequence in (one, other)]
        tokens = batcher.run(greedy(third, [1, 2], 9))
        engine.may_go_on.set()
        wait([held, *texts, tokens], HANG_SECONDS)
        assert result(texts[0]).logits.shape == (2, 16)
    # A text's pieces in turn, the token in every pass; what is left of a text at its end is short, and waits no more.
    assert engine.passes[1:5] == [[2, PIECE], [1, PIECE], [1, PIECE], [1, PIECE]]
    assert max(map(sum, engine.passes)) <= PIECE + 2
    assert [len(each) for each in (one, other)] == [3 * PIECE - 1] * 2


def test_pieces_end_at_multiples_of_a_position_wherever_reading_begins() -> None:
    engine = Watched(context_length=2000)
    with closing(Batcher(engine)) as batcher:
        sequence = batcher.open()
        sequence.append([1] * 10, rows=0)
        sequence.append([1] * (2 * PIECE), rows=0)
    assert engine.passes == [[10], [PIECE - 10], [PIECE], [10]]


def test_a_text_whose_reader_has_left_is_read_no_further() -> None:
    engine = Watched(context_length=5000)
    with closing(Batcher(engine)) as batcher:
        sequence = batcher.open()
        engine.may_go_on.clear()
        left = batcher.run(reading(sequence, [1] * 4000, rows=0))
        assert engine.entered.acquire(timeout=HANG_SECONDS)
        left.cancel()
        engine.may_go_on.set()
        assert batcher.open().append([1]).shape == (1, 16)
    assert engine.passes == [[PIECE], [1]]


def test_closing_a_sequence_ends_the_wait_for_it() -> None:
    engine = Watched(context_length=5000)
    with closing(Batcher(engine)) as batcher, ThreadPoolExecutor(1) as thread:
        sequence = batcher.open()
        engine.may_go_on.clear()
        waits = thread.submit(sequence.append, [1] * 4000)
        assert engine.entered.acquire(timeout=HANG_SECONDS)
        sequence.close()
        engine.may_go_on.set()
        with pytest.raises(ValueError, match="the sequence is closed"):
            waits.result(HANG_SECONDS)


def test_one_that_does_not_fit_fails_alone() -> None:
    with closing(Batcher(ToyEngine(context_length=4))) as batcher:
        sequence = batcher.open()
        with pytest.raises(ContextOverflow):
            sequence.append((1,) * 9)
        assert sequence.append((1, 2)).shape == (1, 16)


def test_a_text_that_does_not_fit_leaves_its_sequence_as_it_was() -> None:
    engine = ToyEngine(context_length=3 * PIECE)
    with closing(Batcher(engine)) as batcher:
        sequence = batcher.open()
        sequence.append([1, 2], rows=0)
        with pytest.raises(ContextOverflow):
            sequence.append([1] * (3 * PIECE))
        assert len(sequence) == 2
        assert np.array_equal(sequence.append([3])[0], engine.logits([2, 3]))


def test_a_flow_may_go_on_after_a_pass_that_failed() -> None:
    def tries(sequence: BatchedSequence) -> Flow[int]:
        try:
            yield Advance(sequence, [99])
        except ModelError:
            rows = yield Advance(sequence, [1])
        return len(rows.logits)

    with closing(Batcher(ToyEngine())) as batcher:
        assert batcher.run(tries(batcher.open())).result(HANG_SECONDS) == 1


def test_a_mistake_in_a_flow_is_its_callers_and_ends_no_other() -> None:
    def wrong(sequence: BatchedSequence) -> Flow[int]:
        rows = yield Advance(sequence, [1])
        return len(rows.logits) // 0

    def strange() -> Flow[int]:
        yield Advance(ToyEngine().open(), [1])
        return 0

    with closing(Batcher(ToyEngine())) as batcher:
        good = batcher.run(greedy(batcher.open(), [1], 20))
        with pytest.raises(ZeroDivisionError):
            batcher.run(wrong(batcher.open())).result(HANG_SECONDS)
        with pytest.raises(TypeError, match="expected a sequence that its batcher opened"):
            batcher.run(strange()).result(HANG_SECONDS)
        assert len(good.result(HANG_SECONDS)) == 20


def test_an_engine_that_answers_too_little_does_not_end_the_thread() -> None:
    engine = LosesRows()
    with closing(Batcher(engine)) as batcher:
        sequence = batcher.open()
        with pytest.raises(RuntimeError, match="0 of 1 sequences"):
            sequence.append((1,))
        engine.forgets = False
        assert batcher.open().append((1, 2)).shape == (1, 16)


def test_whoever_comes_while_it_closes_is_answered_or_told() -> None:
    for _ in range(50):
        batcher = Batcher(ToyEngine())
        sequences = [batcher.open() for _ in range(4)]

        def outcome(sequence: BatchedSequence) -> str:
            try:
                sequence.append((1,))
            except ModelClosed:
                return "told"
            return "answered"

        with ThreadPoolExecutor(4) as threads:
            outcomes = threads.map(outcome, sequences)
            batcher.close()
            assert set(outcomes) <= {"answered", "told"}
        sequences[0].close()  # too late for the thread, and no mistake


def test_a_closed_one_takes_no_work_and_gives_places_back() -> None:
    engine = ToyEngine(sequences=1)
    batcher = Batcher(engine)
    sequence = batcher.open()
    batcher.close()
    batcher.close()
    with pytest.raises(ModelClosed):
        batcher.open()
    sequence.close()
    engine.open().close()


def test_a_batcher_that_nobody_holds_ends_its_thread() -> None:
    before = set(threading.enumerate())
    batcher = Batcher(ToyEngine())
    batcher.open().close()
    (thread,) = set(threading.enumerate()) - before
    del batcher
    thread.join(HANG_SECONDS)
    assert not thread.is_alive()


def test_the_toy_engine_refuses_two_threads_at_once() -> None:
    engine = ToyEngine()
    with engine.used_alone(), pytest.raises(RuntimeError, match="two threads use one engine at once"):
        engine.open()
    engine.open().close()


def test_a_flow_that_was_cancelled_before_its_turn_never_thinks() -> None:
    def thinks(sequence: BatchedSequence, thoughts: list[str]) -> Flow[None]:
        thoughts.append("began")
        yield Advance(sequence, [1])
        thoughts.append("went on")

    engine = Watched()
    with closing(Batcher(engine)) as batcher:
        one, other, begins, goes_on = batcher.open(), batcher.open(), [], []
        engine.may_go_on.clear()
        under_way = batcher.run(thinks(one, goes_on))
        assert engine.entered.acquire(timeout=HANG_SECONDS)
        waiting = batcher.run(thinks(other, begins))
        assert under_way.cancel()
        assert waiting.cancel()
        engine.may_go_on.set()
        batcher.open().append([1])
    assert begins == []
    assert goes_on == ["began"]


@pytest.mark.parametrize(
    "mistake",
    [
        lambda sequence: sequence.append([1] * 100, rows=None),
        lambda sequence: sequence.append([1] * 100, rows=101),
        lambda sequence: sequence.owner.run_flow(strange_flow()).result(HANG_SECONDS),
        lambda sequence: sequence.owner.run_flow(flow_that_waits(sequence)).result(HANG_SECONDS),
    ],
)
def test_a_callers_mistake_is_told_to_that_caller_and_ends_nobody_else(
    mistake: Callable[[BatchedSequence], object],
) -> None:
    with closing(Batcher(ToyEngine(context_length=1000))) as batcher:
        with pytest.raises((ValueError, TypeError, RuntimeError, AttributeError)):
            mistake(batcher.open())
        assert batcher.open().append([1] * 100).shape == (1, 16)


def strange_flow() -> Flow[int]:
    yield "no Advance"  # type: ignore[misc]
    return 0


def flow_that_waits(sequence: BatchedSequence) -> Flow[int]:
    yield Advance(sequence, [1])
    return len(sequence.append([1] * 100))


def test_whatever_those_do_who_are_told_the_thread_goes_on() -> None:
    def exits(_: object) -> None:
        raise SystemExit

    def stubborn(sequence: BatchedSequence) -> Flow[int]:
        try:
            yield Advance(sequence, [1] * 500, 0)
        finally:
            raise ZeroDivisionError
        return 0

    engine = Watched(context_length=1000)
    with closing(Batcher(engine)) as batcher:
        batcher.run(greedy(batcher.open(), [1], 1)).add_done_callback(exits)
        sequence = batcher.open()
        engine.may_go_on.clear()
        left = batcher.run(stubborn(sequence))
        assert left.cancel()
        engine.may_go_on.set()
        assert batcher.open().append([1] * 100).shape == (1, 16)


def until(is_over: Callable[[], bool], at: float = math.inf) -> Flow[float]:
    """Waits, and tells when it went on."""
    yield Wait(is_over, at)
    return time.monotonic()


def never() -> bool:
    return False


def asked(batcher: Batcher) -> None:
    """Let those who wait be asked, and wait until they were: twice, as calls are done before they are."""
    for _ in range(2):
        batcher.call(lambda: None).result(HANG_SECONDS)


def test_a_flow_that_waits_goes_on_when_its_condition_holds_after_a_call_and_not_before() -> None:
    over: list[str] = []
    with closing(Batcher(ToyEngine())) as batcher:
        waiting = batcher.run(until(lambda: bool(over)))
        asked(batcher)
        assert not waiting.done()
        batcher.call(lambda: over.append("now")).result(HANG_SECONDS)
        waiting.result(HANG_SECONDS)


def test_a_condition_that_holds_already_is_not_waited_for() -> None:
    with closing(Batcher(ToyEngine())) as batcher:
        batcher.run(until(lambda: True)).result(HANG_SECONDS)
        batcher.run(until(never, 0.0)).result(HANG_SECONDS)


def test_a_flow_that_waits_goes_on_when_its_time_has_come_and_not_sooner() -> None:
    with closing(Batcher(ToyEngine())) as batcher:
        soon = time.monotonic() + 0.05
        later, first = batcher.run(until(never, soon + 0.05)), batcher.run(until(never, soon))
        for_ever = batcher.run(until(never))
        assert first.result(HANG_SECONDS) >= soon
        assert later.result(HANG_SECONDS) >= soon + 0.05
        assert not for_ever.done()


def test_one_wait_may_follow_another_that_is_over_at_once() -> None:
    def waits() -> Flow[str]:
        for _ in range(3):
            yield Wait(lambda: True)
        return "went on"

    with closing(Batcher(ToyEngine())) as batcher:
        assert batcher.run(waits()).result(HANG_SECONDS) == "went on"


def test_others_have_their_passes_while_a_flow_waits_and_it_is_asked_between_them() -> None:
    engine, numbers = Watched(), list[int]()

    def has_seen_three() -> bool:
        numbers.append(len(engine.passes))
        return len(engine.passes) >= 3

    def waits(sequence: BatchedSequence) -> Flow[Rows]:
        yield Wait(has_seen_three)
        return (yield Advance(sequence, [5]))

    with closing(Batcher(engine)) as batcher:
        sequence, other = batcher.open(), batcher.open()
        waiting = batcher.run(waits(sequence))
        assert len(batcher.run(greedy(other, [1], 6)).result(HANG_SECONDS)) == 6
        assert np.array_equal(result(waiting).logits[0], engine.logits([5]))
    assert engine.passes == [[1], [1], [1], [1, 1], [1], [1]]
    assert numbers[-4:] == [0, 1, 2, 3]


def test_a_caller_that_blocks_is_served_while_a_flow_waits() -> None:
    with closing(Batcher(ToyEngine(context_length=1000))) as batcher:
        waiting = batcher.run(until(never))
        sequence = batcher.open()
        assert sequence.append([1]).shape == (1, 16)
        assert sequence.append([1] * 100).shape == (1, 16)
        assert not waiting.done()


def test_a_flow_that_is_cancelled_while_it_waits_ends_there() -> None:
    ended = threading.Event()

    def waits() -> Flow[None]:
        try:
            yield Wait(never)
        finally:
            ended.set()

    with closing(Batcher(ToyEngine())) as batcher:
        waiting = batcher.run(waits())
        asked(batcher)
        assert waiting.cancel()
        asked(batcher)
        assert ended.is_set()


def test_a_flow_that_waits_is_told_when_the_model_is_closed() -> None:
    batcher = Batcher(ToyEngine())
    for_ever, long = batcher.run(until(never)), batcher.run(until(never, time.monotonic() + 10 * HANG_SECONDS))
    batcher.close()
    for waiting in (for_ever, long):
        with pytest.raises(ModelClosed):
            waiting.result(HANG_SECONDS)


@pytest.mark.parametrize("at", [1e10, 1e300, math.inf])
def test_a_time_that_no_clock_reaches_is_for_ever(at: float) -> None:
    over: list[str] = []
    with closing(Batcher(ToyEngine())) as batcher:
        waiting = batcher.run(until(lambda: bool(over), at))
        asked(batcher)
        assert not waiting.done()
        batcher.call(lambda: over.append("now"))
        waiting.result(HANG_SECONDS)


def test_a_condition_that_fails_fails_its_own_flow_and_no_other() -> None:
    def fails() -> bool:
        raise ZeroDivisionError

    def bears_it() -> Flow[str]:
        try:
            yield Wait(fails)
        except ZeroDivisionError:
            return "went on"
        return "heard nothing"

    with closing(Batcher(ToyEngine())) as batcher:
        good = batcher.run(greedy(batcher.open(), [1], 20))
        with pytest.raises(ZeroDivisionError):
            batcher.run(until(fails)).result(HANG_SECONDS)
        assert batcher.run(bears_it()).result(HANG_SECONDS) == "went on"
        assert len(good.result(HANG_SECONDS)) == 20
