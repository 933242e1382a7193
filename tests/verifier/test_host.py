"""A session with its place in the target model."""

import math
import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.eventually import HANG_SECONDS

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.errors import ConfigurationError, ProtocolError, VerifierBusy
from cuhlm.messages import Block, Chunk, Opening, Sampling, Verdict, Verification
from cuhlm.testing import PaddedEngine, ToyEngine
from cuhlm.theory.pacing import PassTime
from cuhlm.verifier import host
from cuhlm.verifier.host import HostedSession, Verifier

VOCAB = 12
OPENING = Opening((1, 2, 3), Sampling(), 9, VOCAB)
KEYED = replace(OPENING, verification=Verification.KEYED)
FOR_EVER = 1e300
"""A patience that is finite, and longer than any clock counts."""


@pytest.fixture
def session() -> Iterator[HostedSession]:
    with (
        closing(Verifier(ToyEngine(vocab_size=VOCAB, seed=5))) as verifier,
        closing(verifier.open(OPENING)) as opened,
    ):
        opened.prefill().result()
        yield opened


def verdicts(session: HostedSession, block: Block) -> list[Verdict]:
    """The whole answer."""
    told: list[Verdict] = []
    session.answer(block, told.append).result()
    return told


@pytest.mark.parametrize("generate", [1, 6])
def test_a_block_sent_twice_gets_the_same_verdicts_from_store(session: HostedSession, generate: int) -> None:
    block = Block(3, (), generate=generate)
    first, again = verdicts(session, block), verdicts(session, block)
    assert len(first) == generate
    assert [(each.position, each.token) for each in first] == [(each.position, each.token) for each in again]
    assert all(each.target_seconds > 0 for each in first)
    assert not any(each.target_seconds for each in again)


def test_a_stream_that_was_left_goes_on_where_it_was(session: HostedSession) -> None:
    block = Block(3, (), generate=200)
    told: queue.SimpleQueue[Verdict] = queue.SimpleQueue()
    left = session.answer(block, told.put)
    begun = [told.get(timeout=60).token for _ in range(2)]
    whole = verdicts(session, block)
    assert left.cancelled() or left.done()
    assert [each.token for each in whole[:2]] == begun
    assert [each.position for each in whole] == list(range(3, 203))


def test_sessions_that_generate_side_by_side_give_what_each_gives_alone() -> None:
    block = Block(3, (), generate=20)
    openings = [replace(OPENING, seed=seed) for seed in range(6)]
    with closing(Verifier(ToyEngine(vocab_size=VOCAB, seed=5), max_sessions=6)) as verifier:
        alone = []
        for opening in openings:
            with closing(verifier.open(opening)) as session:
                alone.append([each.token for each in verdicts(session, block)])
        sessions = [verifier.open(opening) for opening in openings]
        told: list[list[Verdict]] = [[] for _ in sessions]
        answers = [session.answer(block, to.append) for session, to in zip(sessions, told, strict=True)]
        wait(answers, 60)
        for session in sessions:
            session.close()
    assert [[each.token for each in answer] for answer in told] == alone


def test_a_closed_session_is_worked_for_no_longer() -> None:
    with closing(Verifier(ToyEngine(vocab_size=VOCAB, seed=5, context_length=10_000))) as verifier:
        session = verifier.open(OPENING)
        told: queue.SimpleQueue[Verdict] = queue.SimpleQueue()
        answering = session.answer(Block(3, (), generate=9000), told.put)
        told.get(timeout=60)
        session.close()
        session.close()
        assert answering.cancelled()
        verifier.open(OPENING).close()


def test_drafts_are_refused_where_the_target_is_to_draw_alone() -> None:
    with (
        closing(Verifier(ToyEngine(vocab_size=VOCAB, seed=5))) as verifier,
        closing(verifier.open(replace(OPENING, verification=Verification.TARGET))) as session,
    ):
        payload = FixedWidthCodec().encode(np.array([1]), np.array([0.5], np.float32), VOCAB)
        with pytest.raises(ProtocolError, match="to let the target draw alone"):
            verdicts(session, Block(3, (), (1,)))
        with pytest.raises(ProtocolError, match="1 payloads for 1 drafted tokens; expected 0"):
            verdicts(session, Block(3, (), (1,), (payload,)))
        assert len(verdicts(session, Block(3, (), generate=2))) == 2


def test_a_refused_block_does_not_displace_the_stored_answer(session: HostedSession) -> None:
    block = Block(3, (), generate=1)
    (first,) = verdicts(session, block)
    with pytest.raises(ProtocolError):
        verdicts(session, Block(9, (), generate=1))
    (again,) = verdicts(session, block)
    assert again.token == first.token


