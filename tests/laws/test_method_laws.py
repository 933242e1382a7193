"""Whole methods draw from the law they claim (design 4, rule 1).

Null hypothesis of each test: the first token of an answer follows the stated law, or the first two their joint law.
n seeds through decoding loop and session, joined; false-alarm rate 1e-4; the distance that is seen with a chance of
99 % is asserted. Each test also feeds the samples to a wrong law, which must be rejected.
"""

from dataclasses import replace

import numpy as np
import pytest
from tests.joined_pair import RememberingCodec, joined_tokens
from tests.toy_pair import PROMPT, VOCAB, settings, toy_device

from cuhlm.device.device import Request, collect
from cuhlm.device.drafting import Proposal
from cuhlm.device.ending import Limits
from cuhlm.device.offering import Offering
from cuhlm.device.stopwatch import Stopwatch
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.prompting import encode_prompt
from cuhlm.measuring.quality import method_law
from cuhlm.messages import Array, Block, Opening, Sampling
from cuhlm.methods import METHODS, DraftFrom
from cuhlm.settings import Settings
from cuhlm.testing import ToyEngine
from cuhlm.testing.law_checks import check_joint_law, check_law
from cuhlm.theory.distributions import LogitRow, distribution
from cuhlm.theory.quality import total_variation
from cuhlm.theory.randomness import Purpose, uniform, uniforms
from cuhlm.theory.truncation import TruncatedLaw, top_k
from cuhlm.theory.verification import draw
from cuhlm.verifier.session import Session

SEEDS = 5000
SMALLEST_TV = 0.067
SMALLEST_TV_OF_PAIRS = 0.16
SAMPLING = Sampling()
DRAFT, TARGET = ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6), ToyEngine(vocab_size=VOCAB, seed=5)
DRAFT_LOGITS = DRAFT.logits(PROMPT)
X = distribution(DRAFT_LOGITS, SAMPLING)
Y = distribution(TARGET.logits(PROMPT), SAMPLING)


def answers(chosen: Settings, tokens: int, *, seeds: int = SEEDS) -> np.ndarray:
    """The tokens of an answer for each seed, shape (seeds, tokens)."""
    requests = (Request(PROMPT, SAMPLING, seed, Limits(tokens)) for seed in range(seeds))
    codec = RememberingCodec(chosen.b_prob)
    return np.array([joined_tokens(DRAFT, TARGET, chosen, request, codec) for request in requests])


def first_tokens(chosen: Settings) -> np.ndarray:
    """The first token of an answer, for each seed."""
    return answers(chosen, 1)[:, 0]


@pytest.mark.parametrize("method", METHODS)
def test_loop_and_session_joined_give_the_tokens_of_a_device_and_its_link(method: str) -> None:
    chosen, codec = settings(method, threshold=0.6), RememberingCodec(b_prob=8)
    with toy_device() as device:
        for seed in range(3):
            request = Request(PROMPT, SAMPLING, seed, Limits(30))
            real = collect(device.generate_path(chosen, request)).tokens
            assert joined_tokens(DRAFT, TARGET, chosen, request, codec) == real


def test_draft_and_target_differ_by_more_than_the_tests_can_see() -> None:
    assert total_variation(X, Y) > 0.1


@pytest.mark.parametrize(
    "chosen",
    [
        settings("hlm", draft_from=DraftFrom.XHAT),
        settings("hlm", b_prob=16),
        settings("cu-hlm-offline", threshold=-1, k=2, draft_from=DraftFrom.XHAT),
        settings("cu-hlm", threshold=-1, vartheta=0.5, draft_from=DraftFrom.XHAT),
        settings("route", threshold=-1),
        settings("remote"),
    ],
    ids=["hlm from xhat", "hlm of 16 bits", "cu-hlm-offline k=2 from xhat", "cu-hlm from xhat", "route", "remote"],
)
def test_an_exact_method_draws_from_the_targets_law(chosen: Settings) -> None:
    # From x̂ exactly; with the paper's draft and 16 bits up to their rounding, which is far below what n can show.
    assert total_variation(method_law(chosen, DRAFT_LOGITS, X, Y), Y) < 1e-4
    tokens = first_tokens(chosen)
    check = check_law(tokens, Y)
    assert check.smallest_detectable_tv < SMALLEST_TV
    assert check.passed, check
    assert not check_law(tokens, X).passed


