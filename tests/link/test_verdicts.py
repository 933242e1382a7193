"""What the gRPC link refuses of a verifier that does not keep to the protocol."""

from contextlib import closing
from dataclasses import replace

import pytest
from tests.bad_verifier import OPENED, bad_verifier
from tests.toy_pair import PROMPT, VOCAB, settings

from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.errors import ProtocolError
from cuhlm.link.grpc import GrpcLink, checked_verdict
from cuhlm.messages import Audit, Block, Payload, Verdict
from cuhlm.testing import ToyEngine
from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.convert import verdict_to_wire

DRAFTED = Block(5, (), (3,), (Payload(b"", 1),))
ALONE = Block(5, (), generate=3)
BLOCK = Block(5, (), (3, 4), (Payload(b"", 1),) * 2, generate=1)
ACCEPTS = Verdict(5, 1, None, (0.25,), 0.01, 0.001, judged=1)


@pytest.mark.parametrize(
    ("verdict", "asked", "streamed"),
    [
        (ACCEPTS, DRAFTED, 0),
        (Verdict(5, 1, None, judged=1), DRAFTED, 0),
        (Verdict(5, 0, 7, (1.0,), judged=1), DRAFTED, 0),
        (Verdict(5, 2, 7, judged=2), BLOCK, 0),
        (Verdict(5, 1, 7, judged=2), BLOCK, 0),
        (Verdict(5, 0, 0), ALONE, 0),
        (Verdict(7, 0, 11), ALONE, 2),
    ],
)
def test_a_verdict_that_answers_the_block_is_taken(verdict: Verdict, asked: Block, streamed: int) -> None:
    assert checked_verdict(verdict, asked, streamed, vocab_size=12) is verdict


@pytest.mark.parametrize(
    ("verdict", "asked", "streamed"),
    [
        (replace(ACCEPTS, position=4), DRAFTED, 0),  # another position
        (Verdict(5, 2, None, judged=2), DRAFTED, 0),  # more accepted than drafted
        (Verdict(5, 1, None, judged=0), DRAFTED, 0),  # more accepted than judged
        (Verdict(5, 1, None, judged=2), DRAFTED, 0),  # more judged than drafted
        (Verdict(5, 0, None, judged=1), DRAFTED, 0),  # a rejection without a token in its place
        (Verdict(5, 1, 7, judged=1), DRAFTED, 0),  # a token too many
        (Verdict(5, 0, 12, judged=1), DRAFTED, 0),  # outside the vocabulary
        (Verdict(5, 2, None, judged=2), BLOCK, 0),  # no bonus token
        (Verdict(5, 1, 7, judged=1), ALONE, 0),  # drafts where none were streamed ahead
        (Verdict(5, 0, None), ALONE, 0),  # no token
        (Verdict(8, 0, 7), ALONE, 3),  # one more than was asked for
        (Verdict(5, 0, 7), ALONE, 1),  # a token twice
        (Verdict(7, 0, 7), ALONE, 1),  # a token left out
        (replace(ACCEPTS, betas=(0.2, 0.2)), DRAFTED, 0),
        (replace(ACCEPTS, betas=(float("nan"),)), DRAFTED, 0),
        (replace(ACCEPTS, betas=(1.5,)), DRAFTED, 0),
        (replace(ACCEPTS, target_seconds=float("inf")), DRAFTED, 0),
        (replace(ACCEPTS, verify_seconds=-1.0), DRAFTED, 0),
    ],
)
def test_a_verdict_that_does_not_is_refused(verdict: Verdict, asked: Block, streamed: int) -> None:
    with pytest.raises(ProtocolError, match="expected a verdict on it"):
        checked_verdict(verdict, asked, streamed, vocab_size=12)


@pytest.mark.parametrize(
    ("verdict", "streamed", "offered"),
    [(Verdict(5, 2, 7, judged=2), 0, 2), (Verdict(5, 0, 7, judged=9), 0, 9), (Verdict(6, 1, 7, judged=3), 1, 3)],
)
def test_drafts_that_were_streamed_ahead_may_stand(verdict: Verdict, streamed: int, offered: int) -> None:
    assert checked_verdict(verdict, ALONE, streamed, 12, offered) is verdict


