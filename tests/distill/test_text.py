from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from cuhlm.distill.conversation import Conversation, TurnTokens
from cuhlm.distill.gguf_weights import read_weights
from cuhlm.distill.llama import Llama
from cuhlm.distill.text import LAW_ENTRIES, Text, _draw, write_text

TURNS = TurnTokens(opening=(1, 2), to_answer=(3, 4), to_user=(3, 5), ends=frozenset({3}))
DRAWS = 20_000


@pytest.fixture(scope="module")
def tiny(tiny_target: Path) -> Llama:
    return Llama.of(read_weights(tiny_target), device=torch.device("cpu"), dtype=torch.float32)


def written(tiny: Llama, seed: int = 0) -> Text:
    conversations = [Conversation(TURNS, (7, 8)), Conversation(TURNS)]
    return write_text(tiny, conversations, [0.7, 1.0], 24, torch.Generator().manual_seed(seed))


def test_the_laws_kept_are_the_targets_at_the_text_and_temperature_of_each_row(tiny: Llama) -> None:
    text = written(tiny)
    with torch.no_grad():
        logits = tiny.logits(tiny.hidden(text.tokens[:, :-1]))
    logprobs = (logits / torch.tensor([0.7, 1.0])[:, None, None]).log_softmax(-1)
    expected = logprobs.gather(-1, text.top_tokens.long())
    assert text.top_tokens.shape == (2, 23, LAW_ENTRIES)
    assert torch.allclose(text.top_logprobs.float(), expected, atol=0.02)  # float16
    assert bool((text.top_logprobs[..., 0] >= text.top_logprobs[..., -1]).all())


def test_only_what_the_target_answers_counts(tiny: Llama) -> None:
    text = written(tiny)
    assert text.tokens[0, :6].tolist() == [1, 2, 7, 8, 3, 4]
    assert text.is_answer[0, :5].tolist() == [False] * 5
    assert bool(text.is_answer[0, 5])
    assert not bool(text.is_answer[1].any()), "24 tokens end inside of the instruction that the target writes"


def test_the_same_seed_writes_the_same_text(tiny: Llama) -> None:
    assert torch.equal(written(tiny, 1).tokens, written(tiny, 1).tokens)
    assert not torch.equal(written(tiny, 1).tokens, written(tiny, 2).tokens)


def test_text_comes_back_from_a_file(tiny: Llama, tmp_path: Path) -> None:
    text = written(tiny)
    text.save(tmp_path / "text.npz")
    loaded = Text.load(tmp_path / "text.npz")
    assert torch.equal(loaded.tokens, text.tokens)
    assert torch.equal(loaded.top_logprobs, text.top_logprobs)


def p_value(draws: np.ndarray, law: np.ndarray) -> float:
    return float(chisquare(np.bincount(draws, minlength=len(law)), law * len(draws)).pvalue)


def test_tokens_are_drawn_from_the_law() -> None:
    """Chi-square, n = 20 000, 8 tokens, false-alarm rate 1e-4; sees a TV of 0.02; refuses the law at another T."""
    logits = torch.tensor([0.0, 1.0, 2.0, 0.5, -1.0, 1.5, 0.2, -0.5])
    draws = _draw(logits.repeat(DRAWS, 1), torch.Generator().manual_seed(0)).numpy()
    assert p_value(draws, logits.double().softmax(-1).numpy()) > 1e-4
    assert p_value(draws, (logits.double() / 0.9).softmax(-1).numpy()) < 1e-4