def test_a_session_that_was_refused_takes_no_place() -> None:
    with closing(Verifier(ToyEngine(vocab_size=VOCAB, seed=5))) as verifier:
        for _ in range(3):
            with pytest.raises(ProtocolError):
                verifier.open(Opening((), Sampling(), 9, VOCAB))
        with closing(verifier.open(OPENING)), pytest.raises(VerifierBusy):
            verifier.open(OPENING)


@pytest.mark.parametrize("token", ["", " padded ", "schlüssel", "two\nlines"])
def test_a_token_that_no_header_carries_is_refused(token: str) -> None:
    with pytest.raises(ConfigurationError, match="the token is empty, or has spaces around it"):
        Verifier(ToyEngine(vocab_size=VOCAB), token=token)


COUNT = 24


@pytest.fixture(scope="module")
def hosting() -> Iterator[Verifier]:
    """Its passes take 4 ms whatever is in them, and it has learned so: drafts that are there are worth taking."""
    engine = PaddedEngine(ToyEngine(vocab_size=VOCAB, seed=5), PassTime(0.004, 0.0))
    with closing(Verifier(engine, max_sessions=3)) as verifier:
        with closing(verifier.open(KEYED)) as session:
            position = 3
            for drafts in (1, 5, 9) * 10:
                (verdict,) = verdicts(session, Block(position, (), (1,) * drafts, generate=1))
                position += verdict.accepted + 1
        yield verifier


@pytest.fixture(scope="module")
def quick() -> Iterator[Verifier]:
    with closing(Verifier(ToyEngine(vocab_size=VOCAB, seed=5), max_sessions=3)) as verifier:
        yield verifier


@pytest.fixture(scope="module")
def right(quick: Verifier) -> tuple[int, ...]:
    """What the target alone says."""
    return tokens_of_the_target(quick, COUNT)


def tokens_of_the_target(verifier: Verifier, count: int) -> tuple[int, ...]:
    with closing(verifier.open(replace(OPENING, verification=Verification.TARGET))) as session:
        return tuple(each.token for each in verdicts(session, Block(3, (), generate=count)) if each.token is not None)


def another(token: int) -> int:
    return (token + 1) % VOCAB


class Listening:
    """A session that is under way with an answer, and the verdicts that were told."""

    def __init__(self, session: HostedSession, block: Block) -> None:
        self.session = session
        self._told: queue.SimpleQueue[Verdict] = queue.SimpleQueue()
        self.answering = session.answer(block, self._told.put)

    def next(self) -> Verdict:
        return self._told.get(timeout=HANG_SECONDS)

    def rest(self) -> list[Verdict]:
        self.answering.result(HANG_SECONDS)
        return [self._told.get() for _ in range(self._told.qsize())]

    def says_nothing(self, verifier: Verifier) -> bool:
        """Whether nothing is told while the target makes twenty passes for another session."""
        tokens_of_the_target(verifier, 20)
        return self._told.empty() and not self.answering.done()


@dataclass(frozen=True)
class Sent:
    """A chunk in terms of the right text, and after how many verdicts it comes.

    Attributes:
        after: verdicts.
        at: of the first draft, counted from the prompt's end.
        right: of each draft, whether it is the target's token.
        undecided: tokens before it that the device did not know.
    """

    after: int
    at: int
    right: tuple[bool, ...]
    undecided: int
    asks: bool

    def chunk(self, text: Sequence[int]) -> Chunk:
        tokens = text[self.at : self.at + len(self.right)]
        drafted = tuple(token if good else another(token) for token, good in zip(tokens, self.right, strict=False))
        return Chunk(3 + self.at, drafted, max(0, 3 + self.at - self.undecided), self.asks)


SENT = st.builds(
    Sent,
    after=st.integers(0, COUNT),
    at=st.integers(0, COUNT),
    right=st.lists(st.sampled_from([True, True, True, False]), max_size=8).map(tuple),
    undecided=st.integers(0, 12),
    asks=st.booleans(),
)