@pytest.mark.parametrize(
    ("verdict", "streamed", "offered"),
    [
        (Verdict(5, 2, 7, judged=2), 0, 1),  # more judged than were sent
        (Verdict(5, 3, 7, judged=3), 0, 5),  # more tokens than were asked for
        (Verdict(6, 2, 7, judged=2), 1, 5),
        (Verdict(5, 1, None, judged=1), 0, 5),  # no token of the target's
    ],
)
def test_no_others_may(verdict: Verdict, streamed: int, offered: int) -> None:
    with pytest.raises(ProtocolError, match="expected a verdict on it"):
        checked_verdict(verdict, ALONE, streamed, 12, offered)


def _reply(verdict: Verdict) -> bytes:
    return pb.Reply(verdict=verdict_to_wire(verdict)).SerializeToString()


@pytest.mark.parametrize(
    ("method", "replies", "stand"),
    [
        ("hlm", [_reply(Verdict(3, 0, None))], []),
        ("hlm", [_reply(Verdict(3, 2, None))], []),
        ("hlm", [_reply(Verdict(3, 0, VOCAB))], []),
        ("hlm", [_reply(Verdict(4, 1, None))], []),
        ("hlm", [OPENED], []),
        (
            "hlm",
            [_reply(Verdict(3, 0, 7, judged=1)), _reply(Verdict(3, 0, 8, judged=1))],
            [7],
        ),  # two verdicts on one block
        ("remote", [_reply(Verdict(3, 0, 7)), _reply(Verdict(3, 0, 7))], [7]),
        ("remote", [_reply(Verdict(3, 0, 7)), _reply(Verdict(5, 0, 7))], [7]),
    ],
)
def test_a_bad_verdict_ends_the_generation_and_no_token_of_it_stands(
    method: str, replies: list[bytes], stand: list[int]
) -> None:
    tokens: list[int] = []
    with bad_verifier(*replies) as bad, closing(GrpcLink(bad.address, deadline_seconds=60)) as link:
        device = Device(ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6), link)
        generation = device.generate(settings(method), Request(PROMPT, limits=Limits(9)))
        with pytest.raises(ProtocolError, match="expected a verdict on it"):
            tokens.extend(emit.record.token for emit in generation)
    assert tokens == stand


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (
            Verdict(3, 0, 7, judged=0),
            "replaces 1; expected at most the 0|expected a verdict on it",
        ),  # nothing was asked
        (Verdict(3, 9, None, judged=9), "expected a verdict on it"),
        (Verdict(3, 0, None), "expected a verdict on it"),
        (Verdict(3, 1, None, judged=1, audits=(Audit(0.5, 0.5, False),) * 2), "expected a verdict on it"),
    ],
)
def test_a_bad_verdict_on_what_is_kept_ends_the_generation(verdict: Verdict, words: str) -> None:
    tokens: list[int] = []
    with bad_verifier(_reply(verdict)) as bad, closing(GrpcLink(bad.address, deadline_seconds=60)) as link:
        device = Device(ToyEngine(vocab_size=VOCAB, seed=5, noise=0.6), link)
        generation = device.generate(settings("opportunistic"), Request(PROMPT, limits=Limits(60)))
        with pytest.raises(ProtocolError, match=words):
            tokens.extend(emit.record.token for emit in generation)
    assert len(tokens) < 60


@pytest.mark.parametrize(
    ("verdict", "asked", "offered"),
    [
        (Verdict(5, 2, None, judged=2), ALONE, 2),  # all stand, and the target makes none
        (Verdict(5, 1, 7, judged=2), ALONE, 2),
        (Verdict(5, 2, None, judged=2, audits=(Audit(0.5, 0.5, True),)), Block(5, (), (3, 4), kept=(True, False)), 0),
    ],
)
def test_a_verdict_on_what_is_kept_is_taken(verdict: Verdict, asked: Block, offered: int) -> None:
    assert checked_verdict(verdict, asked, 0, 12, offered, audited=True) is verdict
