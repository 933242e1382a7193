"""The verifier's session: block in, verdict out, no I/O."""

from itertools import product

import numpy as np
import pytest

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.errors import ProtocolError
from cuhlm.messages import Block, Opening, Payload, Sampling, Verdict
from cuhlm.testing import ToyEngine
from cuhlm.theory.distributions import distribution
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.rejection import rejection_probability
from cuhlm.theory.truncation import top_k
from cuhlm.theory.verification import residual, sample
from cuhlm.verifier.session import Session, Work

VOCAB = 12
TARGET = ToyEngine(vocab_size=VOCAB, seed=5)
DRAFT = ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6)
CODEC = FixedWidthCodec()


def session(*, prompt: tuple[int, ...] = (1, 2, 3), max_block: int = 64, context_length: int = 100) -> Session:
    opening = Opening(prompt, Sampling(), seed=9, vocab_size=VOCAB)
    return Session(opening, vocab_size=VOCAB, context_length=context_length, max_block=max_block)


def payload(history: list[int]) -> Payload:
    indices, kept = top_k(distribution(DRAFT.logits(history), Sampling()), VOCAB)
    return CODEC.encode(indices, kept, VOCAB)


def judge(of: Session, block: Block, history: list[int]) -> Verdict:
    """Plan, let the toy target read, judge."""
    work = of.plan(block, len(history) - 1)
    whole = [*history, *block.sync, *block.drafted]
    first = len(history) + len(block.sync)
    return of.judge(block, np.stack([TARGET.logits(whole[: first + row]) for row in range(work.rows)]))


def test_a_block_makes_the_target_read_what_it_has_not_read_and_no_more() -> None:
    work = session().plan(Block(5, (4, 5), (6,), (payload([1, 2, 3, 4, 5]),)), read=2)
    assert work == Work(keep=2, tokens=(3, 4, 5), rows=1)


def test_a_sequence_that_read_a_rejected_draft_is_dropped_to_the_history() -> None:
    assert session().plan(Block(3, (), generate=1), read=7) == Work(keep=2, tokens=(3,), rows=1)


def test_an_accepted_draft_continues_the_history_and_a_rejected_one_is_replaced() -> None:
    accepted = replaced = 0
    for seed_token in range(VOCAB):
        of = session(prompt=(1, 2, seed_token))
        verdict = judge(of, Block(3, (), (6,), (payload([1, 2, seed_token]),)), [1, 2, seed_token])
        assert (verdict.accepted, verdict.token is None) in ((1, True), (0, False))
        assert of.length == 4
        accepted, replaced = accepted + verdict.accepted, replaced + 1 - verdict.accepted
    assert accepted
    assert replaced


@pytest.mark.parametrize("k", [1, 3, VOCAB])
def test_a_verdict_is_that_of_the_rule_with_the_whole_law_rebuilt_and_all_noise_drawn(k: int) -> None:
    fates = set()
    for last, token in product(range(VOCAB), repeat=2):
        history = [1, 2, last]
        indices, kept = top_k(distribution(DRAFT.logits(history), Sampling()), k)
        sent = CODEC.encode(indices, kept, VOCAB)
        verdict = judge(session(prompt=(1, 2, last)), Block(3, (), (token,), (sent,)), history)
        x, y = CODEC.decode(sent, VOCAB).rebuilt(), distribution(TARGET.logits(history), Sampling())
        accept, other = uniform(9, 3, Purpose.ACCEPT), uniform(9, 3, Purpose.RESIDUAL)
        stands = accept * float(x[token]) < float(y[token])
        expected = None if stands else sample(residual(y, x), other)
        assert (verdict.accepted, verdict.token) == (int(stands), expected)
        assert verdict.betas == (rejection_probability(x, y, token),)
        fates.add(stands)
    assert fates == {True, False}


def test_several_drafts_stand_up_to_the_first_rejected_one() -> None:
    drafted = (6, 7, 8)
    history = [1, 2, 3]
    payloads = tuple(payload([*history, *drafted[:row]]) for row in range(3))
    of = session()
    verdict = judge(of, Block(3, (), drafted, payloads), history)
    assert len(verdict.betas) == min(3, verdict.accepted + 1)
    assert of.length == 3 + verdict.accepted + (verdict.token is not None)


def test_rejected_drafts_that_the_target_read_are_dropped_before_a_longer_history_is_read() -> None:
    rejected = 0
    for last in range(VOCAB):
        of, history, drafted = session(prompt=(1, 2, last)), [1, 2, last], (6, 7, 8, 9)
        payloads = tuple(payload([*history, *drafted[:row]]) for row in range(4))
        verdict = judge(of, Block(3, (), drafted, payloads), history)
        if verdict.accepted < 3:
            rejected += 1
            work = of.plan(Block(of.length + 3, (1, 2, 3), generate=1), read=6)
            assert work.keep + len(work.tokens) == of.length + 3
            assert 3 + verdict.accepted >= work.keep  # what it keeps are tokens that stood
    assert rejected


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Block(4, (), (6,), (payload([1]),)), "begins at position 4; expected 3"),
        (Block(3, (), (6,), ()), "0 payloads for 1 drafted"),
        (Block(3, ()), "expected one of the two"),
        (Block(3, (), (6,), (payload([1]),), generate=1), "expected one of the two"),
        (Block(3, (), (VOCAB,), (payload([1]),)), "token 12 is outside"),
        (Block(3, (), (1,) * 9, (payload([1]),) * 9), "drafts 9 tokens; expected at most 8"),
        (Block(3, (), generate=98), "reaches position 101"),
    ],
)
def test_a_block_that_does_not_fit_is_refused_and_changes_nothing(block: Block, message: str) -> None:
    of = session(max_block=8)
    with pytest.raises(ProtocolError, match=message):
        of.plan(block, read=2)
    assert of.length == 3


def test_as_many_tokens_are_synced_as_the_context_holds() -> None:
    work = session(max_block=8).plan(Block(99, (1,) * 96, generate=1), read=2)
    assert (work.keep, len(work.tokens)) == (2, 97)


def test_a_block_that_is_planned_but_never_judged_changes_nothing() -> None:
    of = session()
    of.plan(Block(5, (4, 5), generate=1), read=2)
    assert of.length == 3
    # What the target read of it is dropped again.
    assert of.plan(Block(4, (6,), generate=1), read=5) == Work(keep=3, tokens=(6,), rows=1)


def test_a_malformed_payload_is_refused_and_the_history_stays() -> None:
    of = session()
    bad = Block(4, (5,), (6,), (Payload(b"", 3),))
    with pytest.raises(ProtocolError, match="payload of position 4 is malformed"):
        judge(of, bad, [1, 2, 3])
    assert of.length == 3


@pytest.mark.parametrize(
    ("prompt", "message"),
    [((), "the prompt is empty"), ((1,) * 100, "100 tokens"), ((1, VOCAB), "outside the vocabulary")],
)
def test_a_prompt_that_does_not_fit_is_refused(prompt: tuple[int, ...], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        session(prompt=prompt)


def test_a_vocabulary_larger_than_the_models_is_refused() -> None:
    with pytest.raises(ProtocolError, match="vocabulary of 13 tokens; this model has 12"):
        Session(Opening((1,), Sampling(), 0, VOCAB + 1), vocab_size=VOCAB, context_length=100, max_block=8)
