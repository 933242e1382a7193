"""The law a method draws from, and its distance from the target's."""

from dataclasses import replace

import numpy as np
import pytest
from tests.toy_pair import PROMPT, VOCAB, answer, settings, toy_device

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.errors import ConfigurationError
from cuhlm.measuring.quality import greedy_law, mean_quality, method_law, token_qualities
from cuhlm.messages import Sampling
from cuhlm.methods import METHODS, DraftFrom
from cuhlm.settings import Settings
from cuhlm.testing import ToyEngine
from cuhlm.theory.distributions import distribution
from cuhlm.theory.quality import total_variation
from cuhlm.theory.truncation import top_k
from cuhlm.theory.uncertainty import Measure

DRAFT = ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6)
TARGET = ToyEngine(vocab_size=VOCAB, seed=5)
LOGITS = DRAFT.logits(PROMPT)
X, Y = distribution(LOGITS, Sampling()), distribution(TARGET.logits(PROMPT), Sampling())


def law(chosen: Settings) -> np.ndarray:
    return method_law(chosen, LOGITS, X, Y)


@pytest.mark.parametrize("draft_from", DraftFrom)
@pytest.mark.parametrize("method", METHODS)
def test_every_law_sums_to_one(method: str, draft_from: DraftFrom) -> None:
    assert law(settings(method, draft_from=draft_from)).sum() == pytest.approx(1, abs=1e-5)


def test_methods_that_hand_every_token_to_the_target_have_its_law() -> None:
    for chosen in (settings("remote"), settings("route", threshold=-1), settings("hlm", draft_from=DraftFrom.XHAT)):
        assert total_variation(law(chosen), Y) < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_the_greedy_law_is_the_general_one_at_temperature_zero(method: str) -> None:
    greedy = Sampling(0.0)
    for length in range(1, 20):
        text = tuple(position * position % VOCAB for position in range(length))
        logits = DRAFT.logits(text)
        x, y = distribution(logits, greedy), distribution(TARGET.logits(text), greedy)
        for threshold in (0.2, 0.4, 0.6):
            chosen = settings(method, threshold=threshold)
            assert total_variation(greedy_law(chosen, logits, x, y), method_law(chosen, logits, x, y)) < 1e-6


def test_local_has_the_drafts_law() -> None:
    assert total_variation(law(settings("local")), X) < 1e-6


def test_finer_quantisation_brings_hlm_nearer_to_the_target() -> None:
    distances = [total_variation(law(settings("hlm", b_prob=bits)), Y) for bits in (4, 8, 16)]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 1e-4


@pytest.mark.parametrize("b_prob", [4, 8, 16])
@pytest.mark.parametrize("k", [1, 2, 3, 6, VOCAB])
def test_a_verified_token_is_no_further_from_the_target_than_what_was_reported_is_from_the_draft(
    k: int, b_prob: int
) -> None:
    # Verification with x̂ maps drafts to tokens, and x̂ to y. No map brings two laws further apart.
    codec = FixedWidthCodec(b_prob)
    reported = codec.decode(codec.encode(*top_k(X, k), VOCAB), VOCAB).rebuilt()
    offline = law(settings("cu-hlm-offline", threshold=-1, k=k, b_prob=b_prob))
    assert total_variation(offline, Y) <= total_variation(X, reported) + 1e-6
    if k == VOCAB:
        assert offline == pytest.approx(law(settings("hlm", b_prob=b_prob)))


def test_a_gate_on_the_token_can_be_further_from_the_target_than_the_draft_is() -> None:
    # Likely drafts are skipped and unlikely ones redrawn, mostly as likely ones: the law gets too sharp.
    never, some, always = (total_variation(law(settings("route", threshold=limit)), Y) for limit in (-1, 0.6, 1))
    assert never < 1e-6
    assert always == pytest.approx(total_variation(X, Y), abs=1e-6)
    assert some > always


def test_a_path_is_as_good_as_the_mean_of_its_positions() -> None:
    chosen = settings("u-hlm", threshold=0.7)
    with toy_device() as device:
        tokens = answer(device, chosen, tokens=10).tokens
    whole = mean_quality(token_qualities(PROMPT, tokens, DRAFT, TARGET, chosen, Sampling(), VOCAB))
    distances = []
    for position in range(10):
        history = [*PROMPT, *tokens[:position]]
        x, y = (distribution(engine.logits(history), Sampling()) for engine in (DRAFT, TARGET))
        distances.append(total_variation(method_law(chosen, DRAFT.logits(history), x, y), y))
    assert whole.tv == pytest.approx(np.mean(distances))
    assert whole.nll > 0


def test_the_sampled_measure_has_no_law_in_closed_form_and_says_so() -> None:
    chosen = settings("u-hlm")
    sampled = replace(chosen, uncertainty=replace(chosen.uncertainty, measure=Measure.SAMPLED))
    with pytest.raises(ConfigurationError, match="calibrate with 'expected'"):
        token_qualities(PROMPT, (1, 2), DRAFT, TARGET, sampled, Sampling(), VOCAB)