@hypothesis_settings(max_examples=60)
@given(st.lists(SENT, max_size=30), st.sampled_from([0.0, 0.0005]))
def test_whatever_drafts_come_and_whenever_the_tokens_are_those_of_the_target_alone(
    quick: Verifier, right: tuple[int, ...], sent: list[Sent], patience_seconds: float
) -> None:
    told: list[Verdict] = []
    with closing(quick.open(replace(KEYED, patience_seconds=patience_seconds))) as session:

        def tell(verdict: Verdict) -> None:
            told.append(verdict)
            for each in sent:
                if each.after == len(told):
                    session.offer(each.chunk(right))

        answering = session.answer(Block(3, (), generate=COUNT), tell)
        for each in sent:
            if each.after == 0:
                session.offer(each.chunk(right))
        answering.result(HANG_SECONDS)
    chunks = [each.chunk(right) for each in sent]
    drafted = {pair for chunk in chunks for pair in enumerate(chunk.drafted, chunk.position)}
    position = 3
    for verdict in told:
        assert verdict.position == position
        assert verdict.accepted <= verdict.judged
        stood = list(enumerate(right[position - 3 :][: verdict.accepted], position))
        assert drafted >= set(stood)  # what stands was drafted, and is the target's
        position += verdict.accepted + 1
        assert verdict.token == right[position - 4]
    assert position == 3 + COUNT


def test_drafts_that_are_there_when_a_pass_begins_take_part_in_it(hosting: Verifier, right: tuple[int, ...]) -> None:
    with closing(hosting.open(replace(KEYED, patience_seconds=math.inf))) as session:
        listening = Listening(session, Block(3, (), generate=9))
        session.offer(Chunk(3, (*right[:2], another(right[2])), 3))
        session.offer(Chunk(6, right[3:5], 3, asks=True))
        verdict = listening.next()
        assert 1 <= verdict.accepted <= 2
        assert verdict.token == right[verdict.accepted]
        session.expect_no_more()
        rest = listening.rest()
    assert [each.token for each in rest][-1] == right[8]
    assert verdict.accepted + 1 + sum(each.accepted + 1 for each in rest) == 9


def test_drafts_for_a_session_that_is_not_generating_are_in_vain(hosting: Verifier, right: tuple[int, ...]) -> None:
    with closing(hosting.open(KEYED)) as session:
        session.prefill().result(HANG_SECONDS)
        session.offer(Chunk(3, right[:8], 3))
        first = verdicts(session, Block(3, (), generate=8))
        session.offer(Chunk(11, right[8:16], 11))
        second = verdicts(session, Block(11, (), generate=8))
    assert [each.judged for each in first + second] == [0] * 16
    assert tuple(each.token for each in first + second) == right[:16]


def test_drafts_for_a_closed_session_are_in_vain(quick: Verifier) -> None:
    session = quick.open(KEYED)
    session.close()
    session.offer(Chunk(3, (1,), 3))


@pytest.mark.parametrize("rule", [Verification.SPECULATIVE, Verification.TARGET])
def test_drafts_are_not_streamed_ahead_in_a_session_of_another_rule(rule: Verification, quick: Verifier) -> None:
    with closing(quick.open(replace(OPENING, verification=rule))) as session:
        with pytest.raises(ProtocolError, match="streamed ahead; expected none in a session that was opened without"):
            session.offer(Chunk(3, (1,), 3))
        assert len(verdicts(session, Block(3, (), generate=2))) == 2


def test_drafts_that_no_device_streams_ahead_are_refused_and_the_answer_goes_on(
    quick: Verifier, right: tuple[int, ...]
) -> None:
    with closing(quick.open(replace(KEYED, patience_seconds=math.inf))) as session:
        listening = Listening(session, Block(3, (), generate=5))
        for chunk in (Chunk(3, (VOCAB,), 3, asks=True), Chunk(3, (1,) * 257, 3, asks=True)):
            with pytest.raises(ProtocolError):
                session.offer(chunk)
        assert listening.says_nothing(quick)
        session.expect_no_more()
        assert tuple(each.token for each in listening.rest()) == right[:5]


def test_a_target_of_endless_patience_makes_one_pass_each_time_it_is_asked(
    quick: Verifier, right: tuple[int, ...]
) -> None:
    with closing(quick.open(replace(KEYED, patience_seconds=math.inf))) as session:
        listening = Listening(session, Block(3, (), generate=20))
        assert listening.says_nothing(quick)
        position = 3
        for asked in range(4):
            session.offer(Chunk(position, right[position - 3 :][:2] if asked % 2 else (), position))
            assert listening.says_nothing(quick)  # drafts alone are no question
            session.offer(Chunk(position, (), position, asks=True))
            verdict = listening.next()
            assert verdict.position == position
            position += verdict.accepted + 1
            assert verdict.token == right[position - 4]
            assert listening.says_nothing(quick)


