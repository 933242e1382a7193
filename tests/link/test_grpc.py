"""The gRPC link against the real server, with the toy target behind it."""

import asyncio
import math
import queue
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import pytest
from tests.bad_verifier import OPENED, bad_verifier
from tests.eventually import HANG_SECONDS, eventually
from tests.toy_pair import PROMPT, VOCAB, answer, settings, toy_device
from tests.toy_server import serving

from cuhlm.device.device import Device, Request, collect
from cuhlm.device.ending import Limits
from cuhlm.device.steps import Drafted, Reading
from cuhlm.engines.base import Advance
from cuhlm.engines.batching import Batcher
from cuhlm.errors import (
    ConfigurationError,
    IncompatibleModels,
    LinkError,
    LinkTimeout,
    ModelError,
    ProtocolError,
    Unauthenticated,
    VerifierBusy,
)
from cuhlm.link import in_process
from cuhlm.link.base import Link, LinkSession
from cuhlm.link.grpc import GrpcLink, Security
from cuhlm.link.in_process import InProcessLink
from cuhlm.measuring.summary import summarise
from cuhlm.messages import Array, Block, Chunk, Opening, Payload, Sampling, Verdict, Verification
from cuhlm.methods import METHODS
from cuhlm.testing import ToyEngine
from cuhlm.testing.toy_engine import ToyTokenizer
from cuhlm.verifier import server
from cuhlm.verifier.host import Verifier
from cuhlm.verifier.server import Certificate, Server
from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.authorization import to_metadata
from cuhlm.wire.convert import PROTOCOL, block_to_wire, card_to_wire, opening_to_wire
from cuhlm.wire.service import GENERATE

TARGET = ToyEngine(vocab_size=VOCAB, seed=5)
DRAFT = ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6)
OPENING = Opening(PROMPT, Sampling(), 0, VOCAB)
ECONOMY = replace(OPENING, verification=Verification.KEYED, patience_seconds=math.inf)


def counted(count: int | None) -> int:
    assert count is not None
    return count


def opened(link: GrpcLink, opening: Opening = OPENING) -> LinkSession:
    session = link.open(opening)
    session.ready()
    return session


def received(session: LinkSession) -> Verdict:
    verdict = session.receive(None)
    assert verdict is not None
    return verdict


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(TARGET, sessions=2) as where:
        yield where


@pytest.fixture
def link(address: str) -> Iterator[GrpcLink]:
    with closing(GrpcLink(address, deadline_seconds=HANG_SECONDS)) as open_link:
        yield open_link


@pytest.mark.parametrize("method", METHODS)
def test_the_network_changes_no_token(method: str, link: GrpcLink) -> None:
    with toy_device() as nearby:
        assert answer(Device(DRAFT, link), settings(method)).tokens == answer(nearby, settings(method)).tokens


def test_the_card_crosses_the_network_whole(link: GrpcLink) -> None:
    card = link.describe()
    assert card.vocab_fingerprint == TARGET.card.vocab_fingerprint
    assert (card.max_sessions, card.fingerprint) == (2, TARGET.card.fingerprint)


def test_bytes_are_counted_on_the_socket(link: GrpcLink) -> None:
    device = Device(DRAFT, link)
    got = answer(device, settings("hlm"), tokens=30)
    # A payload of 12 entries of 12 bits is 18 bytes; HTTP/2, gRPC and protobuf frame it.
    assert all(30 < counted(record.wire_bytes_up) < 200 for record in got.records[1:])
    assert all(20 < counted(record.wire_bytes_down) < 200 for record in got.records[1:])


def test_the_verifier_takes_a_whole_payload_of_the_largest_vocabulary_without_a_pause(address: str) -> None:
    """A window smaller than the payload makes the uplink wait a round trip for more (RFC 9113, 6.5.2 and 6.9)."""
    host, port = address.split(":")
    empty_settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    with (
        socket.create_connection((host, int(port)), timeout=HANG_SECONDS) as connection,
        connection.makefile("rb") as said,
    ):
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + empty_settings)
        head = said.read(9)
        assert head[3] == 4, "a server's first frame is its settings"
        stated = dict(struct.iter_unpack(">HI", said.read(int.from_bytes(head[:3], "big"))))
    initial_window = 4
    assert stated[initial_window] > 151_936 * (8 + 18) / 8


