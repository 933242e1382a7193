"""`split` draws from y where y comes down whole, and from a law within a stated distance where only its largest do.

n seeds through decoding loop and session, joined; false alarms 1e-4; each feeds itself a law that it must refuse.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.joined_pair import RememberingCodec, joined_tokens
from tests.laws.test_method_laws import (
    DRAFT,
    DRAFT_LOGITS,
    SMALLEST_TV,
    SMALLEST_TV_OF_PAIRS,
    TARGET,
    X,
    Y,
    answers,
    first_tokens,
)
from tests.toy_pair import PROMPT, VOCAB, answer, settings, toy_device

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.codec.whole_law import decode_law, encode_law
from cuhlm.device.device import Request
from cuhlm.device.drafting import Proposal
from cuhlm.device.ending import Limits
from cuhlm.device.split import Splitting
from cuhlm.errors import ConfigurationError, PayloadError, ProtocolError
from cuhlm.measuring.quality import method_law
from cuhlm.messages import Payload, Sampling, Verdict
from cuhlm.methods import DraftFrom
from cuhlm.testing.law_checks import check_joint_law, check_law
from cuhlm.theory.distributions import LogitRow, distribution
from cuhlm.theory.quality import total_variation
from cuhlm.theory.truncation import TruncatedLaw, top_k
from cuhlm.theory.verification import draw, resampled_law, resampling_distance

CODEC = FixedWidthCodec()


def told(entries: int, law: np.ndarray = Y) -> np.ndarray:
    return sent(min(entries, int(np.count_nonzero(law))), law).alone()


def sent(entries: int, law: np.ndarray = Y) -> TruncatedLaw:
    return CODEC.decode(CODEC.encode(*top_k(law, entries), len(law)), len(law))


@pytest.mark.parametrize("block", [1, 3])
def test_with_the_whole_of_y_a_token_has_the_law_of_the_target(block: int) -> None:
    tokens = first_tokens(settings("split", block=block))
    check = check_law(tokens, Y)
    assert check.smallest_detectable_tv < SMALLEST_TV
    assert check.passed, check
    assert not check_law(tokens, X).passed


@pytest.mark.parametrize("entries", [1, 5])
def test_with_the_largest_of_y_a_token_has_the_law_that_is_stated(entries: int) -> None:
    law = resampled_law(X, Y, told(entries))
    assert total_variation(law, Y) <= resampling_distance(X, Y, told(entries)) + 1e-9
    chosen = settings("split", block=1, law_entries=entries)
    assert np.array_equal(method_law(chosen, DRAFT_LOGITS, X, Y), law)  # by which an answer's quality is computed
    tokens = first_tokens(chosen)
    check = check_law(tokens, law)
    assert check.smallest_detectable_tv < SMALLEST_TV
    assert check.passed, check
    if entries == 1:  # far enough from y to be told from it
        assert total_variation(law, Y) > SMALLEST_TV
        assert not check_law(tokens, Y).passed


def test_two_tokens_of_a_block_have_their_joint_law() -> None:
    pairs = answers(settings("split", block=3), 4)[:, :2]
    second, wrong = (
        np.array([distribution(engine.logits((*PROMPT, first)), Sampling()) for first in range(VOCAB)])
        for engine in (TARGET, DRAFT)
    )
    check = check_joint_law(pairs, Y, second)
    assert check.smallest_detectable_tv < SMALLEST_TV_OF_PAIRS
    assert check.passed, check
    assert not check_joint_law(pairs, X, wrong).passed


@pytest.mark.parametrize("k", range(1, VOCAB + 1))
def test_blocks_of_drafts_from_xhat_are_exact_at_every_k(k: int) -> None:
    chosen = settings("cu-hlm-offline", threshold=-1, k=k, draft_from=DraftFrom.XHAT, block=2)
    check = check_law(answers(chosen, 1, seeds=2000)[:, 0], Y)
    assert check.smallest_detectable_tv < 0.13
    assert check.passed, check


def test_a_block_whose_drafts_are_from_x_and_judged_as_if_from_xhat_is_not_exact() -> None:
    """The negative control of the test above."""
    assert not check_law(first_tokens(settings("cu-hlm-offline", threshold=-1, k=1, block=2)), Y).passed


laws = st.lists(st.floats(0, 1), min_size=VOCAB, max_size=VOCAB).filter(lambda each: sum(each) > 1e-3)


@given(laws, laws, st.integers(1, VOCAB))
def test_the_stated_distance_is_never_exceeded(x: list[float], y: list[float], entries: int) -> None:
    draft_probs, target_probs = (np.array(each, np.float32) / np.float32(sum(each)) for each in (x, y))
    law = resampled_law(draft_probs, target_probs, told(entries, target_probs))
    distance = resampling_distance(draft_probs, target_probs, told(entries, target_probs))
    assert total_variation(law, target_probs) <= distance + 1e-6


def test_the_stated_distance_is_not_vacuous() -> None:
    rejected = float(np.maximum(Y - X, 0).sum())
    assert rejected > 0.1
    for entries, most in ((VOCAB, 0.002), (5, 0.01), (2, 0.03)):
        assert resampling_distance(X, Y, told(entries)) < most
    assert resampling_distance(X, Y, told(1)) == pytest.approx(rejected)  # the one is what is drafted too often


def test_a_law_whose_rest_is_levelled_is_not_the_one_that_is_drawn_from() -> None:
    """The wrong rule: ŷ as the verifier rebuilds x̂, of which tokens come that the target does not say."""
    levelled = resampled_law(X, Y, sent(1).rebuilt())
    assert total_variation(levelled, resampled_law(X, Y, told(1))) > SMALLEST_TV
    assert not check_law(first_tokens(settings("split", block=1, law_entries=1)), levelled).passed


@pytest.mark.parametrize("entries", [0, 2, 6, VOCAB])
def test_no_token_comes_that_the_targets_filters_exclude(entries: int) -> None:
    filtered = Sampling(temperature=1.0, top_k=3)
    chosen, codec = settings("split", block=3, law_entries=entries), RememberingCodec(b_prob=8)
    allowed = set(np.flatnonzero(distribution(TARGET.logits(PROMPT), filtered)))
    requests = (Request(PROMPT, filtered, seed, Limits(2)) for seed in range(500))
    firsts = {joined_tokens(DRAFT, TARGET, chosen, request, codec)[0] for request in requests}
    assert firsts <= allowed
    assert len(firsts) > 1


@pytest.mark.parametrize("entries", [0, 1])
def test_greedy_it_has_the_targets_tokens(entries: int) -> None:
    with toy_device() as device:
        one = answer(device, settings("split", block=4, law_entries=entries), sampling=Sampling(0))
        assert one.tokens == answer(device, settings("remote"), sampling=Sampling(0)).tokens
    assert all(record.law_bits > 0 for record in one.records if record.transmitted and record.fate == "resampled")
    assert sum(record.target_passes for record in one.records) < len(one.records)


def test_a_gate_ends_the_block_before_what_it_keeps() -> None:
    with toy_device() as device:
        one = answer(device, settings("cu-hlm", threshold=0.6, block=4), tokens=60)
    fates = [record.fate for record in one.records]
    assert {"skipped", "accepted", "bonus"} <= set(fates)
    for record in one.records:
        if record.fate == "skipped":
            assert record.u is not None
            assert record.u <= 0.6
        elif record.u is not None:
            assert record.u > 0.6


@given(laws)
def test_a_whole_law_survives_the_wire(weights: list[float]) -> None:
    law = np.array(weights, np.float32)
    law[:6] = 0  # as filters leave it
    if law.sum() > 0:
        law /= law.sum()
        assert np.array_equal(decode_law(encode_law(law), VOCAB), law)
    assert np.array_equal(decode_law(encode_law(Y), VOCAB), Y)


@pytest.mark.parametrize(
    ("law", "words"),
    [
        (Payload(b"", 1), "1 entries in 0 bytes"),
        (Payload(b"", 0), "0 entries in 0 bytes"),
        (Payload(b"\0" * 48, 13), "13 entries in 48 bytes"),
        (Payload(np.full(VOCAB, np.nan, "<f4").tobytes(), VOCAB), "sum to nan"),
        (Payload(np.full(VOCAB, 0.5, "<f4").tobytes(), VOCAB), "sum to 6"),
        (Payload(np.array([12], "<u4").tobytes() + np.array([1], "<f4").tobytes(), 1), "do not ascend below 12"),
        (Payload(np.array([3, 3], "<u4").tobytes() + np.array([0.5, 0.5], "<f4").tobytes(), 2), "do not ascend"),
        (Payload(np.array([3, 4], "<u4").tobytes() + np.array([1.5, -0.5], "<f4").tobytes(), 2), "at least 0 each"),
    ],
)
def test_what_is_no_law_is_refused(law: Payload, words: str) -> None:
    with pytest.raises(PayloadError, match=words):
        decode_law(law, VOCAB)


def test_a_negative_number_of_entries_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="y's entries is -1; expected 0"):
        settings("split", law_entries=-1)


def test_a_part_of_y_without_mass_is_refused() -> None:
    proposal = Proposal(3, LogitRow.of(DRAFT.logits(PROMPT)), draw(X, 0.5))
    nothing = Verdict(3, 0, None, judged=1, law=Payload(b"\x01\0\0", 2))
    with pytest.raises(ProtocolError, match="y of position 3 is malformed: all 2 entries are 0; expected a sum above"):
        Splitting(CODEC, 0, VOCAB).replaced(proposal, nothing)