@pytest.mark.parametrize(
    "chosen",
    [
        settings("hlm"),
        settings("u-hlm", threshold=0.7),
        settings("rand-hlm", transmit_rate=0.4),
        settings("cu-hlm-offline", threshold=0.7, k=3),
        settings("cu-hlm", threshold=0.7, vartheta=0.5),
        settings("cu-hlm", threshold=0.7, vartheta=0.5, draft_from=DraftFrom.XHAT),
        settings("route", threshold=0.7),
        settings("local"),
    ],
    ids=["hlm", "u-hlm", "rand-hlm", "cu-hlm-offline", "cu-hlm", "cu-hlm from xhat", "gated route", "local"],
)
def test_a_method_draws_from_the_law_that_its_quality_is_computed_for(chosen: Settings) -> None:
    law = method_law(chosen, DRAFT_LOGITS, X, Y)
    tokens = first_tokens(chosen)
    check = check_law(tokens, law)
    assert check.smallest_detectable_tv < SMALLEST_TV
    assert check.passed, check
    seen = [wrong for wrong in (X, Y) if total_variation(law, wrong) > SMALLEST_TV]
    assert seen
    assert not any(check_law(tokens, wrong).passed for wrong in seen)


@pytest.mark.parametrize(
    "chosen",
    [settings("cu-hlm-offline", threshold=-1, k=2), settings("cu-hlm", threshold=-1, vartheta=1.0)],
    ids=["cu-hlm-offline", "cu-hlm"],
)
def test_truncation_with_the_papers_draft_costs_quality_that_the_law_shows(chosen: Settings) -> None:
    # The rule that the exact methods must not follow: x̂ is reported where x was drawn from. No token is skipped.
    law = method_law(chosen, DRAFT_LOGITS, X, Y)
    assert total_variation(law, Y) > SMALLEST_TV
    tokens = first_tokens(chosen)
    assert check_law(tokens, law).passed
    assert not check_law(tokens, Y).passed


@pytest.mark.parametrize(
    ("chosen", "tokens"),
    [
        (settings("hlm", draft_from=DraftFrom.XHAT), 2),
        (settings("hlm", draft_from=DraftFrom.XHAT, block=2), 2),  # a block of one and its bonus token
        (settings("hlm", draft_from=DraftFrom.XHAT, block=3), 4),  # both of them drafts
        (settings("cu-hlm", threshold=0.7, vartheta=0.5, draft_from=DraftFrom.XHAT), 2),
        (settings("remote"), 2),
        (settings("lossless"), 2),
    ],
    ids=["hlm from xhat", "hlm, bonus token", "hlm in blocks", "cu-hlm from xhat", "remote", "lossless"],
)
def test_the_second_token_follows_its_law_given_the_first(chosen: Settings, tokens: int) -> None:
    # Null hypothesis: p(a)·p(b | a). It fails where anything that decided a decides b, too: noise, a gate, a history.
    second = np.array([law_after(chosen, (*PROMPT, token)) for token in range(VOCAB)])
    first = law_after(chosen, PROMPT)
    pairs = answers(chosen, tokens)[:, :2]
    check = check_joint_law(pairs, first, second)
    assert check.smallest_detectable_tv < SMALLEST_TV_OF_PAIRS
    assert check.passed, check
    alone = first @ second  # the law of the second token, whatever the first is
    joint, independent = (first[:, None] * second).ravel(), np.outer(first, alone).ravel()
    assert total_variation(joint, independent) > SMALLEST_TV_OF_PAIRS
    assert not check_joint_law(pairs, first, np.tile(alone, (VOCAB, 1))).passed


def law_after(chosen: Settings, history: tuple[int, ...]) -> np.ndarray:
    """The law of the token that `chosen` puts after `history`."""
    logits = DRAFT.logits(history)
    x, y = distribution(logits, SAMPLING), distribution(TARGET.logits(history), SAMPLING)
    return np.asarray(method_law(chosen, logits, x, y), np.float64)


# On the real pair: one real position, |V| = 49152, read once and judged under n seeds. False-alarm rate 1e-4. Rare
# tokens share cells, and the smallest TV that is seen counts in all that could hide there (12 % of the mass at
# n = 10 000, 18 % at 2000); a levelled tail, which is what truncation might do wrong, is seen there nevertheless.


