"""A verifier refuses what no device should send, says why, and goes on serving the others.

The corpus and the values at the edges of their types are sent first, after an opening, and after a block; then some
hundred mutations. Many more, every round with other ones:

    CUHLM_FUZZ=100 python -m pytest tests/fuzz
"""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace

import grpc
import pytest
from google.protobuf.message import DecodeError
from tests.eventually import HANG_SECONDS, eventually
from tests.fuzz.malformed import at_the_edges, corpus, mutations
from tests.toy_pair import PROMPT, VOCAB, answer, settings, toy_device
from tests.toy_server import serving

from cuhlm.device.device import Device
from cuhlm.engines.base import Advance
from cuhlm.errors import VerifierBusy
from cuhlm.link.base import LinkSession
from cuhlm.link.grpc import GrpcLink
from cuhlm.messages import Array, Block, Chunk, Verification
from cuhlm.testing import ToyEngine
from cuhlm.testing.check_link import OPENING
from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.convert import block_to_wire, chunk_to_wire, opening_to_wire
from cuhlm.wire.service import GENERATE

PLACES = 4
TARGET = ToyEngine(vocab_size=VOCAB, seed=5, context_length=64, sequences=PLACES)
DRAFT = ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6)

OPENS = pb.Request(open=opening_to_wire(replace(OPENING, prompt=PROMPT, vocab_size=VOCAB)))
ASKS = pb.Request(block=block_to_wire(Block(len(PROMPT), (), generate=2)))
DRAFTS = pb.Request.FromString(corpus("requests")["block-with-a-draft"])
PATIENT = replace(OPENING, prompt=PROMPT, vocab_size=VOCAB, verification=Verification.KEYED, patience_seconds=math.inf)
OPENS_KEYED = pb.Request(open=opening_to_wire(PATIENT))
AHEAD = pb.Request(chunk=chunk_to_wire(Chunk(len(PROMPT) + 1, (4, 5), len(PROMPT), asks=True)))
VALID = {
    "opening": OPENS,
    "opening that lets drafts come": OPENS_KEYED,
    "block that asks": ASKS,
    "block that drafts": DRAFTS,
    "drafts streamed ahead": AHEAD,
}
BEFORE: tuple[tuple[bytes, ...], ...] = (
    (),
    (OPENS.SerializeToString(),),
    (OPENS.SerializeToString(), ASKS.SerializeToString()),
    (OPENS_KEYED.SerializeToString(),),
    (OPENS_KEYED.SerializeToString(), ASKS.SerializeToString()),
)
"""What a stream has said before: nothing, an opening, an opening and a block; and where drafts may be streamed ahead,
to a target that waits for them, an opening, an opening and a block."""


@dataclass(frozen=True)
class Ending:
    """How a stream ended."""

    replies: tuple[bytes, ...]
    code: grpc.StatusCode
    details: str


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    """To a verifier that all tests abuse; at their end every place is free, and a good device gets its answer."""
    with serving(TARGET, sessions=PLACES) as address:
        with grpc.insecure_channel(address) as open_channel:
            yield open_channel
        assert_all_is_well(address)


