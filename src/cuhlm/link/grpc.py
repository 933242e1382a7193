"""The link over gRPC: one channel to one verifier, one stream per generation (design 3).

The device authenticates once per stream, since every header of a unary call costs more than the message. Nothing
here waits longer than the link's deadline: a verifier that is killed ends the stream at once, one that falls
silent is noticed by the deadline. One that says that it works for the device is not silent.
"""

import math
import queue
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import grpc

from cuhlm.closing import Closing
from cuhlm.errors import (
    ConfigurationError,
    CuhlmError,
    LinkError,
    LinkTimeout,
    ProtocolError,
    Unauthenticated,
    VerifierBusy,
)
from cuhlm.given import as_path, instance, number
from cuhlm.link.base import LinkSession, Traffic, ignored
from cuhlm.link.socket_bytes import Connection, OwnConnection
from cuhlm.messages import Block, Chunk, ModelCard, Opening, Verdict, Verification
from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.addresses import host_and_port, is_loopback
from cuhlm.wire.authorization import check_token, to_metadata
from cuhlm.wire.convert import block_to_wire, card_from_wire, chunk_to_wire, opening_to_wire, parsed, verdict_from_wire
from cuhlm.wire.service import DESCRIBE, GENERATE, VOCABULARY

_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own, so that its bytes can be counted
    ("grpc.http2.bdp_probe", 0),  # no pings beside every message: thin links pay for each
    ("grpc.enable_retries", 0),  # a block is never resent behind the session's back
    ("grpc.initial_reconnect_backoff_ms", 200),  # a verifier that is back is found within a second or two: gRPC's own
    ("grpc.max_reconnect_backoff_ms", 1000),  # patience grows to minutes, in which it is called unreachable
    ("grpc.max_receive_message_length", 4 * 2**20),
)
_TOO_LARGE = "message larger than max"  # in gRPC's own words; the status is that of a verifier without a place

_LONGEST_REPLY = 2**14
"""Bytes: far more than a verdict on the longest block, but for a y that was asked for."""
_LAW_BYTES_PER_TOKEN = 8

_MOST_TOKENS, _MOST_VOCABULARY_BYTES = 2**21, 2**26
"""Of a target's vocabulary: ten times the largest that there are."""

_MOST_UNREAD = 1024
"""Replies that may wait for the device: a verifier that sends without being asked must not fill its memory."""

_CLOSED_SECONDS = 0.2
"""How soon a receiving thread with a full inbox sees that its session was closed."""

_LONGEST_DEADLINE_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Security:
    """How a link proves who it is and whom it talks to.

    Attributes:
        token: presented once per stream; None presents none.
        certificate_authority: PEM file that the verifier's certificate must chain to; None talks without TLS.
        insecure: lets the token go over a network without TLS, where all on its way can read it.

    Raises:
        ConfigurationError: the token has characters that a gRPC header cannot carry.
    """

    token: str | None = None
    certificate_authority: Path | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        check_token(self.token)
        instance(bool, "insecure", self.insecure)
        if self.certificate_authority is not None:
            authority = as_path("the certificate authority", self.certificate_authority)
            object.__setattr__(self, "certificate_authority", authority)