@pytest.fixture(scope="module")
def real_logits(draft_engine: LlamaCppEngine, target_engine: LlamaCppEngine) -> tuple[tuple[int, ...], Array, Array]:
    """A prompt, and what draft and target say after it."""
    prompt = encode_prompt(draft_engine.tokenizer, draft_engine.card.chat, "Give me three tips for packing a suitcase.")
    logits = []
    for engine in (draft_engine, target_engine):
        sequence = engine.open()
        logits.append(sequence.append(prompt)[0])
        sequence.close()
    return prompt, logits[0], logits[1]


def judged_tokens(
    chosen: Settings, prompt: tuple[int, ...], draft_logits: Array, target_logits: Array, n: int
) -> np.ndarray:
    """What the device offers and the session decides, for each seed."""
    x, vocab_size, tokens = distribution(draft_logits, SAMPLING), len(draft_logits), []
    codec = RememberingCodec(chosen.b_prob)
    for seed in range(n):
        proposal = Proposal(len(prompt), LogitRow.of(draft_logits), draw(x, uniform(seed, len(prompt), Purpose.DRAFT)))
        offering = Offering(chosen, codec, seed, vocab_size)
        offer = offering.offer(proposal, 1.0, Stopwatch(lambda: 0.0))
        session = Session(
            Opening(prompt, SAMPLING, seed, vocab_size, codec=codec.name),
            vocab_size=vocab_size,
            context_length=1024,
            max_block=64,
        )
        block = Block(len(prompt), (), offer.drafted, offer.payloads)
        session.plan(block, read=len(prompt) - 1)
        verdict = session.judge(block, target_logits[None])
        tokens.append(offer.drafted[0] if verdict.token is None else verdict.token)
    return np.array(tokens)


@pytest.mark.parametrize(
    ("chosen", "n", "smallest_tv"),
    [
        (settings("cu-hlm-offline", k=30, draft_from=DraftFrom.XHAT), 10_000, 0.18),
        (settings("hlm", draft_from=DraftFrom.XHAT), 2000, 0.29),
        (settings("hlm"), 2000, 0.29),
    ],
    ids=["k = 30 from xhat", "hlm from xhat", "hlm"],
)
def test_on_the_real_pair_a_verified_token_follows_the_targets_law(
    chosen: Settings, n: int, smallest_tv: float, real_logits: tuple[tuple[int, ...], Array, Array]
) -> None:
    prompt, draft_logits, target_logits = real_logits
    x, y = distribution(draft_logits, SAMPLING), distribution(target_logits, SAMPLING)
    # With the paper's draft the 8 bits of a probability move the law a little: far less than n answers could show.
    never_skips = replace(chosen, threshold=-1)
    assert total_variation(method_law(never_skips, draft_logits, x, y), y) < 0.01
    tokens = judged_tokens(chosen, prompt, draft_logits, target_logits, n)
    check = check_law(tokens, y)
    assert check.smallest_detectable_tv < smallest_tv < total_variation(x, y)
    assert check.passed, check
    assert not check_law(tokens, x).passed


def test_on_the_real_pair_a_draft_from_x_reported_as_its_truncation_is_caught(
    real_logits: tuple[tuple[int, ...], Array, Array],
) -> None:
    prompt, draft_logits, target_logits = real_logits
    x, y = distribution(draft_logits, SAMPLING), distribution(target_logits, SAMPLING)
    chosen = settings("cu-hlm-offline", threshold=-1, k=30)
    law = method_law(chosen, draft_logits, x, y)
    tokens = judged_tokens(chosen, prompt, draft_logits, target_logits, 10_000)
    check = check_law(tokens, law)
    assert check.passed, check
    against_target = check_law(tokens, y)
    assert against_target.smallest_detectable_tv < 0.18 < total_variation(law, y)
    assert not against_target.passed


@pytest.mark.parametrize(("n", "smallest_tv"), [(1000, 0.1), (10_000, 0.07)])
def test_on_the_real_pair_a_levelled_tail_is_caught_though_it_is_rare(
    n: int, smallest_tv: float, real_logits: tuple[tuple[int, ...], Array, Array]
) -> None:
    # The wrong rule: y as truncation would rebuild it. It is levelled only where tokens share cells. 20 of 20.
    y = distribution(real_logits[2], SAMPLING)
    rebuilt = TruncatedLaw(*top_k(y, int((n * y >= 20).sum())), y.size).rebuilt()
    assert total_variation(rebuilt, y) > smallest_tv
    sums = np.cumsum(rebuilt, dtype=np.float64)
    for position in range(20):
        tokens = np.searchsorted(sums, sums[-1] * uniforms(31, position, Purpose.DRAFT, n))
        assert not check_law(tokens, y).passed