def test_two_devices_are_served_at_once_and_a_third_is_told_that_there_is_no_room(link: GrpcLink) -> None:
    sessions = [opened(link), opened(link)]
    with pytest.raises(VerifierBusy, match="all 2 sessions"):
        opened(link)
    for session in sessions:
        session.send(Block(3, (), generate=1))
    verdicts = [session.receive(None) for session in sessions]
    assert verdicts[0] is not None
    assert verdicts[1] is not None
    assert verdicts[0].token == verdicts[1].token
    for session in sessions:
        session.close()
    eventually(lambda: opened(link), VerifierBusy).close()  # the verifier hears of a closed stream a moment later


def test_concurrent_generations_decide_as_single_ones(address: str) -> None:
    def generated(draft: Batcher, seed: int) -> tuple[int, ...]:
        with closing(GrpcLink(address)) as own:
            return answer(Device(draft, own), settings("hlm"), seed=seed).tokens

    with closing(Batcher(DRAFT)) as draft, ThreadPoolExecutor(2) as threads:
        results = dict(zip((1, 2), threads.map(partial(generated, draft), (1, 2)), strict=True))
    with toy_device() as nearby:
        assert results == {seed: answer(nearby, settings("hlm"), seed=seed).tokens for seed in (1, 2)}


def test_a_block_sent_twice_gets_the_same_verdict(link: GrpcLink) -> None:
    session = opened(link)
    answers = []
    for _ in range(2):
        session.send(Block(3, (), generate=1))
        verdict = session.receive(None)
        assert verdict is not None
        answers.append((verdict.position, verdict.accepted, verdict.token))
    session.close()
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Block(9, (), generate=1), "begins at position 9; expected 3"),
        (Block(3, (), (), (Payload(b"", 1),) * 300), "300 payloads; expected at most 256"),
        (Block(3, (), (1,) * 300), "300 drafted tokens; expected at most 256"),
        (Block(3, (1,) * 100_000, generate=1), "100000 tokens to catch up on; expected at most"),
    ],
)
def test_a_block_that_does_not_fit_is_refused_with_the_reason(link: GrpcLink, block: Block, message: str) -> None:
    session = opened(link)
    session.send(block)
    with pytest.raises(ProtocolError, match=message):
        session.receive(None)
    session.close()


def test_looking_for_a_verdict_does_not_wait(link: GrpcLink) -> None:
    session = opened(link)
    assert session.receive(0) is None
    session.close()


def test_a_token_is_asked_for_once_per_stream_and_checked() -> None:
    with serving(TARGET, token="secret") as where:
        for security, expected in ((Security(), "none was sent"), (Security("wrong"), "does not accept the token")):
            with closing(GrpcLink(where, security=security)) as link, pytest.raises(Unauthenticated, match=expected):
                opened(link)
        with closing(GrpcLink(where, security=Security("secret"))) as link:
            assert len(answer(Device(DRAFT, link), settings("hlm"), tokens=5).tokens) == 5


def test_tls_carries_a_generation(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path / "chain.pem", tmp_path / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", certificate.key, "-out", certificate.chain], check=True, capture_output=True)
    with (
        serving(TARGET, certificate=certificate) as where,
        closing(GrpcLink(where, security=Security(None, certificate.chain))) as link,
    ):
        assert len(answer(Device(DRAFT, link), settings("hlm"), tokens=5).tokens) == 5


def test_nobody_at_the_address_is_said() -> None:
    with (
        closing(GrpcLink("127.0.0.1:9", deadline_seconds=HANG_SECONDS)) as link,
        pytest.raises(LinkError, match="cannot be reached"),
    ):
        link.describe()


@pytest.mark.parametrize("where", ["nowhere", "host:", ":80", "host:port", "host:99999"])
def test_an_address_that_is_none_is_refused(where: str) -> None:
    with pytest.raises(ConfigurationError, match="expected HOST:PORT"):
        GrpcLink(where)


def test_a_draft_with_another_vocabulary_is_refused_and_the_first_difference_named(link: GrpcLink) -> None:
    other = ToyEngine(vocab_size=VOCAB, seed=5, end_token=3)
    with pytest.raises(IncompatibleModels, match=r"token 3 is '<end>' in the draft .* and 'd' in the target"):
        Device(other, link)


def test_a_draft_with_fewer_tokens_shares_those_it_has(link: GrpcLink) -> None:
    smaller = ToyEngine(vocab_size=VOCAB - 2, seed=5, noise=0.3)
    device = Device(smaller, link)
    assert device.vocab_size == VOCAB - 2
    got = answer(device, settings("hlm"), tokens=50)
    assert max(got.tokens) < VOCAB - 2


def test_two_links_of_one_process_count_their_own_bytes(address: str) -> None:
    with closing(GrpcLink(address)) as one, closing(GrpcLink(address)) as other:
        devices = Device(DRAFT, one), Device(DRAFT, other)  # both are there before either is used
        answers = [answer(device, settings("hlm"), tokens=20) for device in (*devices, devices[0])]
    counts = [[counted(record.wire_bytes_up) for record in got.records[1:]] for got in answers]
    assert all(0 < min(each) <= max(each) < 200 for each in counts)


def test_bytes_that_cannot_be_told_apart_are_not_counted_rather_than_counted_as_none(address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))), closing(GrpcLink(address)) as link:
        got = answer(Device(DRAFT, link), settings("hlm"), tokens=3)
    assert [record.wire_bytes_up for record in got.records] == [None] * 3
    assert math.isnan(summarise(got.records, VOCAB).wire_bytes_per_token)


