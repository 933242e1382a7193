"""A stream may be cut anywhere: the device says so and keeps its tokens, the verifier has the place for another."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import pairwise

import grpc
import pytest
from tests.eventually import HANG_SECONDS, eventually
from tests.relay import DOWN, UP, Relay, relay
from tests.toy_pair import PROMPT, VOCAB, settings
from tests.toy_server import serving

from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.errors import CuhlmError, LinkError, LinkTimeout, VerifierBusy
from cuhlm.link.base import LinkSession
from cuhlm.link.grpc import GrpcLink
from cuhlm.messages import Block
from cuhlm.testing import ToyEngine
from cuhlm.testing.check_link import OPENING
from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.convert import block_to_wire, opening_to_wire
from cuhlm.wire.service import GENERATE

DRAFT = ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6)
REQUEST = Request(PROMPT, limits=Limits(4))
HERE = replace(OPENING, prompt=PROMPT, vocab_size=VOCAB)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A verifier with one place, so that whoever comes next finds out whether it is free."""
    with serving(ToyEngine(vocab_size=VOCAB, seed=5), sessions=1) as where:
        yield where


@pytest.fixture
def between(address: str) -> Iterator[Relay]:
    with relay(address) as running:
        yield running


def generation(address: str, method: str) -> tuple[list[int], CuhlmError | None]:
    """The tokens of an answer, from a device with a connection of its own, and the error that ended it.

    Waits for the place of the one before, whose end the verifier may not have heard of yet.
    """

    def attempt() -> tuple[list[int], CuhlmError | None]:
        tokens: list[int] = []
        try:
            with closing(GrpcLink(address, deadline_seconds=HANG_SECONDS)) as link:
                tokens.extend(emit.record.token for emit in Device(DRAFT, link).generate(settings(method), REQUEST))
        except VerifierBusy:
            raise
        except CuhlmError as error:
            return tokens, error
        return tokens, None

    return eventually(attempt, VerifierBusy)


@pytest.mark.parametrize("way", [UP, DOWN])
@pytest.mark.parametrize("method", ["hlm", "remote", "lossless"])
def test_a_connection_that_is_cut_anywhere_is_a_lost_link_and_the_tokens_so_far_stand(
    method: str, way: str, address: str, between: Relay
) -> None:
    """After the first byte of every piece that was sent, in its middle, and at its end."""
    whole, error = generation(address, method)
    assert error is None
    assert generation(between.address, method) == (whole, None)
    carried, lost, stood = between.carried[way], 0, set()
    for before, after in pairwise(carried):
        for cut_at in {before + 1, (before + after) // 2, after}:
            between.cut_at = {way: cut_at}
            tokens, error = generation(between.address, method)
            assert tokens == whole[: len(tokens)]
            if error is None:
                assert tokens == whole, f"cut after {cut_at} bytes {way}, of {carried}"
            else:
                assert type(error) is LinkError, error
            lost += error is not None
            stood.add(len(tokens))
    assert lost > (len(carried) if method != "lossless" else 0)  # when drafts go up, and how many, depends on time
    assert stood >= ({0, 1, 2, 3, 4} if method == "hlm" else {0})  # the tokens of `remote` may come in one piece
    assert generation(address, method) == (whole, None)


BLOCKS = (
    Block(3, (), generate=1),
    Block(5, (7,), generate=3),
    Block(9, (7,), generate=1),
)
MESSAGES = [pb.Request(open=opening_to_wire(HERE)), *(pb.Request(block=block_to_wire(block)) for block in BLOCKS)]
ANSWERS = (1, 1, 3, 1)
"""Replies to each of them."""


@contextmanager
def stream(address: str, messages: int) -> Iterator[grpc.Call]:
    """A stream that says so many of the messages, then closes its way up."""
    with grpc.insecure_channel(address) as channel:
        said = [message.SerializeToString() for message in MESSAGES[:messages]]
        try:
            yield channel.stream_stream(GENERATE)(iter(said), timeout=HANG_SECONDS)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise VerifierBusy from error
            raise


@pytest.mark.parametrize("sent", range(len(MESSAGES) + 1))
def test_a_device_that_closes_its_way_up_still_gets_all_answers_and_a_good_end(sent: int, address: str) -> None:
    def replies() -> list[bytes]:
        with stream(address, sent) as call:
            return list(call)

    assert len(eventually(replies, VerifierBusy)) == sum(ANSWERS[:sent])


@pytest.mark.parametrize("heard", range(sum(ANSWERS)))
def test_a_device_that_cancels_after_any_reply_gives_its_place_back(heard: int, address: str) -> None:
    def cancelled() -> None:
        with stream(address, len(MESSAGES)) as call:
            for _ in range(heard):
                next(call)
            call.cancel()

    eventually(cancelled, VerifierBusy)
    assert generation(address, "hlm")[1] is None


STEPS: Sequence[Callable[[LinkSession], object]] = (
    lambda session: session.ready(),
    lambda session: session.send(BLOCKS[0]),
    lambda session: session.receive(None),
    lambda session: session.send(BLOCKS[1]),
    lambda session: session.receive(None),
)


@pytest.mark.parametrize("steps", range(len(STEPS) + 1))
def test_a_session_that_is_closed_after_any_step_gives_its_place_back_and_says_so_to_who_waits(
    steps: int, address: str, between: Relay
) -> None:
    said: list[CuhlmError] = []

    def wait(session: LinkSession) -> None:
        try:
            while True:
                session.receive(None)
        except CuhlmError as error:
            said.append(error)

    with closing(GrpcLink(between.address, deadline_seconds=HANG_SECONDS)) as link:
        session = eventually(lambda: after(link, steps), VerifierBusy)
        between.hold()
        waiting = threading.Thread(target=wait, args=(session,))
        waiting.start()
        session.close()
        waiting.join(HANG_SECONDS)
        between.release()
    assert [type(error) for error in said] == [LinkError]
    assert generation(address, "hlm")[1] is None


def after(link: GrpcLink, steps: int) -> LinkSession:
    """A session that took so many of the steps."""
    session = link.open(HERE)
    for step in STEPS[:steps]:
        step(session)
    return session


def test_a_verifier_that_is_cut_off_while_its_verdict_is_awaited_is_lost_and_not_late(
    address: str, between: Relay
) -> None:
    with closing(GrpcLink(between.address, deadline_seconds=HANG_SECONDS)) as link:
        session = eventually(lambda: after(link, 3), VerifierBusy)
        between.hold()
        session.send(BLOCKS[1])
        between.cut()
        with pytest.raises(LinkError, match="cannot be reached") as lost:
            session.receive(None)
        assert not isinstance(lost.value, LinkTimeout)
        with pytest.raises(LinkError, match="cannot be reached"):
            session.send(BLOCKS[1])
        between.release()
