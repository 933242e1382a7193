"""A device refuses what no verifier should send with an error of ours, and the tokens it has stand.

Every message takes the place of the answer to an opening, of a verdict, of the model card and of the vocabulary. More
mutations than the suite's, every round other ones:

    CUHLM_FUZZ=100 python -m pytest tests/fuzz
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress

import grpc
import numpy as np
import pytest
from tests.bad_verifier import CARD, OPENED, BadVerifier, bad_verifier
from tests.eventually import HANG_SECONDS
from tests.fuzz.malformed import at_the_edges, corpus, mutations
from tests.toy_pair import PROMPT, VOCAB, settings

from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.errors import CuhlmError, LinkError, LinkTimeout, ProtocolError
from cuhlm.link.grpc import GrpcLink
from cuhlm.messages import Verdict
from cuhlm.testing import ToyEngine
from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.convert import verdict_to_wire

DRAFT = ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6)
REPLACES = pb.Reply(verdict=verdict_to_wire(Verdict(len(PROMPT), 0, 7, (0.5,), 0.01, 0.001, judged=1)))


def a_reply(token: int, position: int = len(PROMPT)) -> bytes:
    return pb.Reply(verdict=verdict_to_wire(Verdict(position, 0, token))).SerializeToString()


@pytest.fixture(scope="module")
def bad() -> Iterator[BadVerifier]:
    with bad_verifier() as running:
        running.ends = grpc.StatusCode.OK
        yield running


@pytest.fixture(scope="module")
def device(bad: BadVerifier) -> Iterator[Device]:
    with closing(GrpcLink(bad.address, deadline_seconds=HANG_SECONDS)) as link:
        yield Device(DRAFT, link)


def heard(
    device: Device, bad: BadVerifier, replies: Sequence[bytes], method: str = "hlm"
) -> tuple[list[int], CuhlmError]:
    """The tokens of a generation with a verifier that says `replies`, and the error that ended it."""
    bad.replies, tokens = replies, list[int]()
    generation = device.generate(settings(method), Request(PROMPT, limits=Limits(9)))
    with pytest.raises((ProtocolError, LinkError)) as raised:
        tokens.extend(emit.record.token for emit in generation)
    return tokens, raised.value


def assert_refused(device: Device, bad: BadVerifier, name: str, reply: bytes) -> None:
    """In place of an `Opened`, of the first verdict, and of the second of a stream, with drafts ahead or without."""
    (none, at_opening), (any_, at_verdict), (some, in_stream), (few, ahead) = (
        heard(device, bad, (reply,)),
        heard(device, bad, (OPENED, reply)),
        heard(device, bad, (OPENED, a_reply(7), reply), "remote"),
        heard(device, bad, (OPENED, a_reply(7), reply), "lossless"),
    )
    assert none == [], name
    assert all(0 <= token < VOCAB for token in (*any_, *some, *few)), name
    assert some[:1] == few[:1] == [7], name
    assert not any(isinstance(error, LinkTimeout) for error in (at_opening, at_verdict, in_stream, ahead)), name


@pytest.mark.parametrize("name", corpus("replies"))
def test_the_corpus_ends_the_generation_with_an_error_of_ours(name: str, device: Device, bad: BadVerifier) -> None:
    assert_refused(device, bad, name, corpus("replies")[name])


def test_values_at_the_edges_of_their_types_end_it_with_an_error_of_ours(device: Device, bad: BadVerifier) -> None:
    for reply in at_the_edges(REPLACES):
        assert_refused(device, bad, str(reply), reply.SerializeToString())


def a_fall(law: pb.Payload) -> bytes:
    return pb.Reply(verdict=pb.Verdict(position=len(PROMPT), betas=[0.5], judged=1, law=law)).SerializeToString()


@pytest.mark.parametrize(
    ("law", "words"),
    [
        (pb.Payload(data=b"", k=1), "1 entries in 0 bytes"),
        (pb.Payload(data=b"\0" * 4 * (VOCAB + 1), k=VOCAB + 1), f"{VOCAB + 1} entries"),
        (pb.Payload(data=np.full(VOCAB, np.nan, "<f4").tobytes(), k=VOCAB), "sum to nan"),
        (pb.Payload(data=np.array([np.inf, -np.inf] * (VOCAB // 2), "<f4").tobytes(), k=VOCAB), "sum to nan"),
        (pb.Payload(data=b"\0" * 4 * VOCAB, k=VOCAB), "sum to 0"),
    ],
)
def test_a_y_that_is_no_law_is_refused_with_words(
    law: pb.Payload, words: str, device: Device, bad: BadVerifier
) -> None:
    tokens, error = heard(device, bad, (OPENED, a_fall(law)), "split")
    assert tokens == []
    assert f"y of position {len(PROMPT)} is malformed: " in str(error)
    assert words in str(error)


def test_mutated_laws_end_it_with_an_error_of_ours(device: Device, bad: BadVerifier) -> None:
    whole = a_fall(pb.Payload(data=np.full(VOCAB, 1 / VOCAB, "<f4").tobytes(), k=VOCAB))
    part = a_fall(pb.Payload(data=np.array([3, 5], "<u4").tobytes() + np.array([0.5, 0.5], "<f4").tobytes(), k=2))
    for name, reply in mutations([whole, part], 150):
        tokens, error = heard(device, bad, (OPENED, reply), "split")
        assert all(0 <= token < VOCAB for token in tokens), name
        assert not isinstance(error, LinkTimeout), name


def test_a_y_is_refused_where_none_was_asked_for(device: Device, bad: BadVerifier) -> None:
    tokens, error = heard(device, bad, (OPENED, a_fall(pb.Payload(data=b"\0" * 8, k=1))))
    assert tokens == []
    assert "expected a verdict on it" in str(error)


def test_mutated_replies_end_it_with_an_error_of_ours(device: Device, bad: BadVerifier) -> None:
    seeds = [OPENED, REPLACES.SerializeToString(), a_reply(0), *corpus("replies").values()]
    for name, reply in mutations(seeds, 150):
        assert_refused(device, bad, name, reply)


def test_bytes_that_are_no_reply_are_called_so_and_leave_no_traceback(
    device: Device, bad: BadVerifier, caplog: pytest.LogCaptureFixture
) -> None:
    for replies in ((b"\x0a\x7f",), (OPENED, b"\x0a\x7f")):
        assert "2 bytes came that are no Reply; expected protobuf" in str(heard(device, bad, replies)[1])
    assert not [record for record in caplog.records if record.exc_info]


def test_a_reply_of_more_than_16_mb_is_called_too_large(device: Device, bad: BadVerifier) -> None:
    large = pb.Reply(verdict=pb.Verdict(betas=[0.5] * (5 * 2**20))).SerializeToString()
    assert "is too large" in str(heard(device, bad, (OPENED, large))[1])


def test_a_refusal_does_not_repeat_a_million_numbers(device: Device, bad: BadVerifier) -> None:
    many = pb.Reply(verdict=pb.Verdict(position=len(PROMPT), betas=[0.5] * 2**20)).SerializeToString()
    assert len(str(heard(device, bad, (OPENED, many))[1])) < 1000


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_a_stream_that_ends_with_whatever_status_ends_the_generation_and_says_something(
    code: grpc.StatusCode, device: Device, bad: BadVerifier
) -> None:
    bad.ends = code
    try:
        for replies, stand in (((), []), ((OPENED,), []), ((OPENED, a_reply(7)), [7])):
            tokens, error = heard(device, bad, replies)
            assert tokens == stand
            assert str(error)
    finally:
        bad.ends = grpc.StatusCode.OK


def test_a_malformed_card_or_vocabulary_gives_a_device_or_an_error_of_ours(bad: BadVerifier) -> None:
    card = pb.ModelCard.FromString(CARD)
    other = pb.ModelCard.FromString(CARD)
    other.vocab_fingerprint = "another"
    cards = [*corpus("replies").values(), *(each.SerializeToString() for each in at_the_edges(card))]
    cards += [message for _, message in mutations([CARD, other.SerializeToString()], 100)]
    pages = [*corpus("replies").values(), pb.VocabularyPage(tokens=[b"a"]).SerializeToString()]
    with closing(GrpcLink(bad.address, deadline_seconds=HANG_SECONDS)) as link:
        for number, described in enumerate(cards):
            bad.card, bad.pages = described, (pages[number % len(pages)],)
            made(link)
        bad.card = other.SerializeToString()
        for page in (*pages, b""):
            bad.pages = (page,)
            made(link)
    bad.card, bad.pages = CARD, ()


def made(link: GrpcLink) -> None:
    """Make a device that reaches the verifier behind `link`, or have it refused."""
    with suppress(CuhlmError):
        assert 1 <= Device(DRAFT, link).vocab_size <= VOCAB