def test_sessions_that_share_a_connection_are_not_counted_while_they_do(link: GrpcLink) -> None:
    device = Device(DRAFT, link)
    idle = opened(link)
    assert idle.traffic() is not None
    got = answer(device, settings("hlm"), tokens=3)
    assert [record.wire_bytes_up for record in got.records] == [None] * 3
    assert idle.traffic() is None
    idle.close()
    assert all(record.wire_bytes_up for record in answer(device, settings("hlm"), tokens=3).records)


def test_a_verifier_that_was_started_anew_is_found_soon_and_another_model_there_is_refused() -> None:
    port = free_port()
    with ExitStack() as first:
        address = first.enter_context(serving(TARGET, port=port))
        link = GrpcLink(address, deadline_seconds=HANG_SECONDS)
        device = Device(DRAFT, link)
        assert len(answer(device, settings("hlm"), tokens=3).tokens) == 3
    with pytest.raises(LinkError, match="cannot be reached"):
        answer(device, settings("hlm"), tokens=3)
    with serving(TARGET, port=port):
        assert len(eventually(lambda: answer(device, settings("hlm"), tokens=3).tokens, LinkError)) == 3
    with (
        serving(ToyEngine(vocab_size=VOCAB, seed=99), port=port),
        pytest.raises(ProtocolError, match="the device was told of another model"),
    ):
        eventually(lambda: answer(device, settings("hlm"), tokens=3), LinkError)
    link.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_proxy_is_not_asked_for_what_is_on_this_machine(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with closing(GrpcLink(address, deadline_seconds=HANG_SECONDS)) as link:
        assert link.describe().vocab_size == VOCAB


def test_the_vocabulary_is_asked_for_with_the_token() -> None:
    smaller = ToyEngine(vocab_size=VOCAB - 2, seed=5)
    with (
        serving(TARGET, token="secret") as where,
        closing(GrpcLink(where, security=Security("secret"))) as link,
    ):
        assert Device(smaller, link).vocab_size == VOCAB - 2


def test_a_device_that_says_nothing_loses_its_place_and_is_told_why() -> None:
    with (
        serving(TARGET, sessions=1, idle_seconds=0.3) as where,
        closing(GrpcLink(where, deadline_seconds=HANG_SECONDS)) as link,
    ):
        silent = eventually(lambda: opened(link), LinkError)
        with pytest.raises(LinkError, match=r"nothing came from this device for 0\.3 s"):
            silent.receive(None)
        eventually(lambda: opened(link), LinkError).close()
        with pytest.raises(LinkError, match="nothing came from this device"):
            silent.send(Block(3, (), generate=1))


def test_a_device_is_told_that_the_verifier_is_shutting_down_and_hears_it_again() -> None:
    with ExitStack() as running:
        link = GrpcLink(running.enter_context(serving(TARGET)), deadline_seconds=HANG_SECONDS)
        session = opened(link)
        session.send(Block(3, (), generate=1))
        assert session.receive(None) is not None
        running.close()
        for _ in range(2):  # the second time without waiting for the deadline
            with pytest.raises(LinkError, match="the verifier is shutting down"):
                session.receive(None)
        link.close()


def test_a_bug_in_the_verifier_is_told_to_the_device_by_number_and_to_the_log_in_full(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Breaks(ToyEngine):
        def advance(self, batch: Sequence[Advance]) -> list[Array]:
            raise ZeroDivisionError(f"a bug with {len(batch)} sequence")

    with serving(Breaks(vocab_size=VOCAB)) as where, closing(GrpcLink(where, deadline_seconds=HANG_SECONDS)) as link:
        session = opened(link)
        with pytest.raises(LinkError, match=r"failed \(error [0-9a-f]{8}\); its own output says more") as told:
            session.receive(None)
    number = str(told.value).partition("(error ")[2][:8]
    assert "a bug" not in str(told.value)
    assert f"error {number} ended a session" in caplog.text
    assert "ZeroDivisionError: a bug with 1 sequence" in caplog.text


def test_a_model_that_fails_is_the_verifiers_own_error(caplog: pytest.LogCaptureFixture) -> None:
    class Fails(ToyEngine):
        def advance(self, batch: Sequence[Advance]) -> list[Array]:
            raise ModelError(f"the forward pass over {len(batch)} fails")

    with serving(Fails(vocab_size=VOCAB)) as where, closing(GrpcLink(where, deadline_seconds=HANG_SECONDS)) as link:
        session = opened(link)
        with pytest.raises(LinkError, match=r"failed \(error [0-9a-f]{8}\)"):
            session.receive(None)
    assert "ModelError: the forward pass over 1 fails" in caplog.text


class Held(ToyEngine):
    """A target that stops before each forward pass until it may go on."""

    def __init__(self, **numbers: int) -> None:
        super().__init__(**numbers)
        self.may_go_on = threading.Event()

    def advance(self, batch: Sequence[Advance]) -> list[Array]:
        assert self.may_go_on.wait(HANG_SECONDS)
        return super().advance(batch)


def test_a_deadline_is_for_silence_and_not_for_long_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(ToyEngine):
        def advance(self, batch: Sequence[Advance]) -> list[Array]:
            time.sleep(0.02)
            return super().advance(batch)

    monkeypatch.setattr(server, "WORKING_SECONDS", 0.05)
    engine = Slow(vocab_size=VOCAB, seed=5, context_length=5000)
    with serving(engine) as where, closing(GrpcLink(where, deadline_seconds=0.5)) as link:
        session = link.open(replace(OPENING, prompt=(1,) * 3200))  # 100 pieces: four deadlines
        session.ready()
        session.send(Block(3200, (), generate=1))
        assert session.receive(0.1) is None  # a wait that was asked for is kept
        verdict = session.receive(None)
        assert verdict is not None
        assert verdict.position == 3200


def test_a_target_that_hangs_is_not_said_to_be_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WORKING_SECONDS", 0.05)
    engine = Held(vocab_size=VOCAB, seed=5)
    with serving(engine) as where, closing(GrpcLink(where, deadline_seconds=0.5)) as link:
        session = opened(link)
        session.send(Block(3, (), generate=1))
        with pytest.raises(LinkTimeout, match=r"did not answer within 0\.5 s"):
            session.receive(None)
        engine.may_go_on.set()


def test_a_device_that_leaves_while_its_prompt_is_read_is_read_for_no_longer() -> None:
    class Counts(ToyEngine):
        read = 0
        begun = threading.Event()

        def advance(self, batch: Sequence[Advance]) -> list[Array]:
            self.read += sum(len(entry.tokens) for entry in batch)
            self.begun.set()
            time.sleep(0.02)
            return super().advance(batch)

    engine = Counts(vocab_size=VOCAB, seed=5, context_length=100_000)
    with serving(engine) as where, closing(GrpcLink(where, deadline_seconds=HANG_SECONDS)) as link:
        session = link.open(replace(OPENING, prompt=(1,) * 90_000))
        session.ready()
        assert engine.begun.wait(HANG_SECONDS)
        session.close()
        assert answer(Device(DRAFT, link), settings("remote"), tokens=5).tokens
    assert engine.read < 45_000


def test_a_bug_in_describing_is_told_by_number_too(caplog: pytest.LogCaptureFixture) -> None:
    class Mute(ToyEngine):
        @property
        def tokenizer(self) -> ToyTokenizer:
            raise ZeroDivisionError("a secret")

    engine = ToyEngine(vocab_size=VOCAB, seed=5)
    with serving(engine) as where, closing(GrpcLink(where, deadline_seconds=HANG_SECONDS)) as link:
        engine.__class__ = Mute
        with pytest.raises(LinkError, match=r"failed \(error [0-9a-f]{8}\)") as told:
            link.vocabulary()
        engine.__class__ = ToyEngine
    assert "secret" not in str(told.value)
    assert "ZeroDivisionError: a secret" in caplog.text


def test_a_device_that_leaves_while_its_session_is_being_opened_leaks_no_place() -> None:
    release = threading.Event()

    class Slow(ToyEngine):
        def advance(self, batch: Sequence[Advance]) -> list[Array]:
            assert release.wait(HANG_SECONDS)
            return super().advance(batch)

    with (
        serving(Slow(vocab_size=VOCAB, seed=5), sessions=2) as where,
        closing(GrpcLink(where, deadline_seconds=HANG_SECONDS)) as patient,
        closing(GrpcLink(where, deadline_seconds=0.3)) as hasty,
    ):
        session = opened(patient)  # whose prompt keeps the model busy
        with pytest.raises(LinkTimeout):
            opened(hasty)
        release.set()
        session.close()
        sessions = [eventually(lambda: opened(patient), VerifierBusy) for _ in range(2)]
        for each in sessions:
            each.close()


def test_certificates_that_are_none_are_refused_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("not a certificate")
    with pytest.raises(ConfigurationError, match=r"a\.pem cannot be read: .*expected a PEM file"):
        GrpcLink("127.0.0.1:1", security=Security(None, tmp_path / "a.pem"))
    with (
        closing(Verifier(TARGET)) as verifier,
        pytest.raises(ConfigurationError, match=r"a\.pem .* cannot be used: .*two PEM files that belong together"),
    ):
        asyncio.run(_make_server(verifier, Certificate(tmp_path / "a.pem", tmp_path / "a.pem")))


async def _make_server(verifier: Verifier, certificate: Certificate) -> None:
    Server(verifier, "127.0.0.1:0", certificate=certificate)


@pytest.mark.parametrize("deadline", [0, -1, math.nan, math.inf])
def test_a_deadline_that_is_none_is_refused(deadline: float) -> None:
    with pytest.raises(ConfigurationError, match="the deadline is"):
        GrpcLink("127.0.0.1:1", deadline_seconds=deadline)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([pb.Request(block=pb.Block(position=3, generate=1))], "the device sends block; expected open"),
        ([pb.Request(open=opening_to_wire(OPENING))] * 2, "the device sends open; expected block"),
        ([pb.Request()], "the device sends nothing that is known here; expected open"),
        ([pb.Request(chunk=pb.Chunk(position=3, drafted=[1]))], "the device sends chunk; expected open"),
        (
            [pb.Request(open=opening_to_wire(replace(OPENING, prompt=(1,) * 100_000)))],
            "the device sends 100000 tokens in a prompt; expected at most 512",
        ),
    ],
)
def test_a_stream_is_one_opening_and_then_blocks(address: str, said: list[pb.Request], message: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_stream(GENERATE, pb.Request.SerializeToString)(iter(said), timeout=HANG_SECONDS)
        with pytest.raises(grpc.RpcError) as refusal:
            list(call)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert message in refusal.value.details()


@pytest.fixture(scope="module")
def right(address: str) -> tuple[int, ...]:
    """What the target alone says."""
    with closing(GrpcLink(address, deadline_seconds=HANG_SECONDS)) as link:
        return answer(Device(DRAFT, link), settings("remote"), tokens=12).tokens


def session_that_asks(link: GrpcLink) -> LinkSession:
    """With a target that makes no token unasked: what comes down is known to answer what went up."""
    return eventually(lambda: opened(link, ECONOMY), VerifierBusy)


class Paced(ToyEngine):
    """A target whose passes take 4 ms whatever is in them: drafts are worth taking."""

    def advance(self, batch: Sequence[Advance]) -> list[Array]:
        time.sleep(0.004)
        return super().advance(batch)


def test_drafts_go_up_while_verdicts_stream_down(right: tuple[int, ...]) -> None:
    with (
        serving(Paced(vocab_size=VOCAB, seed=5)) as where,
        closing(GrpcLink(where, deadline_seconds=HANG_SECONDS)) as link,
    ):
        teach_what_passes_cost(link)
        session = opened(link, ECONOMY)
        session.send(Block(3, (), generate=12))
        position, took_part = 3, 0
        while position < 15:
            drafted = right[position - 3 :][:3]
            session.offer(Chunk(position, drafted[:2], position))
            session.offer(Chunk(position + len(drafted[:2]), drafted[2:], position, asks=True))
            verdict = received(session)
            assert verdict.position == position
            assert verdict.accepted == verdict.judged
            took_part += verdict.judged
            position += verdict.accepted + 1
            assert verdict.token == right[position - 4]
        assert took_part
        assert position == 15
        assert session.receive(0) is None


def teach_what_passes_cost(link: GrpcLink) -> None:
    """Passes over few and many tokens, so that the verifier knows that these are no dearer."""
    session, position = opened(link, replace(ECONOMY, patience_seconds=0.0)), 3
    for drafts in (1, 5, 9) * 10:
        session.send(Block(position, (), (1,) * drafts, generate=1))
        position += received(session).accepted + 1
    session.close()


def test_drafts_before_any_block_are_in_vain(link: GrpcLink, right: tuple[int, ...]) -> None:
    session = session_that_asks(link)
    session.offer(Chunk(3, right[:5], 3, asks=True))
    session.send(Block(3, (), generate=5))
    session.offer(Chunk(3, (), 3, asks=True))
    verdict = received(session)
    assert (verdict.accepted, verdict.judged, verdict.token) == (0, 0, right[0])
    session.close()


@pytest.mark.parametrize(
    ("opening", "chunk", "message"),
    [
        (ECONOMY, Chunk(3, (VOCAB,), 3), "token 12 is outside the vocabulary"),
        (ECONOMY, Chunk(3, (1,) * 257, 3), "the device sends 257 drafted tokens; expected at most 256"),
        (OPENING, Chunk(3, (1,), 3), "drafts are streamed ahead; expected none in a session that was opened without"),
    ],
)
@pytest.mark.parametrize("generates", [True, False])
def test_drafts_that_no_device_streams_ahead_end_the_session_with_the_reason(
    opening: Opening, chunk: Chunk, message: str, generates: bool, address: str
) -> None:
    with closing(GrpcLink(address, deadline_seconds=HANG_SECONDS)) as own:
        session = eventually(lambda: opened(own, opening), VerifierBusy)
        if generates:
            session.send(Block(3, (), generate=200))
        session.offer(chunk)
        with pytest.raises(ProtocolError, match=message):
            for _ in range(201):
                session.receive(None)
        session.offer(Chunk(3, (), 3))  # in vain, and whoever receives hears the reason again
        with pytest.raises(ProtocolError, match=message):
            session.receive(None)


def test_more_undecided_than_there_is_ends_the_session_with_the_reason(address: str) -> None:
    said = [pb.Request(open=opening_to_wire(ECONOMY)), pb.Request(chunk=pb.Chunk(position=3, undecided=4))]

    def refusal() -> grpc.RpcError:
        with grpc.insecure_channel(address) as channel:
            call = channel.stream_stream(GENERATE, pb.Request.SerializeToString)(iter(said), timeout=HANG_SECONDS)
            with pytest.raises(grpc.RpcError) as refused:
                list(call)
        if refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise VerifierBusy("of the test before")
        return refused.value

    refused = eventually(refusal, VerifierBusy)
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "ahead of 4 undecided tokens; expected at most" in refused.details()


def test_a_device_that_closes_its_way_up_while_the_target_waits_to_be_asked_gets_its_tokens(
    address: str, right: tuple[int, ...]
) -> None:
    said = [pb.Request(open=opening_to_wire(ECONOMY)), pb.Request(block=block_to_wire(Block(3, (), generate=7)))]

    def replies() -> list[pb.Reply]:
        with grpc.insecure_channel(address) as channel:
            call = channel.stream_stream(GENERATE, pb.Request.SerializeToString, pb.Reply.FromString)
            try:
                return list(call(iter(said), timeout=HANG_SECONDS))
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise VerifierBusy from error
                raise

    heard = eventually(replies, VerifierBusy)
    assert tuple(reply.verdict.token for reply in heard[1:]) == right[:7]


def test_a_device_that_asks_anew_while_the_target_waits_to_be_asked_gets_both_answers(
    right: tuple[int, ...],
) -> None:
    said: queue.SimpleQueue[pb.Request | None] = queue.SimpleQueue()  # stays open: a way up that ends asks for the rest
    said.put(pb.Request(open=opening_to_wire(ECONOMY)))
    for block in (Block(3, (), generate=5), Block(8, (), generate=1)):
        said.put(pb.Request(block=block_to_wire(block)))
    with serving(TARGET) as where, grpc.insecure_channel(where) as channel:
        stream = channel.stream_stream(GENERATE, pb.Request.SerializeToString, pb.Reply.FromString)
        heard = stream(iter(said.get, None), timeout=HANG_SECONDS)
        told = [next(heard) for _ in range(7)]
        said.put(None)
    assert tuple(reply.verdict.token for reply in told[1:]) == right[:6]


def test_another_thread_wakes_who_waits_for_a_verdict_and_nothing_is_lost(
    link: GrpcLink, right: tuple[int, ...]
) -> None:
    session = session_that_asks(link)
    session.send(Block(3, (), generate=3))
    with ThreadPoolExecutor(1) as thread:
        for _ in range(3):
            waiting = thread.submit(session.receive, None)
            assert not waiting.done()
            session.wake()
            assert waiting.result(HANG_SECONDS) is None
    session.offer(Chunk(3, (), 3, asks=True))
    assert received(session).token == right[0]
    session.close()


def test_a_deadline_ends_the_wait_for_a_verdict_of_a_target_that_was_not_asked(address: str) -> None:
    with closing(GrpcLink(address, deadline_seconds=0.3)) as hasty:
        session = eventually(lambda: opened(hasty, ECONOMY), VerifierBusy)
        session.send(Block(3, (), generate=3))
        with pytest.raises(LinkTimeout):
            session.receive(None)
        session.close()


def test_a_device_of_the_first_version_is_told_so(address: str) -> None:
    old = opening_to_wire(OPENING)
    old.ClearField("protocol")
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_stream(GENERATE, pb.Request.SerializeToString)
        with pytest.raises(grpc.RpcError) as refusal:
            list(call(iter([pb.Request(open=old)]), timeout=HANG_SECONDS))
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"the device has version 1 of the protocol; expected {PROTOCOL}; use device" in refusal.value.details()


def test_a_verifier_of_the_first_version_is_refused_before_anything_is_sent() -> None:
    card = card_to_wire(TARGET.card)
    card.ClearField("protocol")
    with bad_verifier() as old, closing(GrpcLink(old.address, deadline_seconds=HANG_SECONDS)) as link:
        old.card = card.SerializeToString()
        with pytest.raises(ProtocolError, match=f"the verifier has version 1 of the protocol; expected {PROTOCOL}"):
            Device(DRAFT, link)


_SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 2**14))  # gRPC would read for the device


