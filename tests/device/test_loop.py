"""The decoding loop, over the in-process link and the toy pair."""

import asyncio

import pytest
from tests.toy_pair import PROMPT, VOCAB, answer, settings, toy_device

from cuhlm.device.device import Device, Request, collect
from cuhlm.device.ending import Limits
from cuhlm.device.steps import Emit, Finish, Reason
from cuhlm.errors import ConfigurationError, ContextOverflow
from cuhlm.messages import Fate, Sampling
from cuhlm.methods import METHODS, DraftFrom
from cuhlm.testing import ToyEngine

GREEDY = Sampling(temperature=0)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_decides_as_many_tokens_as_asked_at_consecutive_positions(method: str) -> None:
    with toy_device() as device:
        got = answer(device, settings(method), tokens=25)
    assert [record.position for record in got.records] == list(range(len(PROMPT), len(PROMPT) + 25))
    assert got.reason is Reason.MAX_TOKENS


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_answer_and_another_seed_another(method: str) -> None:
    with toy_device() as device:
        first, again, other = (answer(device, settings(method), seed=seed).tokens for seed in (7, 7, 8))
    assert first == again != other


def test_local_never_transmits_and_remote_never_drafts() -> None:
    with toy_device() as device:
        local, remote = answer(device, settings("local")), answer(device, settings("remote"))
    assert {record.fate for record in local.records} == {Fate.SKIPPED}
    assert not any(record.transmitted or record.target_passes for record in local.records)
    assert {record.fate for record in remote.records} == {Fate.TARGET}
    assert not any(record.draft_passes for record in remote.records)
    assert [record.transmitted for record in remote.records] == [True] + [False] * (len(remote.records) - 1)


def test_hlm_transmits_every_token_with_the_whole_vocabulary() -> None:
    with toy_device() as device:
        got = answer(device, settings("hlm"))
    assert all(record.transmitted and record.k == VOCAB for record in got.records)
    assert {record.fate for record in got.records} == {Fate.ACCEPTED, Fate.RESAMPLED}
    assert all(record.token == record.draft_token for record in got.records if record.fate is Fate.ACCEPTED)


def test_the_gate_skips_exactly_the_drafts_whose_uncertainty_is_within_the_threshold() -> None:
    with toy_device() as device:
        got = answer(device, settings("u-hlm", threshold=0.6), tokens=100)
    assert all((record.u <= 0.6) == (record.fate is Fate.SKIPPED) for record in got.records if record.u is not None)
    assert {Fate.SKIPPED, Fate.ACCEPTED} <= {record.fate for record in got.records}


def test_rand_hlm_transmits_at_its_rate() -> None:
    with toy_device() as device:
        got = answer(device, settings("rand-hlm", transmit_rate=0.3), tokens=400)
    share = sum(record.transmitted for record in got.records) / 400
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 400) ** 0.5  # false alarm rate 6e-5


def test_cu_hlm_offline_sends_k_entries_and_cu_hlm_as_many_as_the_bound_asks_for() -> None:
    with toy_device() as device:
        offline = answer(device, settings("cu-hlm-offline", k=4))
        loose, tight = (answer(device, settings("cu-hlm", vartheta=bound), tokens=80) for bound in (0.5, 0.05))
    assert {record.k for record in offline.records if record.transmitted} == {4}
    mean_k = [sum(r.k for r in got.records) / sum(r.transmitted for r in got.records) for got in (loose, tight)]
    assert 1 <= mean_k[0] < mean_k[1] <= VOCAB


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=5), GREEDY])
def test_cu_hlm_with_a_vanishing_bound_decides_as_u_hlm_does(sampling: Sampling) -> None:
    # With 16 bits, since k = |V| − 1 then leaves no more rounding error to the last entry than k = |V| does.
    with toy_device() as device:
        for seed in range(5):
            whole = answer(device, settings("u-hlm", b_prob=16), seed=seed, sampling=sampling)
            bound = answer(device, settings("cu-hlm", vartheta=0.0, b_prob=16), seed=seed, sampling=sampling)
            assert bound.tokens == whole.tokens
            assert [record.fate for record in bound.records] == [record.fate for record in whole.records]