class GrpcLink(Closing):
    """Reaches the verifier at `address`.

    Args:
        address: HOST:PORT.
        security: token and TLS.
        deadline_seconds: longest silence of a verifier that is asked for something.

    Raises:
        ConfigurationError: the address or the certificate file is unusable.
    """

    def __init__(self, address: str, *, security: Security = Security(), deadline_seconds: float = 30.0) -> None:
        deadline_seconds = number("the deadline", deadline_seconds)
        if not 0 < deadline_seconds <= _LONGEST_DEADLINE_SECONDS:  # a NaN ends here too
            raise ConfigurationError(
                f"the deadline is {deadline_seconds:g} s; expected above 0, at most {_LONGEST_DEADLINE_SECONDS:g}"
            )
        host, port = host_and_port(instance(str, "the address", address))
        instance(Security, "the security", security)
        self._address = address
        self._security = security
        self._deadline_seconds = deadline_seconds
        self.shares_machine = is_loopback(host)
        _check_secrecy(address, self.shares_machine, security)
        self._channel = _channel(address, self.shares_machine, security)
        self._connection = OwnConnection(port)
        self._sessions: list[GrpcSession] = []

    def describe(self) -> ModelCard:
        """The target's model card."""
        call = self._channel.unary_unary(
            DESCRIBE, request_serializer=pb.DescribeRequest.SerializeToString, response_deserializer=bytes
        )
        try:
            card = card_from_wire(parsed(pb.ModelCard, call(pb.DescribeRequest(), timeout=self._deadline_seconds)))
        except grpc.RpcError as error:
            raise _translated(error, self._address, self._deadline_seconds) from None
        self._connection.find()  # now, while a link that is made next has none yet
        return card

    def vocabulary(self) -> list[bytes]:
        """What the target's tokens stand for."""
        call = self._channel.unary_stream(
            VOCABULARY, request_serializer=pb.VocabularyRequest.SerializeToString, response_deserializer=bytes
        )
        try:
            metadata = to_metadata(self._security.token)
            pages = call(pb.VocabularyRequest(), timeout=self._deadline_seconds, metadata=metadata)
            tokens, size = list[bytes](), 0
            for page in pages:
                tokens += parsed(pb.VocabularyPage, page).tokens
                size += len(page)
                if len(tokens) > _MOST_TOKENS or size > _MOST_VOCABULARY_BYTES:
                    raise ProtocolError(
                        f"{self._address} has a vocabulary of more than {len(tokens)} tokens or {size} bytes; expected "
                        f"at most {_MOST_TOKENS} and {_MOST_VOCABULARY_BYTES}; is it a cuhlm verifier?"
                    )
        except grpc.RpcError as error:
            raise _translated(error, self._address, self._deadline_seconds) from None
        if not tokens:
            raise ProtocolError(f"the verifier at {self._address} has no vocabulary; expected one; is it a cuhlm one?")
        return tokens

    def open(self, opening: Opening) -> LinkSession:
        """Begin a generation; see `Link.open`."""
        session = GrpcSession(
            self._channel,
            opening,
            self._security.token,
            self._address,
            self._deadline_seconds,
            self._connection.find,
        )
        self._sessions = [each for each in self._sessions if not each.closed] + [session]
        if len(self._sessions) > 1:  # they share a connection, and the kernel counts them together
            for each in self._sessions:
                each.count_nothing()
        return session

    def close(self) -> None:
        """Give the connection back."""
        self._channel.close()
        self._connection.release()


class _Woken:
    """In the inbox: somebody called `wake`."""


