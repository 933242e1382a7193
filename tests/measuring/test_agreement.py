import numpy as np
import pytest

from cuhlm.engines.prompting import encode_prompt
from cuhlm.errors import ConfigurationError
from cuhlm.measuring.agreement import AgreementCount, measure_agreement
from cuhlm.theory.distributions import softmax
from cuhlm.theory.quality import total_variation

POSITIONS = 4000


def test_the_two_rules_agree_as_often_as_the_theory_says() -> None:
    """n = 4000 races on one pair of laws; keyed agreement lies in [(1 − TV)/(1 + TV), 1 − TV] ± 4 σ (0.03)."""
    rng = np.random.default_rng(0)
    draft, target = (rng.standard_normal(50).astype(np.float32) for _ in range(2))
    count = AgreementCount(1.0)
    for position in range(POSITIONS):
        count.add(draft, target, 7, position)
    result = count.result()
    tv = total_variation(softmax(draft), softmax(target))
    assert result.positions == POSITIONS
    assert result.one_minus_tv == pytest.approx(1 - tv, abs=1e-6)
    assert (1 - tv) / (1 + tv) - 0.03 < result.keyed < 1 - tv + 0.03
    assert result.keyed > 4 * float(softmax(draft) @ softmax(target)), "independent draws agree far less often"


def test_at_temperature_zero_all_three_are_one_question() -> None:
    rng = np.random.default_rng(1)
    count = AgreementCount(0.0)
    for position in range(50):
        row = rng.standard_normal(6).astype(np.float32)
        count.add(row, row if position % 2 else -row, 0, position)
    result = count.result()
    assert result.one_minus_tv == result.keyed == result.same_argmax == 0.5


def test_a_model_agrees_with_itself_and_its_draft_less(draft_engine, target_engine) -> None:
    prompts = [
        encode_prompt(target_engine.tokenizer, target_engine.card.chat, text)
        for text in ("Name three fruits.", "Why is the sky blue?")
    ]
    itself, draft = measure_agreement([target_engine, draft_engine], target_engine, prompts, (0.0, 1.0), max_tokens=8)
    for own, other in zip(itself, draft, strict=True):
        assert own.one_minus_tv == pytest.approx(1, abs=1e-5)
        assert own.keyed == 1
        assert own.positions == other.positions > 8
        assert 0.1 < other.one_minus_tv < 0.95


def test_prompts_that_leave_no_room_are_refused(draft_engine, target_engine) -> None:
    with pytest.raises(ConfigurationError, match="leaves room"):
        measure_agreement([draft_engine], target_engine, [tuple([5] * 2000)], (1.0,), max_tokens=8)