def test_a_target_of_endless_patience_takes_all_drafts_however_dear_a_row_is() -> None:
    toy = ToyEngine(vocab_size=VOCAB, seed=5)
    with closing(Verifier(PaddedEngine(toy, PassTime(0.002, 0.002)))) as dear:
        with closing(dear.open(KEYED)) as session:
            text = tuple(each.token for each in Listening(session, Block(3, (), generate=30)).rest())
        with closing(dear.open(replace(KEYED, patience_seconds=math.inf))) as session:
            listening = Listening(session, Block(3, (), generate=30))
            for position in range(3, 30, 3):
                session.offer(Chunk(position, text[position - 3 : position - 1], position, asks=True))
                assert listening.next().accepted == 2


def test_a_question_from_a_branch_that_fell_is_none(quick: Verifier, right: tuple[int, ...]) -> None:
    with closing(quick.open(replace(KEYED, patience_seconds=math.inf))) as session:
        listening = Listening(session, Block(3, (), generate=20))
        session.offer(Chunk(3, (another(right[0]),), 3, asks=True))
        assert listening.next().token == right[0]
        session.offer(Chunk(4, (1,), 3, asks=True))  # the device did not know yet
        assert listening.says_nothing(quick)
        session.offer(Chunk(4, (), 4, asks=True))
        assert listening.next().position == 4


def test_a_target_that_nothing_more_will_be_said_to_goes_on_alone(quick: Verifier, right: tuple[int, ...]) -> None:
    for patience_seconds in (math.inf, FOR_EVER):
        with closing(quick.open(replace(KEYED, patience_seconds=patience_seconds))) as session:
            listening = Listening(session, Block(3, (), generate=6))
            assert listening.says_nothing(quick)
            session.expect_no_more()
            assert tuple(each.token for each in listening.rest()) == right[:6]


@pytest.mark.parametrize("patience_seconds", [math.inf, FOR_EVER, 0.3])
def test_a_device_that_says_nothing_any_more_is_waited_for_once_and_no_longer_than_the_longest_patience(
    patience_seconds: float, quick: Verifier, right: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "LONGEST_PATIENCE_SECONDS", 0.5)
    with closing(quick.open(replace(KEYED, patience_seconds=patience_seconds))) as session:
        begun = time.monotonic()
        listening = Listening(session, Block(3, (), generate=COUNT))
        assert tuple(each.token for each in listening.rest()) == right
        assert 0.5 <= time.monotonic() - begun < 0.5 * COUNT


def test_a_target_of_finite_patience_waits_so_long_for_drafts_and_then_goes_on_alone(
    quick: Verifier, right: tuple[int, ...]
) -> None:
    with closing(quick.open(replace(KEYED, patience_seconds=0.1))) as session:
        begun = time.monotonic()
        listening = Listening(session, Block(3, (), generate=3))
        assert tuple(each.token for each in listening.rest()) == right[:3]
        assert time.monotonic() - begun >= 0.2


def test_for_the_last_token_which_no_draft_can_save_nobody_waits(quick: Verifier, right: tuple[int, ...]) -> None:
    with closing(quick.open(replace(KEYED, patience_seconds=FOR_EVER))) as session:
        assert Listening(session, Block(3, (), generate=1)).next().token == right[0]


def test_a_target_of_finite_patience_goes_on_where_it_is_asked(quick: Verifier, right: tuple[int, ...]) -> None:
    with closing(quick.open(replace(KEYED, patience_seconds=FOR_EVER))) as session:
        listening = Listening(session, Block(3, (), generate=20))
        session.offer(Chunk(3, (), 3, asks=True))
        assert listening.next().token == right[0]
        assert listening.says_nothing(quick)


def test_drafts_for_a_verifier_that_is_closed_are_in_vain(right: tuple[int, ...]) -> None:
    closed = Verifier(ToyEngine(vocab_size=VOCAB, seed=5, sequences=2), max_sessions=2)
    session = closed.open(replace(KEYED, patience_seconds=FOR_EVER))
    listening = Listening(session, Block(3, (), generate=20))
    assert listening.says_nothing(closed)
    closed.close()
    session.offer(Chunk(3, right[:1], 3))
    session.expect_no_more()


def test_a_target_with_patience_goes_on_as_soon_as_it_has_live_drafts(quick: Verifier, right: tuple[int, ...]) -> None:
    with closing(quick.open(replace(KEYED, patience_seconds=FOR_EVER))) as session:
        listening = Listening(session, Block(3, (), generate=20))
        session.offer(Chunk(4, (1,), 3))  # leaves a gap
        assert listening.says_nothing(quick)
        session.offer(Chunk(3, (another(right[0]),), 3))
        assert listening.next().token == right[0]
        session.offer(Chunk(4, (1, 1), 3))  # dead
        assert listening.says_nothing(quick)
        session.offer(Chunk(4, (another(right[1]),), 4))
        assert listening.next().token == right[1]