class GrpcSession:
    """One stream. A thread of its own receives, so that waiting has a deadline."""

    def __init__(
        self,
        channel: grpc.Channel,
        opening: Opening,
        token: str | None,
        address: str,
        deadline_seconds: float,
        find_connection: Callable[[], Connection | None],
    ) -> None:
        self.closed = False
        self._address = address
        self._deadline_seconds = deadline_seconds
        self._outbox: queue.SimpleQueue[pb.Request | None] = queue.SimpleQueue()
        self._inbox: queue.Queue[pb.Reply | _Woken | None] = queue.Queue(_MOST_UNREAD)  # None: the stream has ended
        self._is_over = False
        self._ended: CuhlmError | None = None
        self._heard: Callable[[int], None] = ignored
        self._find_connection = find_connection
        self._connection: Connection | None = None
        self._before: Traffic | None = None
        self._asked = Block(0, ())
        self._streamed = 0
        self._offered_to = 0
        self._vocab_size = opening.vocab_size
        has_laws = opening.verification is Verification.SPLIT
        self._longest_reply = _LONGEST_REPLY + _LAW_BYTES_PER_TOKEN * opening.vocab_size * has_laws
        self._audited = opening.verification is Verification.AUDITED
        call = channel.stream_stream(
            GENERATE, request_serializer=pb.Request.SerializeToString, response_deserializer=bytes
        )
        metadata = to_metadata(token)
        # Before the call: what cannot be sent must leave no thread behind.
        opened = pb.Request(open=opening_to_wire(opening))
        self._call = call(iter(self._outbox.get, None), metadata=metadata)
        threading.Thread(target=self._receive_all, name="cuhlm-link", daemon=True).start()
        self._outbox.put(opened)

    def ready(self, heard: Callable[[int], None] = ignored) -> None:
        """Wait until the verifier has taken the session; its bytes are counted from then on."""
        self._heard = heard
        try:
            reply = self._next(None)
            if isinstance(reply, _Woken) or reply.WhichOneof("kind") != "opened":
                raise ProtocolError(f"{self._address} answered an opening with something else; is it a cuhlm verifier?")
        except CuhlmError:
            self.close()  # or gRPC's sending thread would wait for ever
            raise
        self._connection = self._find_connection()
        self._before = self._connection.traffic() if self._connection else None

    def count_nothing(self) -> None:
        """Give up counting: the session's bytes cannot be told from another's."""
        self._find_connection = lambda: None
        self._connection = None

    def send(self, block: Block) -> None:
        """Hand a block over."""
        if self._ended is not None:
            raise self._ended
        self._asked, self._streamed = block, 0
        self._outbox.put(pb.Request(block=block_to_wire(block)))

    def offer(self, chunk: Chunk) -> None:
        """Stream drafts ahead."""
        if self._ended is not None:  # `receive` says so, once it has given what came before
            return
        self._offered_to = chunk.position + len(chunk.drafted)
        self._outbox.put(pb.Request(chunk=chunk_to_wire(chunk)))

    def wake(self) -> None:
        """End the wait of another thread."""
        with suppress(queue.Full):  # nobody waits where so much has come
            self._inbox.put_nowait(_Woken())

    def receive(self, timeout_seconds: float | None) -> Verdict | None:
        """The next verdict; see `LinkSession.receive`."""
        try:
            reply = self._next(timeout_seconds)
        except LinkTimeout:
            if timeout_seconds is None:
                raise
            return None
        if isinstance(reply, _Woken):
            return None
        verdict = verdict_from_wire(reply.verdict)
        offered = max(0, self._offered_to - verdict.position)
        checked_verdict(verdict, self._asked, self._streamed, self._vocab_size, offered, audited=self._audited)
        if not self._asked.drafted:
            self._streamed += verdict.accepted + (verdict.token is not None)
        return verdict

    def traffic(self) -> Traffic | None:
        """Bytes on the socket since the verifier took the session; the opening with its prompt is not among them."""
        total = self._connection.traffic() if self._connection else None
        if total is None or self._before is None:
            return None
        return Traffic(total.up - self._before.up, total.down - self._before.down)

    def close(self) -> None:
        """End the stream."""
        self.closed = True
        self._outbox.put(None)
        self._call.cancel()  # type: ignore[no-untyped-call]

    def _next(self, timeout_seconds: float | None) -> "pb.Reply | _Woken":
        """The next reply that says something, or that somebody called `wake`.

        Args:
            timeout_seconds: None waits until the verifier has been silent for the link's deadline.
        """
        ends_at = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            reply = self._any_next(self._deadline_seconds if ends_at is None else max(0.0, ends_at - time.monotonic()))
            if isinstance(reply, _Woken) or reply.WhichOneof("kind") != "working":
                return reply
            self._heard(reply.working.prompt_read)

    def _any_next(self, timeout_seconds: float) -> "pb.Reply | _Woken":
        if self._is_over and self._ended is not None:  # whoever asks again hears the same
            raise self._ended
        try:
            reply = self._inbox.get(timeout=timeout_seconds) if timeout_seconds > 0 else self._inbox.get_nowait()
        except queue.Empty:
            raise LinkTimeout(
                f"the verifier at {self._address} did not answer within {timeout_seconds:g} s; "
                "check the network, or allow more with --deadline"
            ) from None
        if reply is None:
            assert self._ended is not None, "the reason is kept before the end is told"
            self._is_over = True
            raise self._ended
        return reply

    def _receive_all(self) -> None:
        try:
            for reply in self._call:
                if len(reply) > self._longest_reply:
                    raise ProtocolError(
                        f"{self._address} says {len(reply)} bytes at once; expected at most {self._longest_reply}; "
                        "is it a cuhlm verifier?"
                    )
                self._take(parsed(pb.Reply, reply))
            self._ended = LinkError(f"the verifier at {self._address} ended the session; try again")
        except grpc.RpcError as error:
            self._ended = _translated(error, self._address, self._deadline_seconds)
        except ProtocolError as error:
            self._ended = error
            self._call.cancel()  # type: ignore[no-untyped-call]
        self._take(None)

    def _take(self, reply: pb.Reply | None) -> None:
        """Put `reply` into the inbox, once there is room; until then gRPC stops the verifier, which sends too fast."""
        while True:
            try:
                return self._inbox.put(reply, timeout=_CLOSED_SECONDS)
            except queue.Full:
                if self.closed:  # nobody reads it any more, but perhaps waits for the end
                    self._inbox.get_nowait()