def test_a_device_that_never_reads_loses_its_place() -> None:
    engine = ToyEngine(vocab_size=VOCAB, seed=5, context_length=20_000)
    asked = [pb.Request(open=opening_to_wire(OPENING)), pb.Request(block=block_to_wire(Block(3, (), generate=19_000)))]
    with (
        serving(engine, sessions=1, idle_seconds=0.5) as where,
        grpc.insecure_channel(where, options=_SMALL_WINDOW) as channel,
        closing(GrpcLink(where, deadline_seconds=HANG_SECONDS)) as link,
    ):
        said: queue.SimpleQueue[pb.Request | None] = queue.SimpleQueue()
        for request in asked:
            said.put(request)
        call = channel.stream_stream(GENERATE, pb.Request.SerializeToString)(iter(said.get, None))
        assert pb.Reply.FromString(next(call)).WhichOneof("kind") == "opened"
        with pytest.raises(VerifierBusy):
            opened(link)
        eventually(lambda: opened(link), LinkError).close()
        call.cancel()
        said.put(None)


class Flood(Sequence[bytes]):
    """Replies without end; counts those that were sent."""

    def __init__(self, *first: bytes) -> None:
        self._first = first
        self.sent = 0

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, at: int | slice) -> bytes | Sequence[bytes]:
        return self._first if isinstance(at, slice) and at.start is None else self._more()  # type: ignore[return-value]

    def _more(self) -> Iterator[bytes]:
        verdict = pb.Reply(verdict=pb.Verdict(betas=[0.5] * 200)).SerializeToString()
        while True:
            self.sent += 1
            yield verdict


