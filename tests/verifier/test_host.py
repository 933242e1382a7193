"""A session with its place in the target model."""

import queue
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.errors import ConfigurationError, ProtocolError, VerifierBusy
from cuhlm.messages import Block, Opening, Sampling, Verdict, Verification
from cuhlm.testing import ToyEngine
from cuhlm.verifier.host import HostedSession, Verifier

VOCAB = 12
OPENING = Opening((1, 2, 3), Sampling(), 9, VOCAB)


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
