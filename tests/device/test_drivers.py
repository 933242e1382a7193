"""The asynchronous driver against a verifier that falls silent, over real gRPC."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from tests.eventually import HANG_SECONDS
from tests.relay import Relay, relay
from tests.toy_pair import PROMPT, VOCAB, settings
from tests.toy_server import serving

from cuhlm.device.device import Device, Request
from cuhlm.device.drivers import Worker
from cuhlm.device.ending import Limits
from cuhlm.device.steps import Emit
from cuhlm.link.grpc import GrpcLink
from cuhlm.messages import Sampling
from cuhlm.testing import ToyEngine

PLACES = 40  # more than asyncio keeps threads
REQUEST = Request(PROMPT, Sampling(), 0, Limits(5))


@contextmanager
def distant_device() -> Iterator[tuple[Device, Relay]]:
    draft = ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6, sequences=PLACES)
    with (
        serving(ToyEngine(vocab_size=VOCAB, seed=5, sequences=PLACES), sessions=PLACES) as address,
        relay(address) as between,
        closing(GrpcLink(between.address, deadline_seconds=HANG_SECONDS)) as link,
    ):
        yield Device(draft, link), between


def assert_every_place_is_free(device: Device) -> None:
    for sequence in [device.draft.open() for _ in range(PLACES)]:
        sequence.close()


async def tokens(device: Device) -> list[int]:
    items = device.generate_async(settings("hlm"), REQUEST)
    return [item.record.token async for item in items if isinstance(item, Emit)]


def test_the_event_loop_runs_on_while_a_session_opens() -> None:
    async def run(device: Device, between: Relay) -> list[int]:
        between.hold()
        generation = asyncio.create_task(tokens(device))
        for _ in range(20):  # which takes for ever where the loop waits for the session
            await asyncio.sleep(0.005)
        assert not generation.done()
        between.release()
        return await generation

    with distant_device() as (device, between):
        assert len(asyncio.run(run(device, between))) == 5


@pytest.mark.parametrize("decided", [0, 2], ids=["while it opens", "while it waits for a verdict"])
def test_a_generation_that_is_cancelled_twice_ends_and_gives_its_places_back(decided: int) -> None:
    async def run(device: Device, between: Relay) -> None:
        items = device.generate_async(settings("hlm"), REQUEST)
        for _ in range(decided):
            await anext(items)
        between.hold()
        waiting = asyncio.ensure_future(anext(items))
        await asyncio.sleep(0.2)
        waiting.cancel()
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, HANG_SECONDS)
        await items.aclose()
        between.release()

    with distant_device() as (device, between):
        asyncio.run(run(device, between))
        assert_every_place_is_free(device)
        assert len(asyncio.run(tokens(device))) == 5


def test_a_cancelled_caller_waits_for_the_end_of_what_it_runs() -> None:
    may_end, ended = threading.Event(), []

    def work() -> None:
        assert may_end.wait(HANG_SECONDS)
        ended.append(True)

    async def run() -> None:
        caller = asyncio.create_task(worker.run(work))
        for _ in range(3):
            await asyncio.sleep(0.02)
            caller.cancel()
        await asyncio.sleep(0.02)
        assert not caller.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert ended

    with Worker() as worker:
        asyncio.run(run())


def test_many_devices_that_wait_for_a_silent_verifier_do_not_stop_the_others() -> None:
    async def run(device: Device, between: Relay) -> None:
        between.hold()
        waiting = [asyncio.create_task(tokens(device)) for _ in range(PLACES - 1)]
        await asyncio.sleep(0.1)
        local = device.generate_async(settings("local"), REQUEST)
        assert len([item async for item in local if isinstance(item, Emit)]) == 5
        assert not any(each.done() for each in waiting)
        between.release()
        await asyncio.gather(*waiting)

    with distant_device() as (device, between):
        asyncio.run(asyncio.wait_for(run(device, between), HANG_SECONDS))
