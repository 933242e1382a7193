"""Many generations on one device, with the real draft model: each gets the tokens that it gets alone."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from tests.eventually import COMMAND_SECONDS
from tests.toy_pair import VOCAB, answer, settings

from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.device.steps import Emit
from cuhlm.engines.batching import Batcher
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.load import load_engine
from cuhlm.engines.locate import BUILT_IN_DRAFT, BUILT_IN_TARGET
from cuhlm.errors import ModelBusy
from cuhlm.link.in_process import InProcessLink
from cuhlm.messages import Sampling
from cuhlm.testing import ToyEngine
from cuhlm.verifier.host import Verifier

GENERATIONS = 8
LOCAL = settings("local")
PROMPTS = ("Why is the sky blue?", "Name three fruits.", "2 + 2 =", "Once upon a time")


def loaded(name: str) -> Iterator[LlamaCppEngine]:
    with closing(load_engine(name, context_length=128, sequences=GENERATIONS)) as engine:
        yield engine


@pytest.fixture(scope="module")
def draft() -> Iterator[LlamaCppEngine]:
    yield from loaded(BUILT_IN_DRAFT)


@pytest.fixture(scope="module")
def target() -> Iterator[LlamaCppEngine]:
    yield from loaded(BUILT_IN_TARGET)


def requests(device: Device) -> list[Request]:
    """One each, all of different seeds and some of different prompts."""
    texts = [PROMPTS[number % len(PROMPTS)] for number in range(GENERATIONS)]
    return [
        Request(tuple(device.draft.tokenizer.tokenize(text)), Sampling(), seed, Limits(10))
        for seed, text in enumerate(texts)
    ]


async def generated(device: Device, method: str, request: Request) -> list[int]:
    items = device.generate_async(settings(method), request)
    return [item.record.token async for item in items if isinstance(item, Emit)]


async def generated_at_once(device: Device, method: str) -> list[list[int]]:
    return await asyncio.gather(*(generated(device, method, request) for request in requests(device)))


async def generated_in_turn(device: Device, method: str) -> list[list[int]]:
    return [await generated(device, method, request) for request in requests(device)]


def test_answers_written_at_once_are_those_written_alone(draft: LlamaCppEngine) -> None:
    with closing(Device(draft, None)) as device:
        assert draft.card.batch_invariant
        assert asyncio.run(generated_at_once(device, "local")) == asyncio.run(generated_in_turn(device, "local"))


@pytest.mark.parametrize("method", ["remote", "cu-hlm"])
def test_answers_over_one_verifier_at_once_are_those_written_alone(
    draft: LlamaCppEngine, target: LlamaCppEngine, method: str
) -> None:
    assert target.card.batch_invariant
    with (
        closing(Verifier(target, max_sessions=GENERATIONS)) as verifier,
        closing(Device(draft, InProcessLink(verifier))) as device,
    ):
        assert asyncio.run(generated_at_once(device, method)) == asyncio.run(generated_in_turn(device, method))


def test_threads_may_share_a_device_and_devices_a_batcher(draft: LlamaCppEngine) -> None:
    with closing(Batcher(draft)) as batcher:
        devices = [Device(batcher, None) for _ in range(2)]
        asked = requests(devices[0])

        def tokens(number: int) -> tuple[int, ...]:
            device, request = devices[number % 2], asked[number]
            return answer(device, LOCAL, seed=request.seed, tokens=10, prompt=request.prompt).tokens

        alone = [tokens(number) for number in range(GENERATIONS)]
        with ThreadPoolExecutor(GENERATIONS) as threads:
            assert list(threads.map(tokens, range(GENERATIONS))) == alone


def test_a_generation_more_than_the_model_has_sequences_is_told_so_and_harms_no_other() -> None:
    device = Device(ToyEngine(vocab_size=VOCAB, sequences=1), None)
    request = Request((1, 2), limits=Limits(3))
    first = device.generate(LOCAL, request)
    next(first)
    with pytest.raises(ModelBusy, match="all 1 sequences are in use"):
        next(device.generate(LOCAL, request))
    assert len(list(first)) == 2
    assert len(list(device.generate(LOCAL, request))) == 3


def test_a_cancelled_generation_gives_its_sequence_back_while_others_go_on() -> None:
    async def run(device: Device) -> None:
        request = Request((1, 2), limits=Limits(100))
        left = device.generate_async(LOCAL, request)
        await anext(left)
        other = asyncio.create_task(generated(device, "local", request))
        waiting = asyncio.ensure_future(anext(left))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await left.aclose()
        assert len(await other) == 100
        assert len(await generated(device, "local", request)) == 100

    asyncio.run(run(Device(ToyEngine(vocab_size=VOCAB, sequences=2), None)))


ENDS_IN_MID_PASS = """
import sys, threading
from cuhlm.device.device import Device, Request
from cuhlm.engines.load import load_engine
from cuhlm.methods import find_method
from cuhlm.settings import Settings

engine = load_engine("smollm2-draft", context_length=2048, sequences=2)
device = Device(engine, None)
reads = lambda: next(device.generate(Settings(find_method("local")), Request((7, 8, 9) * 600)))
for _ in range(2):
    threading.Thread(target=reads, daemon=True).start()
while not device.draft.passes:
    pass
if "close" in sys.argv:
    engine.close()
"""


@pytest.mark.parametrize("way", ["end", "close"])
def test_a_program_may_end_or_free_the_model_while_a_forward_pass_is_under_way(way: str) -> None:
    command = [sys.executable, "-c", ENDS_IN_MID_PASS, way]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr
