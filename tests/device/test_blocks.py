"""Several drafted tokens per request, with a bonus token."""

import pytest
from tests.toy_pair import answer, settings, toy_device

from cuhlm.errors import ConfigurationError
from cuhlm.messages import Fate, Sampling
from cuhlm.methods import find_method
from cuhlm.settings import settings_for


@pytest.mark.parametrize("block", [2, 3, 7])
def test_greedy_blocks_give_the_targets_tokens_in_fewer_passes(block: int) -> None:
    with toy_device() as device:
        blocks = answer(device, settings("hlm", block=block), sampling=Sampling(0))
        assert blocks.tokens == answer(device, settings("remote"), sampling=Sampling(0)).tokens
    records = blocks.records
    passes = sum(record.target_passes for record in records)
    assert passes < len(records)
    assert {record.fate for record in records} >= {Fate.ACCEPTED, Fate.RESAMPLED}
    assert Fate.BONUS in {record.fate for record in records} or block > 2
    # One bill a block: its drafts' payloads, n + 1 rows.
    assert sum(record.transmitted for record in records) == passes
    assert all((record.payload_bits > 0) == record.transmitted for record in records)
    assert all(record.target_rows <= block + 1 for record in records)
    assert [record.position for record in records] == list(range(3, 3 + len(records)))


@pytest.mark.parametrize("tokens", [1, 2, 3, 4, 5])
def test_an_answer_in_blocks_is_no_longer_than_it_may_be(tokens: int) -> None:
    with toy_device(context_length=64) as device:
        for seed in range(5):
            assert len(answer(device, settings("hlm", block=3), seed=seed, tokens=tokens).tokens) == tokens


def test_nothing_is_drafted_behind_an_end_token() -> None:
    with toy_device(end_token=4) as device:
        for seed in range(20):
            made = answer(device, settings("hlm", block=6), seed=seed)
            assert 4 not in made.tokens[:-1]


@pytest.mark.parametrize(("method", "block"), [("hlm", 0), ("route", 2), ("lossless", 3), ("remote", 2)])
def test_a_block_that_a_method_cannot_take_is_refused(method: str, block: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{block} drafted tokens per request for {method}; expected 1, or"):
        settings_for(find_method(method), None, threshold=0.5, k=3, block=block)
