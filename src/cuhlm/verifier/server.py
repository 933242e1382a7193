"""The verifier on the network: an asyncio gRPC server around `Verifier` (design 3).

The event loop only moves messages: reading and judging are flows in the model's thread. A device that falls silent
loses its place after a while, one whose connection is dead sooner. One that waits for long is told that it is worked
for.
"""

import asyncio
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import grpc
import grpc.aio

from cuhlm.errors import (
    ConfigurationError,
    ContextOverflow,
    CuhlmError,
    LinkError,
    LinkTimeout,
    ModelClosed,
    ProtocolError,
    Unauthenticated,
    VerifierBusy,
)
from cuhlm.messages import Block, Opening, Verdict
from cuhlm.verifier.host import HostedSession, Verifier
from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.addresses import host_and_port, is_loopback
from cuhlm.wire.authorization import token_of
from cuhlm.wire.convert import (
    block_from_wire,
    card_to_wire,
    chunk_from_wire,
    opening_from_wire,
    parsed,
    verdict_to_wire,
)
from cuhlm.wire.service import SERVICE

_STATUS: dict[type[CuhlmError], grpc.StatusCode] = {
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    VerifierBusy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ProtocolError: grpc.StatusCode.INVALID_ARGUMENT,
    ContextOverflow: grpc.StatusCode.INVALID_ARGUMENT,
    ModelClosed: grpc.StatusCode.ABORTED,
    LinkError: grpc.StatusCode.ABORTED,
}
"""What is told to a device, the first that fits. Anything else is the verifier's own."""
_VOCABULARY_PAGE = 4096
_MAX_MESSAGE_BYTES = 16 * 2**20  # a whole |V| = 151 936 payload is 0.5 MB
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # two verifiers on one port would share devices at random
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 2**20),  # HTTP/2's 64 kB would stop a whole payload for a round trip
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 60_000),  # seldom: a ping is 17 bytes on a link that may be thin
    ("grpc.keepalive_timeout_ms", 20_000),
)
IDLE_SECONDS = 300.0
"""How long a device may be silent: it drafts meanwhile, and may skip many tokens before it asks."""

_LAST_WORD_SECONDS = 0.5
"""What is being written when the verifier ends may take so long, so that devices can be told why."""

WORKING_SECONDS = 0.5
"""A device that waits is told so often that the target is at work, where it is: its deadline is for silence, not for
long prompts, its own or others'."""

_MOST_CALLS = 4096
"""At once: whoever calls may have no token, and each takes memory. Far above what devices need, as calls that are never
read would else shut out all others."""

_OPENING_THREADS = 4  # opening waits for the end of a forward pass

_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[object, object]


@dataclass(frozen=True, slots=True)
class Certificate:
    """The verifier's TLS certificate chain and private key, PEM files."""

    chain: Path
    key: Path


