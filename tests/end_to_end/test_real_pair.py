"""The built-in pair with a verifier process: real models, real gRPC."""

import asyncio
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, suppress

import pytest
from tests.eventually import HANG_SECONDS

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.data import DRAFT_PROFILE
from cuhlm.device.device import Answer, Device, Request, collect
from cuhlm.device.drafting import Drafting
from cuhlm.device.ending import Limits
from cuhlm.device.offering import Offering
from cuhlm.device.steps import Emit, Finish
from cuhlm.device.stopwatch import Stopwatch
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.errors import LinkError, LinkTimeout
from cuhlm.link.grpc import GrpcLink, Security
from cuhlm.link.in_process import InProcessLink
from cuhlm.messages import Block, Opening, Sampling
from cuhlm.methods import find_method
from cuhlm.profiles import load_profile
from cuhlm.records import TokenRecord
from cuhlm.settings import Settings, settings_for
from cuhlm.verifier.host import Verifier
from cuhlm.verifier.process import VerifierProcess, verifier_process

GREEDY = Sampling(temperature=0)
PROMPTS = (
    "Why is the sky blue?",
    "Name three fruits.",
    "Write a haiku about the sea.",
    "What is 17 plus 25?",
    "Translate 'good morning' into French.",
)


@pytest.fixture(scope="module")
def verifier() -> Iterator[VerifierProcess]:
    with verifier_process("smollm2-135m", sessions=2, context=512, threads=1) as running:
        yield running


@pytest.fixture(scope="module")
def device(draft_engine: LlamaCppEngine, verifier: VerifierProcess) -> Iterator[Device]:
    with closing(_link(verifier)) as link:
        yield Device(draft_engine, link)


def _link(verifier: VerifierProcess, deadline_seconds: float = 30.0) -> GrpcLink:
    return GrpcLink(verifier.address, security=Security(verifier.token), deadline_seconds=deadline_seconds)


def settings(method: str, **numbers: float) -> Settings:
    return settings_for(find_method(method), load_profile(DRAFT_PROFILE), **{"threshold": 0.5, **numbers})


def request(device: Device, prompt: str, sampling: Sampling, tokens: int = 24, seed: int = 1) -> Request:
    return Request(device.prompt(prompt), sampling, seed, Limits(tokens))


def answer(
    device: Device, chosen: Settings, prompt: str, sampling: Sampling = Sampling(), *, tokens: int = 24, seed: int = 1
) -> Answer:
    return collect(device.generate(chosen, request(device, prompt, sampling, tokens, seed)))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_hlm_is_greedy_remote_token_for_token(prompt: str, device: Device) -> None:
    hlm, remote = (answer(device, settings(method), prompt, GREEDY) for method in ("hlm", "remote"))
    assert hlm.tokens == remote.tokens
    assert hlm.text == remote.text


@pytest.mark.parametrize("prompt", PROMPTS[:3])
def test_cu_hlm_with_a_vanishing_bound_is_u_hlm_token_for_token(prompt: str, device: Device) -> None:
    whole, bound = answer(device, settings("u-hlm"), prompt), answer(device, settings("cu-hlm", vartheta=0.0), prompt)
    assert bound.tokens == whole.tokens
    assert [record.fate for record in bound.records] == [record.fate for record in whole.records]
    assert {True, False} == {record.transmitted for record in whole.records}


def test_the_same_seed_gives_the_same_answer_near_and_far(
    device: Device, draft_engine: LlamaCppEngine, target_engine: LlamaCppEngine
) -> None:
    chosen = settings("cu-hlm")
    far = [answer(device, chosen, PROMPTS[0]).tokens for _ in range(2)]
    with closing(Verifier(target_engine)) as nearby:
        near = answer(Device(draft_engine, InProcessLink(nearby)), chosen, PROMPTS[0]).tokens
    assert far[0] == far[1] == near
    assert answer(device, chosen, PROMPTS[0], seed=2).tokens != near


def test_the_bytes_on_the_socket_are_the_payload_and_little_else(device: Device) -> None:
    hlm, route = (answer(device, settings(method), PROMPTS[0], tokens=6).records[1:] for method in ("hlm", "route"))
    assert all(147_456 < record.wire_bytes_up < 147_456 + 400 for record in hlm)
    assert all(20 < record.wire_bytes_up < 120 for record in route if record.transmitted)
    assert all(20 < record.wire_bytes_down < 200 for record in hlm)


@pytest.mark.parametrize("seed", range(4))
def test_a_draft_sent_twice_gets_the_same_verdict_also_in_another_session(
    seed: int, device: Device, verifier: VerifierProcess
) -> None:
    prompt = device.prompt(PROMPTS[0])
    drafting = Drafting(device.draft.open(), Sampling(), seed, device.vocab_size)
    watch = Stopwatch(lambda: 0.0)
    proposal = drafting.propose(prompt, watch)
    drafting.close()
    offer = Offering(settings("cu-hlm"), FixedWidthCodec(), seed, device.vocab_size).offer(proposal, 1.0, watch)
    block = Block(len(prompt), (), offer.drafted, offer.payloads)
    verdicts: list[tuple[int, int, int | None, tuple[float, ...]]] = []
    with closing(_link(verifier)) as link:
        for _ in range(2):
            session = link.open(Opening(prompt, Sampling(), seed, device.vocab_size))
            session.ready()
            for _ in range(2):
                session.send(block)
                verdict = session.receive(None)
                assert verdict is not None
                verdicts.append((verdict.position, verdict.accepted, verdict.token, verdict.betas))
            session.close()
    assert len(verdicts) == 4
    assert len(set(verdicts)) == 1


def test_the_asynchronous_device_decides_as_the_blocking_one(device: Device) -> None:
    chosen, wanted = settings("cu-hlm"), request(device, PROMPTS[1], Sampling(), tokens=12)

    async def gather() -> list[Emit | Finish]:
        return [item async for item in device.generate_async(chosen, wanted)]

    tokens = tuple(item.record.token for item in asyncio.run(gather()) if isinstance(item, Emit))
    assert tokens == collect(device.generate(chosen, wanted)).tokens


def _begun(
    verifier: VerifierProcess, deadlines: Sequence[float], device: Device, links: ExitStack
) -> tuple[Generator[Emit, None, Finish], list[TokenRecord]]:
    """A generation and its first five tokens, over a link with the first deadline that they keep."""
    for deadline_seconds in deadlines:
        with suppress(LinkTimeout):
            bereft = Device(device.draft, links.enter_context(closing(_link(verifier, deadline_seconds))))
            generation = bereft.generate(settings("hlm"), request(device, PROMPTS[0], Sampling(), tokens=200))
            return generation, [next(generation).record for _ in range(5)]
    raise AssertionError("the verifier did not answer")


@pytest.mark.parametrize(
    ("blow", "error", "deadlines"),
    [(signal.SIGKILL, LinkError, (HANG_SECONDS,)), (signal.SIGSTOP, LinkTimeout, (1, 4, 16, HANG_SECONDS))],
    ids=["killed", "silent"],
)
def test_a_lost_verifier_is_an_error_at_once_or_at_the_deadline_and_the_tokens_so_far_stand(
    blow: signal.Signals, error: type[LinkError], deadlines: Sequence[float], device: Device
) -> None:
    """One that is killed is noticed without the deadline, which would make it a timeout.

    A busy machine may need longer than a short deadline for an honest answer: then a longer one is taken.
    """
    whole = answer(device, settings("hlm"), PROMPTS[0])
    with (
        verifier_process("smollm2-135m", sessions=len(deadlines), context=512, threads=1) as doomed,
        ExitStack() as links,
    ):
        generation, records = _begun(doomed, deadlines, device, links)
        os.kill(doomed.process.pid, blow)
        with pytest.raises(error) as raised:
            records.extend(emit.record for emit in generation)
        doomed.process.send_signal(signal.SIGCONT)
    assert type(raised.value) is error
    tokens = tuple(record.token for record in records)
    assert 5 <= len(tokens) < len(whole.tokens)
    assert tokens == whole.tokens[: len(tokens)]
    first = len(device.prompt(PROMPTS[0]))
    assert [record.position for record in records] == list(range(first, first + len(tokens)))
    assert doomed.address in str(raised.value)