def test_a_verifier_that_sends_without_end_does_not_fill_the_device() -> None:
    with bad_verifier() as bad, closing(GrpcLink(bad.address, deadline_seconds=HANG_SECONDS)) as link:
        bad.replies = flood = Flood(OPENED, pb.Reply(working=pb.Working()).SerializeToString())
        session = opened(link)
        session.send(Block(3, (), generate=1))
        before = -1
        while flood.sent > before:  # until it is stopped
            before = flood.sent
            time.sleep(0.3)
        assert 0 < flood.sent < 5000
        session.close()
        eventually(_link_threads_have_ended, AssertionError)


def _link_threads_have_ended() -> None:
    assert not [thread for thread in threading.enumerate() if thread.name == "cuhlm-link"]


def test_calls_beyond_a_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MOST_CALLS", 3)
    with serving(TARGET, sessions=1, token="secret") as where, grpc.insecure_channel(where) as channel:
        said = [queue.SimpleQueue[None]() for _ in range(4)]
        begin = channel.stream_stream(GENERATE, pb.Request.SerializeToString)
        unfinished = [begin(iter(each.get, None), metadata=to_metadata("secret")) for each in said]

        def busy() -> None:
            with closing(GrpcLink(where, deadline_seconds=HANG_SECONDS)) as link, pytest.raises(VerifierBusy):
                link.describe()

        eventually(busy, pytest.fail.Exception)
        for call, each in zip(unfinished, said, strict=True):
            call.cancel()
            each.put(None)
        with closing(GrpcLink(where, deadline_seconds=HANG_SECONDS)) as link:
            assert eventually(link.describe, VerifierBusy).vocab_size == VOCAB


