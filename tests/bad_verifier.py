"""A gRPC server that says what a test gives it, byte for byte, where a verifier would answer."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from tests.toy_pair import VOCAB

from cuhlm.testing import ToyEngine
from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.convert import card_to_wire
from cuhlm.wire.service import SERVICE

CARD = card_to_wire(ToyEngine(vocab_size=VOCAB, seed=5).card).SerializeToString()
OPENED = pb.Reply(opened=pb.Opened()).SerializeToString()


@dataclass
class BadVerifier:
    """What it says; may be changed between streams.

    Attributes:
        address: HOST:PORT.
        card: the answer to Describe.
        pages: the answer to Vocabulary.
        replies: of one stream: the first answers the opening, the second the first block, the others follow at once.
        ends: the status with which the stream ends after them; None keeps it open until the device goes.
    """

    address: str = ""
    card: bytes = CARD
    pages: Sequence[bytes] = ()
    replies: Sequence[bytes] = (OPENED,)
    ends: grpc.StatusCode | None = None

    def describe(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        return self.card

    def vocabulary(self, _request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from self.pages

    def generate(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for reply in self.replies[:2]:
            next(requests, None)
            yield reply
        yield from self.replies[2:]
        if self.ends is None:
            for _ in requests:
                pass
        elif self.ends is not grpc.StatusCode.OK:
            context.abort(self.ends, "")


@contextmanager
def bad_verifier(*replies: bytes, opened: bytes = OPENED) -> Iterator[BadVerifier]:
    """A server that answers an opening with `opened` and the first block with `replies`."""
    bad = BadVerifier(replies=(opened, *replies))
    calls = {
        "Describe": grpc.unary_unary_rpc_method_handler(bad.describe),
        "Vocabulary": grpc.unary_stream_rpc_method_handler(bad.vocabulary),
        "Generate": grpc.stream_stream_rpc_method_handler(bad.generate),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, calls),))
    bad.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield bad
    finally:
        server.stop(0).wait()
