"""The verifier's session: block in, verdict out, no I/O."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.errors import ProtocolError
from cuhlm.messages import Block, Chunk, Opening, Payload, Sampling, Verdict, Verification
from cuhlm.testing import ToyEngine
from cuhlm.theory.distributions import distribution
from cuhlm.theory.race import naive_race
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.rejection import rejection_probability
from cuhlm.theory.truncation import top_k
from cuhlm.theory.verification import residual, sample
from cuhlm.verifier.session import Session, Work

VOCAB = 12
TARGET = ToyEngine(vocab_size=VOCAB, seed=5)
DRAFT = ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6)
CODEC = FixedWidthCodec()


def session(
    *,
    prompt: tuple[int, ...] = (1, 2, 3),
    max_block: int = 64,
    context_length: int = 100,
    rule: Verification = Verification.SPECULATIVE,
    end_tokens: frozenset[int] = frozenset(),
) -> Session:
    opening = Opening(prompt, Sampling(), seed=9, vocab_size=VOCAB, verification=rule)
    return Session(opening, vocab_size=VOCAB, context_length=context_length, max_block=max_block, end_tokens=end_tokens)


def keyed(**given: Any) -> Session:
    return session(rule=Verification.KEYED, **given)


def of_the_target(history: Sequence[int], count: int) -> tuple[int, ...]:
    """What the target alone says behind `history`, by the definition of the race."""
    tokens = list(history)
    for _ in range(count):
        tokens.append(naive_race(distribution(TARGET.logits(tokens), Sampling()), 9, len(tokens)).token)
    return tuple(tokens[len(history) :])


def another(token: int) -> int:
    return (token + 1) % VOCAB


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
        (Block(3, ()), "drafts 0 tokens and asks for 0; expected drafts and at most one"),
        (Block(3, (), (6,), (payload([1]),), generate=2), "drafts 1 tokens and asks for 2; expected drafts and at"),
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


PROMPT = [1, 2, 3]
RIGHT = of_the_target(PROMPT, 6)


@pytest.mark.parametrize("stand", range(5))
@pytest.mark.parametrize("generate", [0, 1])
def test_a_keyed_draft_stands_iff_it_is_the_targets_token_and_the_targets_replaces_the_first_other(
    stand: int, generate: int
) -> None:
    drafted = (*RIGHT[:stand], *map(another, RIGHT[stand:4]))
    of = keyed()
    verdict = judge(of, Block(3, (), drafted, generate=generate), PROMPT)
    token = RIGHT[stand] if stand < 4 or generate else None
    assert verdict == Verdict(3, stand, token, judged=4)
    assert of.history == [*PROMPT, *RIGHT[: stand + (token is not None)]]


def test_a_keyed_draft_that_is_right_behind_a_wrong_one_does_not_stand() -> None:
    wrong = another(RIGHT[0])
    behind = of_the_target([*PROMPT, wrong], 2)
    verdict = judge(keyed(), Block(3, (), (wrong, *behind), generate=1), PROMPT)
    assert (verdict.accepted, verdict.token) == (0, RIGHT[0])


def test_blocks_of_a_keyed_session_continue_the_text_that_the_target_makes_alone_whatever_was_drafted() -> None:
    whole, of = of_the_target(PROMPT, 40), keyed()
    for number in range(12):
        position = of.length
        right = whole[position - 3 :][:3]
        drafted = tuple(token if (number + at) % 4 else another(token) for at, token in enumerate(right))
        judge(of, Block(position, (), drafted, generate=1), list(of.history))
    assert tuple(of.history[3:]) == whole[: of.length - 3]
    assert of.length > 3 + 12


@pytest.mark.parametrize("rule", [Verification.KEYED, Verification.SPECULATIVE])
def test_n_drafts_and_a_bonus_token_are_n_and_1_rows_and_the_target_reads_every_draft(rule: Verification) -> None:
    drafted, payloads = (6, 7, 8), (payload(PROMPT),) * (3 if rule is Verification.SPECULATIVE else 0)
    of = session(rule=rule)
    assert of.plan(Block(3, (), drafted, payloads, generate=1), read=2) == Work(2, (3, 6, 7, 8), 4)
    assert of.plan(Block(3, (), drafted, payloads), read=2) == Work(2, (3, 6, 7), 3)
    assert of.plan(Block(5, (4, 5), drafted, payloads, generate=1), read=2) == Work(2, (3, 4, 5, 6, 7, 8), 4)
    assert of.plan(Block(3, (), generate=9), read=2) == Work(2, (3,), 1)  # of several, one pass makes the first


def test_nothing_is_decided_behind_an_end_token_inside_a_keyed_block() -> None:
    assert RIGHT[1] not in RIGHT[:1], "or the block would end sooner"
    for generate in (0, 1):
        of = keyed(end_tokens=frozenset({RIGHT[1]}))
        verdict = judge(of, Block(3, (), RIGHT[:4], generate=generate), PROMPT)
        assert (verdict.accepted, verdict.token) == (1, RIGHT[1])
        assert of.history == [*PROMPT, *RIGHT[:2]]


def test_what_the_target_read_of_drafts_that_fell_is_dropped_before_it_reads_on() -> None:
    of = keyed()
    judge(of, Block(3, (), (RIGHT[0], another(RIGHT[1]), 0, 0), generate=1), PROMPT)
    # It has read the prompt and all four drafts, and may keep the prompt and the one that stood.
    assert of.plan(Block(5, (), generate=1), read=7) == Work(keep=4, tokens=(RIGHT[1],), rows=1)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Block(3, (), (6,), (payload([1]),)), "1 payloads for 1 drafted tokens; expected 0: the rule of .* is keyed"),
        (Block(3, (), (), (payload([1]),), generate=1), "1 payloads for 0 drafted tokens; expected 0"),
        (Block(3, (), (6,), generate=2), "drafts 1 tokens and asks for 2; expected drafts and at most one token"),
        (Block(3, ()), "drafts 0 tokens and asks for 0"),
        (Block(3, (), (6, VOCAB)), "token 12 is outside"),
        (Block(3, (), (1,) * 9), "drafts 9 tokens; expected at most 8"),
        (Block(4, (), (6,)), "begins at position 4; expected 3"),
        (Block(95, (1,) * 92, (1,) * 5, generate=1), "reaches position 101"),
    ],
)
def test_a_keyed_block_that_does_not_fit_is_refused_and_changes_nothing(block: Block, message: str) -> None:
    of = keyed(max_block=8)
    with pytest.raises(ProtocolError, match=message):
        of.plan(block, read=2)
    assert of.length == 3


def test_a_keyed_block_may_fill_the_context_to_its_last_position() -> None:
    assert keyed(max_block=8).plan(Block(95, (1,) * 92, (1,) * 4, generate=1), read=2).rows == 5


@pytest.mark.parametrize("drafts", [1, 2, 4])
def test_a_speculative_block_that_stands_whole_has_the_targets_race_token_behind_it_and_another_has_none(
    drafts: int,
) -> None:
    whole, cut = 0, 0
    for last in range(VOCAB):
        history = [1, 2, last]
        drafted = of_the_target(history, drafts)  # likely ones
        laws = tuple(payload([*history, *drafted[:row]]) for row in range(drafts))
        alone = judge(session(prompt=(1, 2, last)), Block(3, (), drafted, laws), history)
        of = session(prompt=(1, 2, last))
        verdict = judge(of, Block(3, (), drafted, laws, generate=1), history)
        assert (verdict.accepted, verdict.betas, verdict.judged) == (alone.accepted, alone.betas, drafts)
        if verdict.accepted == drafts:
            assert alone.token is None
            assert (verdict.token,) == of_the_target([*history, *drafted], 1)
            whole += 1
        else:
            assert verdict.token == alone.token
            cut += 1
        assert of.history[3:] == [*drafted[: verdict.accepted], verdict.token]
    assert whole
    assert cut


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (Chunk(3, (1,) * 9, 3), "9 drafts are streamed ahead at once; expected at most 8"),
        (Chunk(3, (1, VOCAB), 3), "token 12 is outside the vocabulary of 12"),
        (Chunk(3, (-1,), 3), "token -1 is outside"),
    ],
)
def test_drafts_that_no_device_streams_ahead_are_refused(chunk: Chunk, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        keyed(max_block=8).check_chunk(chunk)


def test_drafts_that_come_late_or_leave_a_gap_are_no_mistake_of_the_device() -> None:
    of = keyed(max_block=8)
    for chunk in (Chunk(0, (1,) * 8, 0), Chunk(2**32 - 1, (1,), 2**32 - 1), Chunk(3, (), 3, asks=True)):
        of.check_chunk(chunk)
