"""A loop that only looks for its verdict, and works on while there is none: over every driver and link."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from tests.eventually import HANG_SECONDS
from tests.relay import Relay, relay
from tests.toy_pair import PROMPT, VOCAB
from tests.toy_server import serving

from cuhlm.channel.clock import VirtualClock
from cuhlm.channel.compute import ComputeTable
from cuhlm.channel.presets import Channel
from cuhlm.channel.rates import FixedRate
from cuhlm.device.drivers import Worker, drive, drive_async, drive_simulated
from cuhlm.device.loop import Loop
from cuhlm.device.steps import Emit, Finish, Reason, Receive, Reply, Send
from cuhlm.link.base import Link, LinkSession
from cuhlm.link.grpc import GrpcLink
from cuhlm.link.in_process import InProcessLink
from cuhlm.link.simulated import SimulatedLink
from cuhlm.messages import Block, Fate
from cuhlm.records import TokenRecord
from cuhlm.testing import ToyEngine
from cuhlm.testing.check_link import OPENING
from cuhlm.verifier.host import Verifier

TARGET = ToyEngine(vocab_size=VOCAB, seed=5)
BLOCK = Block(len(PROMPT), (), generate=2)
KEPT = TokenRecord(len(PROMPT), 1, Fate.SKIPPED, draft_passes=1)
DRAFT_SECONDS, TARGET_SECONDS, ROUND_TRIP_SECONDS = 1.0, 2.5, 7.0
COMPUTE = ComputeTable("test", DRAFT_SECONDS, TARGET_SECONDS, "made up", arithmetic_seconds=0.0)
CHANNEL = Channel("test", FixedRate(8000), ROUND_TRIP_SECONDS, "made up", 8000)

Replies = list[Reply | None]


def impatient(replies: Replies, after_a_look: Callable[[int], None] = lambda _: None) -> Loop:
    """Asks for two tokens, looks for each until it is there, and drafts a token after each look in vain.

    Args:
        replies: gets what each look gave.
        after_a_look: is told how many there were.
    """
    yield Send(BLOCK)
    for _ in range(BLOCK.generate):
        while True:
            replies.append((yield Receive(wait=False)))
            after_a_look(len(replies))
            if replies[-1] is not None:
                break
            yield Emit(KEPT, "")
    replies.append((yield Receive(wait=False)))  # there is no more
    return Finish(Reason.MAX_TOKENS, "")


def blocking(loop: Loop, session: LinkSession) -> None:
    for _ in drive(loop, session):
        pass


def asynchronous(loop: Loop, session: LinkSession) -> None:
    async def run() -> list[Emit | Finish]:
        with Worker() as worker:
            return [item async for item in drive_async(loop, session, worker, give_up=session.close)]

    assert isinstance(asyncio.run(run())[-1], Finish)


@contextmanager
def opened(link: Link) -> Iterator[LinkSession]:
    with closing(link.open(replace(OPENING, prompt=PROMPT, vocab_size=VOCAB))) as session:
        session.ready()
        yield session


@pytest.fixture(scope="module")
def nearby() -> Iterator[InProcessLink]:
    with closing(Verifier(TARGET)) as verifier:
        yield InProcessLink(verifier)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(TARGET) as where:
        yield where


@pytest.fixture
def distant(address: str) -> Iterator[tuple[GrpcLink, Relay]]:
    with relay(address) as between, closing(GrpcLink(between.address, deadline_seconds=HANG_SECONDS)) as link:
        yield link, between


@pytest.fixture(scope="module")
def wanted(nearby: InProcessLink) -> list[int | None]:
    """The two tokens, waited for."""
    with opened(nearby) as session:
        session.send(BLOCK)
        verdicts = [session.receive(None) for _ in range(BLOCK.generate)]
    return [verdict.token for verdict in verdicts if verdict is not None]


def tokens_of(replies: Replies) -> list[int | None]:
    return [reply.verdict.token for reply in replies if reply is not None]


DRIVERS = pytest.mark.parametrize("driven", [blocking, asynchronous])


@DRIVERS
def test_in_this_process_a_look_gives_none_until_the_verdict_is_there(
    driven: Callable[[Loop, LinkSession], None], nearby: InProcessLink, wanted: list[int | None]
) -> None:
    replies: Replies = []
    with opened(nearby) as session:
        driven(impatient(replies), session)
    assert tokens_of(replies) == wanted
    assert replies[-1] is None


@DRIVERS
def test_over_grpc_a_look_gives_none_while_the_verdict_is_under_way_and_then_the_verdict(
    driven: Callable[[Loop, LinkSession], None], distant: tuple[GrpcLink, Relay], wanted: list[int | None]
) -> None:
    link, between = distant
    replies: Replies = []
    with opened(link) as session:
        between.hold()
        driven(impatient(replies, lambda looks: between.release() if looks == 50 else None), session)
    assert replies[:50] == [None] * 50
    assert tokens_of(replies) == wanted
    assert replies[-1] is None
    first, second = (reply for reply in replies if reply is not None)
    assert first.seconds > 0
    assert second.seconds > 0
    assert first.bytes_up is not None
    assert first.bytes_up > 0


def test_on_the_virtual_clock_the_verdict_is_there_once_the_work_meanwhile_has_taken_its_time(
    nearby: InProcessLink, distant: tuple[GrpcLink, Relay], wanted: list[int | None]
) -> None:
    for inner in (nearby, distant[0]):
        clock, replies = VirtualClock(), Replies()
        with opened(SimulatedLink(inner, CHANNEL, COMPUTE, clock)) as session:
            emitted = list(drive_simulated(impatient(replies), session, clock, COMPUTE))
        # The first arrives at 9.5: at the look after ten drafts of 1 s. The second 2.5 s behind it, at 12.
        assert [reply is None for reply in replies] == [True] * 10 + [False] + [True] * 2 + [False, True]
        assert len(emitted) == clock.now == 12
        assert tokens_of(replies) == wanted
        assert [reply.seconds for reply in replies if reply is not None] == [10, 2]


def test_a_verdict_that_was_looked_for_in_vain_can_still_be_waited_for(
    nearby: InProcessLink, distant: tuple[GrpcLink, Relay], wanted: list[int | None]
) -> None:
    def patient(replies: Replies, after_a_look: Callable[[], None]) -> Loop:
        yield Send(BLOCK)
        replies.append((yield Receive(wait=False)))
        after_a_look()
        for _ in range(BLOCK.generate):
            replies.append((yield Receive()))
        return Finish(Reason.MAX_TOKENS, "")

    link, between = distant
    over_grpc = Replies()
    with opened(link) as session:
        between.hold()
        blocking(patient(over_grpc, between.release), session)
    assert over_grpc[0] is None
    assert tokens_of(over_grpc) == wanted

    clock, simulated = VirtualClock(), Replies()
    with opened(SimulatedLink(nearby, CHANNEL, COMPUTE, clock)) as session:
        list(drive_simulated(patient(simulated, lambda: None), session, clock, COMPUTE))
    assert simulated[0] is None
    assert tokens_of(simulated) == wanted
    assert clock.now == ROUND_TRIP_SECONDS + 2 * TARGET_SECONDS