class Server:
    """Serves one verifier at one address.

    Args:
        verifier: whom to serve; the caller closes it after `stop`.
        listen: HOST:PORT; port 0 takes a free one.
        certificate: for TLS; None talks without.
        idle_seconds: a device that says nothing for so long loses its place.

    Raises:
        ConfigurationError: the address is unusable, or open to the network without a token, or no certificate is
            where it should be.
    """

    def __init__(
        self,
        verifier: Verifier,
        listen: str,
        *,
        certificate: Certificate | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        check_exposure(listen, has_token=verifier.has_token)
        self._verifier = verifier
        self._idle_seconds = idle_seconds
        self._stopping = False
        self._streams: set[asyncio.Task[Any] | None] = set()
        self._opening = ThreadPoolExecutor(_OPENING_THREADS, thread_name_prefix="cuhlm-opening")
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=_MOST_CALLS)
        self._server.add_generic_rpc_handlers((self._handlers(),))
        try:
            self.port = self._bind(listen, certificate)
        except RuntimeError as error:
            raise ConfigurationError(
                f"cannot listen on {listen}: is another program there? choose another --listen"
            ) from error

    async def start(self) -> None:
        """Begin to serve."""
        await self._server.start()

    async def wait(self) -> None:
        """Serve until `stop`."""
        await self._server.wait_for_termination()

    async def stop(self, grace_seconds: float = 3.0) -> None:
        """End: new calls are refused, devices are told, and have `grace_seconds` to hear it: no wait where they do."""
        self._stopping = True
        for stream in self._streams:
            if stream is not None:
                stream.cancel()
        await self._server.stop(grace_seconds)
        self._opening.shutdown(wait=True, cancel_futures=True)

    def _bind(self, listen: str, certificate: Certificate | None) -> int:
        if certificate is None:
            return self._server.add_insecure_port(listen)
        return self._server.add_secure_port(listen, grpc.ssl_server_credentials([_read(certificate)]))

    def _handlers(self) -> "grpc.GenericRpcHandler[object, object]":
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Describe": grpc.unary_unary_rpc_method_handler(
                    self._describe, pb.DescribeRequest.FromString, pb.ModelCard.SerializeToString
                ),
                "Vocabulary": grpc.unary_stream_rpc_method_handler(
                    self._vocabulary, pb.VocabularyRequest.FromString, pb.VocabularyPage.SerializeToString
                ),
                "Generate": grpc.stream_stream_rpc_method_handler(self._generate, bytes, pb.Reply.SerializeToString),
            },
        )

    async def _describe(self, _request: pb.DescribeRequest, context: Context) -> pb.ModelCard:
        try:
            return card_to_wire(self._verifier.card)
        except Exception as error:
            await _abort(context, error)

    async def _vocabulary(self, _request: pb.VocabularyRequest, context: Context) -> AsyncIterator[pb.VocabularyPage]:
        try:
            self._verifier.authenticate(token_of(context.invocation_metadata() or ()))
            tokens = self._verifier.vocabulary()
        except Exception as error:
            await _abort(context, error)
        for start in range(0, len(tokens), _VOCABULARY_PAGE):
            yield pb.VocabularyPage(tokens=tokens[start : start + _VOCABULARY_PAGE])

    async def _generate(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """One stream. It writes its replies: where a generator yields, gRPC would take a cancellation, unheard."""
        session: HostedSession | None = None
        stream = asyncio.current_task()
        self._streams.add(stream)
        try:
            self._verifier.authenticate(token_of(context.invocation_metadata() or ()))
            async with self._patience():
                first = await self._next(requests, ("open",))
            if first is None:
                return
            opening = opening_from_wire(first.open)
            session = await self._open(opening)
            await self._say(context, pb.Reply(opened=pb.Opened()))
            await self._prefill(session, context)
            await self._converse(session, requests, context)
        except asyncio.CancelledError:
            if not self._stopping:  # the device left
                raise
            await _abort_soon(context, LinkError("the verifier is shutting down; try again later, or ask another"))
        except grpc.aio.InternalError:  # what it says cannot be written: the device left
            return
        except Exception as error:
            await _abort_soon(context, error)
        finally:
            self._streams.discard(stream)
            if session is not None:
                session.close()

    async def _converse(self, session: HostedSession, requests: AsyncIterator[bytes], context: Context) -> None:
        """Answer blocks one after another, and hand on the drafts that come meanwhile, until the device ends.

        A device that is answered may be silent; one that is not loses its place after a while.
        """
        answering: asyncio.Task[None] | None = None
        reading = asyncio.create_task(self._next(requests, ("block", "chunk")))
        try:
            while True:
                if answering is not None:
                    await asyncio.wait((reading, answering), return_when=asyncio.FIRST_COMPLETED)
                    if answering.done():
                        await answering  # its error
                        answering = None
                else:
                    async with self._patience():
                        await asyncio.wait((reading,))
                if not reading.done():
                    continue
                if (request := await reading) is None:
                    break
                if request.WhichOneof("kind") == "chunk":
                    session.offer(chunk_from_wire(request.chunk))
                else:
                    if answering is not None:
                        session.expect_no_more()
                        await answering
                    answering = asyncio.create_task(self._answer(session, block_from_wire(request.block), context))
                reading = asyncio.create_task(self._next(requests, ("block", "chunk")))
            if answering is not None:
                session.expect_no_more()
                await answering
        finally:
            under_way = [task for task in (reading, answering) if task is not None]
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)  # heard, or asyncio complains of their errors

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        """Within, the device is waited for.

        Raises:
            LinkTimeout: nothing has come for too long.
        """
        try:
            async with asyncio.timeout(self._idle_seconds):
                yield
        except TimeoutError:
            raise LinkTimeout(
                f"nothing came from this device for {self._idle_seconds:g} s, so its place was given back; "
                "ask again, or start the verifier with a longer --idle"
            ) from None

    async def _next(self, requests: AsyncIterator[bytes], kinds: Sequence[str]) -> pb.Request | None:
        """The device's next message; None where it has ended the stream.

        Raises:
            ProtocolError: it is no protobuf, not of the `kinds` whose turn it is, or more than any session takes.
        """
        message = await anext(requests, None)
        if message is None:
            return None
        request = parsed(pb.Request, message)
        if request.WhichOneof("kind") not in kinds:
            raise ProtocolError(
                f"the device sends {request.WhichOneof('kind') or 'nothing that is known here'}; expected "
                f"{kinds[0]}: a stream is one opening, then blocks; use device and verifier of one version"
            )
        self._check_sizes(request)
        return request

    def _check_sizes(self, request: pb.Request) -> None:
        """Refuse what no session takes, before it becomes objects, by the million, on the loop that serves all."""
        card = self._verifier.card
        for what, count, most in (
            ("tokens in a prompt", len(request.open.prompt), card.context_length),
            ("payloads", len(request.block.payloads), card.max_block),
            ("probabilities", len(request.block.probabilities), card.max_block),
            ("drafted tokens", len(request.block.drafted) + len(request.chunk.drafted), card.max_block),
            ("tokens to catch up on", len(request.block.sync), card.context_length),
        ):
            if count > most:
                raise ProtocolError(f"the device sends {count} {what}; expected at most {most}; send less at a time")

    async def _open(self, opening: Opening) -> HostedSession:
        """A session; one that a device did not wait for is closed as soon as it is there."""
        opened = self._opening.submit(self._verifier.open, opening)
        waiting = asyncio.wrap_future(opened)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            waiting.add_done_callback(lambda end: end.cancelled() or end.exception())  # or asyncio calls it unheard
            opened.add_done_callback(_close_unclaimed)
            raise

    async def _prefill(self, session: HostedSession, context: Context) -> None:
        """Let `session` read its prompt, however long that takes."""
        reading = asyncio.wrap_future(session.prefill())
        passes = self._verifier.passes
        while not (await asyncio.wait([reading], timeout=WORKING_SECONDS))[0]:
            passes = await self._say_if_at_work(passes, session, context)
        await reading

    async def _answer(self, session: HostedSession, block: Block, context: Context) -> None:
        """Let `session` answer `block`, and send each verdict as it is made."""
        loop = asyncio.get_running_loop()
        made: asyncio.Queue[Verdict | None] = asyncio.Queue()  # None: the end

        def tell(verdict: Verdict | None) -> None:
            loop.call_soon_threadsafe(made.put_nowait, verdict)

        answering = session.answer(block, tell)
        answering.add_done_callback(lambda _: tell(None))
        passes = self._verifier.passes
        while True:
            try:
                async with asyncio.timeout(WORKING_SECONDS):
                    verdict = await made.get()
            except TimeoutError:
                passes = await self._say_if_at_work(passes, session, context)
                continue
            if verdict is None:
                break
            await self._say(context, pb.Reply(verdict=verdict_to_wire(verdict)))
        await asyncio.wrap_future(answering)  # its error

    async def _say(self, context: Context, reply: pb.Reply) -> None:
        """Write `reply`.

        Raises:
            LinkTimeout: the device has not read for too long, so that nothing more can be written.
        """
        try:
            async with asyncio.timeout(self._idle_seconds):
                await _written(context, reply)
        except TimeoutError:
            raise LinkTimeout(
                f"this device has read nothing for {self._idle_seconds:g} s, so its place was given back; "
                "ask again, or start the verifier with a longer --idle"
            ) from None

    async def _say_if_at_work(self, passes: int, session: HostedSession, context: Context) -> int:
        """Tell a device that waits that the target is at work, if it made more than `passes`; how many it made."""
        if self._verifier.passes > passes:
            await self._say(context, pb.Reply(working=pb.Working(prompt_read=session.prompt_read)))
        return self._verifier.passes