@pytest.mark.parametrize("over", ["grpc", "in process"])
def test_a_listener_is_told_how_far_the_target_has_read(over: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(ToyEngine):
        def advance(self, batch: Sequence[Advance]) -> list[Array]:
            time.sleep(0.02)
            return super().advance(batch)

    monkeypatch.setattr(server, "WORKING_SECONDS", 0.05)
    monkeypatch.setattr(in_process, "HEARD_SECONDS", 0.05)
    engine, heard = Slow(vocab_size=VOCAB, seed=5, context_length=1000), list[Drafted | Reading]()
    request = Request((1,) * 640, limits=Limits(2))
    with ExitStack() as stack:
        if over == "grpc":
            link: Link = GrpcLink(stack.enter_context(serving(engine)), deadline_seconds=HANG_SECONDS)
        else:
            link = InProcessLink(stack.enter_context(Verifier(engine)))
        stack.callback(link.close)
        with closing(Device(ToyEngine(vocab_size=VOCAB, seed=5, context_length=1000), link)) as device:
            assert len(collect(device.generate(settings("remote"), request, heard.append)).tokens) == 2
    read = [each.tokens for each in heard if isinstance(each, Reading)]
    assert len(read) >= 3
    assert read == sorted(read)
    assert 0 < read[-1] < 640


def test_a_reply_of_any_size_is_refused() -> None:
    huge = pb.Reply(verdict=pb.Verdict(betas=[0.5] * 10_000)).SerializeToString()
    with bad_verifier(huge) as bad, closing(GrpcLink(bad.address, deadline_seconds=HANG_SECONDS)) as link:
        session = opened(link)
        session.send(Block(3, (), generate=1))
        with pytest.raises(ProtocolError, match=r"says 4000. bytes at once; expected at most 16384"):
            session.receive(None)


@pytest.mark.parametrize("token", [b"", b"x" * 1000])
def test_a_vocabulary_without_end_is_refused(token: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuhlm.link.grpc._MOST_TOKENS", 10_000)
    monkeypatch.setattr("cuhlm.link.grpc._MOST_VOCABULARY_BYTES", 2**20)
    page = pb.VocabularyPage(tokens=[token] * 1000).SerializeToString()
    with bad_verifier() as bad, closing(GrpcLink(bad.address, deadline_seconds=HANG_SECONDS)) as link:
        bad.pages = [page] * 100
        with pytest.raises(ProtocolError, match="has a vocabulary of more than"):
            link.vocabulary()