@pytest.mark.parametrize("patience_seconds", [math.inf, FOR_EVER])
@pytest.mark.parametrize("rule", [Verification.SPECULATIVE, Verification.TARGET])
def test_nothing_waits_for_drafts_that_the_rule_does_not_let_come(
    rule: Verification, patience_seconds: float, quick: Verifier
) -> None:
    opening = replace(OPENING, verification=rule, patience_seconds=patience_seconds)
    with closing(quick.open(opening)) as session:
        assert len(Listening(session, Block(3, (), generate=5)).rest()) == 5


def test_a_session_that_is_closed_while_its_target_waits_gives_its_place_back(quick: Verifier) -> None:
    for patience_seconds in (math.inf, FOR_EVER) * 3:
        session = quick.open(replace(KEYED, patience_seconds=patience_seconds))
        answering = session.answer(Block(3, (), generate=5), lambda _: None)
        session.close()
        assert answering.cancelled()


def test_a_block_sent_twice_gets_the_same_verdicts_with_the_drafts_that_took_part(
    hosting: Verifier, right: tuple[int, ...]
) -> None:
    block = Block(3, (), generate=8)
    with closing(hosting.open(replace(KEYED, patience_seconds=math.inf))) as session:
        listening = Listening(session, block)
        session.offer(Chunk(3, (*right[:3], another(right[3])), 3, asks=True))
        first = listening.next()
        assert first.accepted
        again = Listening(session, block)  # the first answer is given up
        assert again.next() == replace(first, target_seconds=0.0, verify_seconds=0.0)
        assert again.says_nothing(hosting)
        session.expect_no_more()
        rest = again.rest()
        whole = verdicts(session, block)
    assert [replace(each, target_seconds=0.0, verify_seconds=0.0) for each in (first, *rest)] == whole
    assert tuple(each.token for each in rest) == right[first.accepted + 1 : 8]


@pytest.mark.parametrize("is_right", [True, False])
def test_drafts_that_are_held_behind_a_block_are_compared_with_what_the_next_one_brings(
    is_right: bool, hosting: Verifier, right: tuple[int, ...]
) -> None:
    """A draft for one position is never judged at another."""
    with closing(hosting.open(replace(KEYED, patience_seconds=FOR_EVER))) as session:
        listening = Listening(session, Block(3, (), generate=2))
        session.offer(Chunk(3, right[:12], 3))
        listening.rest()
        synced = right[2] if is_right else another(right[2])
        following = Listening(session, Block(6, (synced,), generate=5))
        assert following.next().judged == 0
        if is_right:
            verdict = following.next()
            assert verdict.accepted >= 1
            assert verdict.accepted == verdict.judged
        session.expect_no_more()
        rest = following.rest()
        if not is_right:
            assert [each.judged for each in rest] == [0] * 4


def test_a_keyed_block_with_drafts_is_answered_once_and_again(hosting: Verifier, right: tuple[int, ...]) -> None:
    block = Block(3, (), (*right[:2], another(right[2])), generate=1)
    with closing(hosting.open(KEYED)) as session:
        (first,), (again,) = verdicts(session, block), verdicts(session, block)
        assert (first.accepted, first.token, first.judged) == (2, right[2], 3)
        assert again == replace(first, target_seconds=0.0, verify_seconds=0.0)
        assert verdicts(session, Block(6, (), right[3:5], generate=1))[0].token == right[5]


def test_nothing_is_generated_behind_an_end_token_that_was_drafted() -> None:
    alone = ToyEngine(vocab_size=VOCAB, seed=5, end_token=7, context_length=2000)
    with closing(Verifier(PaddedEngine(alone, PassTime(0.002, 0.0)), max_sessions=2)) as verifier:
        text = tokens_of_the_target(verifier, 500)
        assert text[-1] == 7
        assert len(text) > 2, "or there is nothing to draft before it"
        with closing(verifier.open(replace(KEYED, patience_seconds=math.inf))) as session:
            listening = Listening(session, Block(3, (), generate=500))
            told: list[Verdict] = []
            position = 3
            while not told or told[-1].token != 7:
                drafted = (*text[position - 3 :][:4], 1, 1)[:6]
                session.offer(Chunk(position, drafted, position, asks=True))
                told.append(listening.next())
                position += told[-1].accepted + 1
            assert listening.rest() == []
    assert position == 3 + len(text)