def _close_unclaimed(opened: "Future[HostedSession]") -> None:
    if opened.exception() is None:
        opened.result().close()


def _read(certificate: Certificate) -> tuple[bytes, bytes]:
    """Key and chain, checked to belong together: gRPC itself would only say that it cannot listen."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate.chain, certificate.key)
        return certificate.key.read_bytes(), certificate.chain.read_bytes()
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"the certificate {certificate.chain} with the key {certificate.key} cannot be used: "
            f"{error.strerror or error}; expected two PEM files that belong together"
        ) from error


async def _written(context: Context, reply: pb.Reply) -> None:
    """Write `reply`; where the stream is cancelled meanwhile, wait a little for that before it ends.

    gRPC writes one thing at a time, and would not take the last word, why the stream ends, beside it.
    """
    writing = asyncio.ensure_future(context.write(reply))
    writing.add_done_callback(lambda end: end.cancelled() or end.exception())  # or asyncio calls it unheard
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait((writing,), timeout=_LAST_WORD_SECONDS)
        writing.cancel()
        raise


async def _abort_soon(context: Context, error: Exception) -> None:
    """As `_abort`, but a device that does not read hears nothing, and is not waited for."""
    with suppress(grpc.aio.InternalError, TimeoutError):
        async with asyncio.timeout(_LAST_WORD_SECONDS):
            await _abort(context, error)


async def _abort(context: Context, error: Exception) -> NoReturn:
    """End a stream: with the device's mistake in words, or with a number under which our log has our own."""
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), None)
    if status is not None:
        await context.abort(status, str(error))
    number = secrets.token_hex(4)
    _log.error("error %s ended a session", number, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, f"error {number}")
    raise AssertionError("abort always raises")


def check_exposure(listen: str, *, has_token: bool) -> None:
    """Refuse to serve a network without a token; loopback may do without.

    Raises:
        ConfigurationError: that, or the address is none.
    """
    host, _ = host_and_port(listen, lowest_port=0)
    if not is_loopback(host) and not has_token:
        raise ConfigurationError(
            f"{listen} is open to the network and no token is set; expected one: "
            "set CUHLM_TOKEN (or --token), or listen on 127.0.0.1"
        )
