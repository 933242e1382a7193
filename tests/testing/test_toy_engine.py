"""The toy engine is a fixed model, and a noisy one is its draft."""

import numpy as np
import pytest

from cuhlm.errors import ConfigurationError
from cuhlm.testing import ToyEngine


def test_equal_arguments_make_equal_engines() -> None:
    assert np.array_equal(ToyEngine(seed=3).logits([1, 2]), ToyEngine(seed=3).logits([1, 2]))
    assert ToyEngine(seed=3).card == ToyEngine(seed=3).card


def test_the_model_is_fixed_for_ever() -> None:
    expected = [-8.0139217, -3.6034765, 0.2741805, 0.4273680]
    assert ToyEngine(vocab_size=4, seed=1).logits([0, 1]).tolist() == pytest.approx(expected, abs=1e-6)


def test_logits_depend_on_the_last_two_tokens_only() -> None:
    engine = ToyEngine()
    contexts = [[5, 1, 2], [6, 1, 2], [1, 2]]
    rows = [engine.logits(context) for context in contexts]
    assert all(np.array_equal(row, rows[0]) for row in rows)
    assert not np.array_equal(engine.logits([1, 3]), engine.logits([2, 3]))
    assert not np.array_equal(engine.logits([3]), engine.logits([0, 3]))
    assert engine.logits([]).shape == (16,)


def test_noise_makes_a_draft_of_a_target() -> None:
    target, near, far = (ToyEngine(vocab_size=500, seed=1, noise=noise) for noise in (0.0, 0.3, 3.0))
    correlations = [np.corrcoef(target.logits([1, 2]), draft.logits([1, 2]))[0, 1] for draft in (near, far)]
    assert correlations[0] > 0.9
    assert 0 < correlations[1] < 0.6
    assert len({engine.card.fingerprint for engine in (target, near, far)}) == 3
    assert target.card.vocab_fingerprint == near.card.vocab_fingerprint


def test_sharpness_scales_the_logits() -> None:
    flat, sharp = ToyEngine(noise=0.5), ToyEngine(noise=0.5, sharpness=4)
    assert np.allclose(sharp.logits([1]), 4 * flat.logits([1]))


def test_a_text_goes_through_the_tokenizer_and_back() -> None:
    tokenizer = ToyEngine(vocab_size=512, end_token=511).tokenizer
    vocabulary = tokenizer.vocabulary()
    assert len(set(vocabulary)) == 512
    text = b"".join(vocabulary[:511]).decode()
    assert tokenizer.tokenize(text) == list(range(511))
    assert b"".join(map(tokenizer.piece, range(512))).decode() == text
    assert tokenizer.end_tokens == {511}


@pytest.mark.parametrize("arguments", [{"vocab_size": 1}, {"vocab_size": 10**6}, {"vocab_size": 4, "end_token": 4}])
def test_nonsense_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="choose another value"):
        ToyEngine(**arguments)