def _check_secrecy(address: str, loopback: bool, security: Security) -> None:
    """Refuse to tell a network the token."""
    if security.token and not (loopback or security.certificate_authority or security.insecure):
        raise ConfigurationError(
            f"the token would go to {address} in clear, for all on its way to read; expected TLS; give --tls-ca, or "
            "--insecure where you trust the network"
        )


def _channel(address: str, loopback: bool, security: Security) -> grpc.Channel:
    # A proxy that the environment names cannot reach this machine's loopback.
    options = (*_OPTIONS, ("grpc.enable_http_proxy", int(not loopback)))
    if security.certificate_authority is None:
        return grpc.insecure_channel(address, options=options)
    root = _checked_authority(security.certificate_authority)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(root_certificates=root), options=options)


def _checked_authority(path: Path) -> bytes:
    """The PEM file's bytes; gRPC itself would only fail later, and call the verifier unreachable."""
    try:
        ssl.create_default_context(cafile=path)
        return path.read_bytes()
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"the certificate file {path} cannot be read: {error.strerror or error}; expected a PEM file"
        ) from error


def checked_verdict(
    verdict: Verdict, asked: Block, streamed: int, vocab_size: int, offered: int = 0, *, audited: bool = False
) -> Verdict:
    """Refuse a verdict that does not answer the block.

    Args:
        verdict: as the verifier sent it.
        asked: the block it answers.
        streamed: tokens that have come of the several that `asked` lets the verifier generate.
        vocab_size: tokens both models share.
        offered: drafts that were streamed ahead from the verdict's position on.
        audited: whether the target only judges them, and makes no token behind them.

    Raises:
        ProtocolError: the verifier does not keep to the protocol.
    """
    has_token = verdict.token is not None
    drafted = len(asked.drafted) or (offered if audited or asked.generate > 1 else 0)
    makes_none = audited and verdict.accepted == verdict.judged > 0
    fits = (
        verdict.position == asked.position + streamed
        and streamed + verdict.accepted + has_token <= max(1, len(asked.drafted) + asked.generate)
        and 0 <= verdict.accepted <= verdict.judged <= drafted
        and (has_token or verdict.law is not None)
        == (verdict.accepted < len(asked.drafted) or (asked.generate > 0 and not makes_none))
        and (verdict.law is None or (bool(asked.probabilities) and not has_token))
        and len(verdict.audits) <= verdict.accepted
        and (verdict.token is None or 0 <= verdict.token < vocab_size)
        and len(verdict.betas) <= min(len(asked.drafted), verdict.accepted + 1)
        and all(0 <= beta <= 1 for beta in verdict.betas)  # a NaN ends here too
        and all(0 <= seconds < math.inf for seconds in (verdict.target_seconds, verdict.verify_seconds))
    )
    if not fits:
        raise ProtocolError(
            f"the verifier answered {replace(verdict, betas=verdict.betas[:8], audits=(), law=None)} to a block at "
            f"position {asked.position} with {len(asked.drafted)} drafted tokens, where position "
            f"{asked.position + streamed} is next; expected a verdict on it; use a verifier of the same version"
        )
    return verdict


def _translated(error: grpc.RpcError, address: str, deadline_seconds: float) -> CuhlmError:
    """The error of our tree for a gRPC status; a detail sent by the verifier is already a whole message."""
    code, details = error.code(), error.details() or ""
    ours: dict[grpc.StatusCode, type[CuhlmError]] = {
        grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
        grpc.StatusCode.RESOURCE_EXHAUSTED: VerifierBusy,
        grpc.StatusCode.INVALID_ARGUMENT: ProtocolError,
        grpc.StatusCode.ABORTED: LinkError,
    }
    if _TOO_LARGE in details:
        return ProtocolError(
            f"a message between this device and the verifier at {address} is too large ({details}); "
            "expected less; ask for verdicts earlier"
        )
    if code in ours:
        return ours[code](details or f"the verifier at {address} ended the session with {code.name} and no reason")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return LinkTimeout(
            f"the verifier at {address} did not answer within {deadline_seconds:g} s; "
            "check the network, or allow more with --deadline"
        )
    if code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
        return LinkError(f"the verifier at {address} failed ({details or code}); its own output says more; try again")
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return ProtocolError(f"what listens at {address} is not a cuhlm verifier of this version; check the address")
    return LinkError(
        f"the verifier at {address} cannot be reached ({details or code}); is `cuhlm verifier` running there?"
    )