def test_hlm_and_route_and_remote_agree_token_for_token_when_greedy() -> None:
    with toy_device() as device:
        remote = answer(device, settings("remote"), sampling=GREEDY).tokens
        for method in ("hlm", "u-hlm", "cu-hlm", "route"):
            never_skip = settings(method, threshold=-1.0)
            assert answer(device, never_skip, sampling=GREEDY).tokens == remote, method


def test_route_that_always_asks_is_remote_token_for_token_at_any_temperature() -> None:
    with toy_device() as device:
        assert answer(device, settings("route", threshold=-1.0)).tokens == answer(device, settings("remote")).tokens


def test_a_draft_from_xhat_is_drawn_afresh_and_named_in_the_record() -> None:
    with toy_device() as device:
        got = answer(device, settings("cu-hlm-offline", k=2, draft_from=DraftFrom.XHAT), tokens=200)
    accepted = [record for record in got.records if record.fate is Fate.ACCEPTED]
    assert accepted
    assert all(record.token == record.draft_token for record in accepted)


def test_an_end_token_ends_the_answer_whoever_made_it() -> None:
    with toy_device(end_token=4) as device:
        for method in METHODS:
            got = answer(device, settings(method), tokens=400)
            assert got.reason is Reason.END_OF_TURN
            assert got.tokens.index(4) == len(got.tokens) - 1


def test_a_full_context_ends_the_answer_and_a_prompt_that_fills_it_is_refused() -> None:
    with toy_device(context_length=20) as device:
        got = answer(device, settings("hlm"), tokens=400)
        assert (got.reason, len(got.tokens)) == (Reason.CONTEXT_FULL, 17)
        with pytest.raises(ContextOverflow, match="the prompt has 20 tokens"):
            answer(device, settings("hlm"), prompt=(1,) * 20)


def test_the_asynchronous_driver_decides_as_the_blocking_one() -> None:
    async def gather(device: Device, request: Request) -> list[Emit | Finish]:
        return [item async for item in device.generate_async(settings("cu-hlm"), request)]

    with toy_device() as device:
        request = Request(PROMPT, Sampling(), 3, Limits(30))
        items = asyncio.run(gather(device, request))
        blocking = collect(device.generate(settings("cu-hlm"), request))
    assert isinstance(items[-1], Finish)
    assert tuple(item.record.token for item in items if isinstance(item, Emit)) == blocking.tokens


def test_two_asynchronous_generations_run_beside_each_other() -> None:
    async def both(device: Device) -> list[list[int]]:
        async def one(seed: int) -> list[int]:
            items = device.generate_async(settings("cu-hlm"), Request(PROMPT, Sampling(), seed, Limits(30)))
            return [item.record.token async for item in items if isinstance(item, Emit)]

        return await asyncio.gather(one(1), one(2))

    with toy_device() as device:
        together = asyncio.run(both(device))
        alone = [list(answer(device, settings("cu-hlm"), seed=seed, tokens=30).tokens) for seed in (1, 2)]
    assert together == alone


def test_an_abandoned_generation_gives_its_places_back() -> None:
    with toy_device() as device:
        for _ in range(20):  # the toy engine has 8 places, the verifier 2
            generation = device.generate(settings("hlm"), Request(PROMPT, Sampling(), 0, Limits(5)))
            next(generation)
            generation.close()


def test_a_method_that_asks_needs_a_link() -> None:
    device = Device(ToyEngine(vocab_size=VOCAB), None)
    assert len(answer(device, settings("local"), tokens=5).tokens) == 5
    with pytest.raises(ConfigurationError, match="needs a verifier"):
        answer(device, settings("hlm"))


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (lambda: Request(()), "the prompt is empty"),
        (lambda: Request((1,), seed=-1), "the seed is -1"),
        (lambda: Request((1,), limits=Limits(0)), "max tokens is 0"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(request_of, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        request_of()
