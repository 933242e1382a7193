"""A session with its place in the target model."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from cuhlm.errors import ConfigurationError, ProtocolError, VerifierBusy
from cuhlm.messages import Block, Opening, Sampling
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
        opened.prefill()
        yield opened


@pytest.mark.parametrize("generate", [1, 6])
def test_a_block_sent_twice_gets_the_same_verdicts_from_store(session: HostedSession, generate: int) -> None:
    block = Block(3, (), generate=generate)
    first, again = list(session.answer(block)), list(session.answer(block))
    assert len(first) == generate
    assert [(each.position, each.token) for each in first] == [(each.position, each.token) for each in again]
    assert all(each.target_seconds > 0 for each in first)
    assert not any(each.target_seconds for each in again)


def test_a_stream_that_was_left_goes_on_where_it_was(session: HostedSession) -> None:
    block = Block(3, (), generate=6)
    started = session.answer(block)
    begun = [next(started).token for _ in range(2)]
    whole = [each.token for each in session.answer(block)]
    assert whole[:2] == begun
    assert len(whole) == 6


def test_a_refused_block_does_not_displace_the_stored_answer(session: HostedSession) -> None:
    block = Block(3, (), generate=1)
    (first,) = session.answer(block)
    with pytest.raises(ProtocolError):
        list(session.answer(Block(9, (), generate=1)))
    (again,) = session.answer(block)
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