@pytest.fixture
def no_bug(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The verifier has logged no bug."""
    yield
    assert bugs(caplog.records) == []


def bugs(logged: Iterable[logging.LogRecord]) -> list[str]:
    """Tracebacks."""
    return [repr(record.exc_info[1]) for record in logged if record.exc_info]


def assert_all_is_well(address: str) -> None:
    with closing(GrpcLink(address, deadline_seconds=HANG_SECONDS)) as link, toy_device() as nearby:
        sessions: list[LinkSession] = []
        while len(sessions) < PLACES:
            sessions.append(eventually(lambda: opened(link), VerifierBusy))
        for session in sessions:
            session.close()
        got = eventually(lambda: answer(Device(DRAFT, link), settings("hlm"), tokens=9), VerifierBusy)
        assert got.tokens == answer(nearby, settings("hlm"), tokens=9).tokens


def opened(link: GrpcLink) -> LinkSession:
    session = link.open(replace(OPENING, prompt=PROMPT, vocab_size=VOCAB))
    session.ready()
    return session


def say(channel: grpc.Channel, messages: Sequence[bytes]) -> Ending:
    """Send `messages`, close the way up, and hear the stream to its end."""
    call = channel.stream_stream(GENERATE)(iter(messages), timeout=HANG_SECONDS)
    replies: list[bytes] = []
    with suppress(grpc.RpcError):
        replies.extend(call)
    return Ending(tuple(replies), call.code(), call.details() or "")


def assert_proper(ending: Ending, messages: Sequence[bytes]) -> None:
    """The stream ended well, or was refused with our reason; replies are well-formed, an `Opened` first.

    Bytes that are no protobuf may be refused in gRPC's own words.
    """
    parsed = [pb.Reply.FromString(reply).WhichOneof("kind") for reply in ending.replies]
    assert parsed == ["opened", *["verdict"] * (len(parsed) - 1)][: len(parsed)]
    if all(is_protobuf(message) for message in messages):
        assert ending.code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT), ending
        assert (ending.code is grpc.StatusCode.OK) == (ending.details == ""), ending
        assert "Unexpected" not in ending.details
    else:
        assert ending.code is grpc.StatusCode.INVALID_ARGUMENT, ending


def is_protobuf(message: bytes) -> bool:
    try:
        pb.Request.FromString(message)
    except DecodeError:
        return False
    return True


@pytest.mark.usefixtures("no_bug")
@pytest.mark.parametrize("name", corpus("requests"))
def test_the_corpus_is_refused_or_answered_wherever_it_stands(name: str, channel: grpc.Channel) -> None:
    for before in BEFORE:
        messages = (*before, corpus("requests")[name])
        assert_proper(say(channel, messages), messages)


@pytest.mark.usefixtures("no_bug")
@pytest.mark.parametrize("name", VALID)
def test_values_at_the_edges_of_their_types_are_refused_or_answered(name: str, channel: grpc.Channel) -> None:
    places = {"opening": 0, "opening that lets drafts come": 0, "drafts streamed ahead": 4}
    its_place = BEFORE[places.get(name, 1)]
    for number, message in enumerate(at_the_edges(VALID[name])):
        for before in (its_place, BEFORE[number % len(BEFORE)]):
            behind = (
                () if before else (ASKS.SerializeToString(),)
            )  # an opening shows what it does when something is asked
            messages = (*before, message.SerializeToString(), *behind)
            try:
                assert_proper(say(channel, messages), messages)
            except AssertionError as error:
                raise AssertionError(f"after {len(before)} messages: {message}") from error


@pytest.mark.usefixtures("no_bug")
def test_mutated_messages_are_refused_or_answered(channel: grpc.Channel) -> None:
    seeds = [*(message.SerializeToString() for message in VALID.values()), *corpus("requests").values()]
    for number, (name, message) in enumerate(mutations(seeds, 300)):
        messages = (*BEFORE[number % len(BEFORE)], message)
        try:
            assert_proper(say(channel, messages), messages)
        except AssertionError as error:
            raise AssertionError(f"after {len(messages) - 1} messages, {name}") from error


@pytest.mark.usefixtures("no_bug")
@pytest.mark.parametrize("before", BEFORE)
def test_a_million_tokens_are_refused(before: tuple[bytes, ...], channel: grpc.Channel) -> None:
    tokens = [1] * 2**20
    prompt, sync = pb.Request(open=pb.Open(prompt=tokens)), pb.Request(block=pb.Block(sync=tokens))
    prompt.open.MergeFrom(OPENS.open)
    for message in (prompt, sync, pb.Request(chunk=pb.Chunk(drafted=tokens))):
        assert say(channel, (*before, message.SerializeToString())).code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.usefixtures("no_bug")
def test_a_message_of_more_than_16_mb_is_not_read(channel: grpc.Channel) -> None:
    large = pb.Request(block=pb.Block(payloads=[pb.Payload(data=bytes(17 * 2**20))])).SerializeToString()
    ending = say(channel, (*BEFORE[1], large))
    assert ending.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "message larger than max" in ending.details


@pytest.mark.usefixtures("no_bug")
@pytest.mark.parametrize("name", sorted(name for name in corpus("requests") if name.startswith("chunk")))
def test_the_corpus_of_chunks_is_well_taken_or_refused_while_a_target_waits_for_drafts(
    name: str, channel: grpc.Channel
) -> None:
    """Whatever is taken, the block before is answered in full and with the target's tokens."""
    messages = (*BEFORE[4], corpus("requests")[name])
    ending = say(channel, messages)
    assert_proper(ending, messages)
    if ending.code is grpc.StatusCode.OK:
        alone = [pb.Reply.FromString(reply).verdict.token for reply in say(channel, BEFORE[4]).replies[1:]]
        told = [pb.Reply.FromString(reply).verdict for reply in ending.replies[1:]]
        assert sum(verdict.accepted + 1 for verdict in told) == 2
        assert told[-1].token == alone[-1]


def test_a_stream_that_says_nothing_ends_well(channel: grpc.Channel) -> None:
    assert say(channel, ()) == Ending((), grpc.StatusCode.OK, "")


def test_a_bug_in_the_verifier_would_be_noticed(caplog: pytest.LogCaptureFixture) -> None:
    class Breaks(ToyEngine):
        def advance(self, batch: Sequence[Advance]) -> list[Array]:
            raise ZeroDivisionError(f"a bug with {len(batch)} sequences")

    with serving(Breaks(vocab_size=VOCAB)) as where, grpc.insecure_channel(where) as channel:
        ending = say(channel, BEFORE[1])
    with pytest.raises(AssertionError):
        assert_proper(ending, BEFORE[1])
    assert len(bugs(caplog.records)) == 1
