"""Messages cross to protobuf and back whole, and what no message may hold is refused."""

import math
from dataclasses import fields, replace
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.errors import ProtocolError
from cuhlm.messages import Block, ChatFormat, Chunk, ModelCard, Opening, Payload, Sampling, Verdict, Verification
from cuhlm.testing.check_link import OPENING
from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.convert import (
    PROTOCOL,
    block_from_wire,
    block_to_wire,
    card_from_wire,
    card_to_wire,
    chunk_from_wire,
    chunk_to_wire,
    opening_from_wire,
    opening_to_wire,
    parsed,
    verdict_from_wire,
    verdict_to_wire,
)

M = TypeVar("M", bound=Message)

UINT32 = st.integers(0, 2**32 - 1)
TOKENS = st.lists(UINT32, max_size=20).map(tuple)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FLOAT32 = st.floats(width=32, allow_nan=False)

SAMPLINGS = st.builds(
    Sampling,
    temperature=st.floats(0, 100),
    top_k=UINT32,
    top_p=st.floats(0, 1, exclude_min=True),
    min_p=st.floats(0, 1, exclude_max=True),
)
CARDS = st.builds(
    ModelCard,
    name=TEXT,
    vocab_size=st.just(2**32 - 1),
    vocab_fingerprint=TEXT,
    context_length=st.integers(1, 2**32 - 1),
    batch_invariant=st.booleans(),
    max_block=UINT32,
    max_sessions=UINT32,
    end_tokens=st.frozensets(st.integers(0, 2**32 - 2), max_size=5),
    fingerprint=TEXT,
    chat=st.builds(ChatFormat, TEXT, TEXT, TEXT, st.booleans()),
    sampling=st.none() | SAMPLINGS,
)
OPENINGS = st.builds(
    lambda **given: replace(OPENING, **given),
    prompt=TOKENS,
    sampling=SAMPLINGS,
    seed=st.integers(0, 2**64 - 1),
    vocab_size=UINT32,
    verification=st.sampled_from(Verification),
    codec=TEXT,
    target_fingerprint=TEXT,
    patience_seconds=st.floats(0),
)
PAYLOADS = st.builds(Payload, st.binary(max_size=40), UINT32)
BLOCKS = st.builds(Block, UINT32, TOKENS, TOKENS, st.lists(PAYLOADS, max_size=4).map(tuple), UINT32)
VERDICTS = st.builds(
    Verdict, UINT32, UINT32, st.none() | UINT32, st.lists(FLOAT32, max_size=6).map(tuple), FLOAT32, FLOAT32, UINT32
)
CHUNKS = UINT32.flatmap(
    lambda position: st.builds(Chunk, st.just(position), TOKENS, st.integers(0, position), st.booleans())
)


def sent(message: M) -> M:
    """What arrives of `message`."""
    return parsed(type(message), message.SerializeToString())


@given(CARDS)
def test_a_card_crosses_whole(card: ModelCard) -> None:
    assert card_from_wire(sent(card_to_wire(card))) == card


@given(OPENINGS)
def test_an_opening_crosses_whole(opening: Opening) -> None:
    assert opening_from_wire(sent(opening_to_wire(opening))) == opening


@given(BLOCKS)
def test_a_block_crosses_whole(block: Block) -> None:
    assert block_from_wire(sent(block_to_wire(block))) == block


@given(VERDICTS)
def test_a_verdict_crosses_whole_its_numbers_as_float32(verdict: Verdict) -> None:
    assert verdict_from_wire(sent(verdict_to_wire(verdict))) == verdict


@given(CHUNKS)
def test_a_chunk_crosses_whole(chunk: Chunk) -> None:
    assert chunk_from_wire(sent(chunk_to_wire(chunk))) == chunk


def test_a_chunk_is_small() -> None:
    """At most 2 bytes a draft, beside what a chunk costs however long it is (ids below 2^14)."""
    one, ten = (
        len(pb.Request(chunk=chunk_to_wire(Chunk(1500, (9999,) * drafts, 1480))).SerializeToString())
        for drafts in (1, 10)
    )
    assert one <= 14
    assert ten - one == 2 * 9


def test_more_undecided_than_there_is_is_refused() -> None:
    with pytest.raises(ProtocolError, match="ahead of 6 undecided tokens; expected at most"):
        chunk_from_wire(pb.Chunk(position=5, undecided=6))


def test_a_verdict_on_token_0_is_not_a_verdict_without_a_token() -> None:
    tokens = [verdict_from_wire(sent(verdict_to_wire(Verdict(5, 0, token)))).token for token in (0, None)]
    assert tokens == [0, None]


@pytest.mark.parametrize(
    ("value", "message"),
    [(ModelCard, pb.ModelCard), (Opening, pb.Open), (Sampling, pb.Sampling), (Block, pb.Block), (Verdict, pb.Verdict)],
)
def test_every_field_of_a_value_is_on_the_wire(value: type, message: type[Message]) -> None:
    """A field that one of the two lacks would get lost or be its default for ever."""
    ours = {field.name for field in fields(value)}
    versioned = {"protocol"} if value in (ModelCard, Opening) else set[str]()
    assert ours | versioned == set(message.DESCRIPTOR.fields_by_name)
    assert not ours & versioned


def test_every_field_of_a_chunk_is_on_the_wire_where_what_was_seen_is_counted_back() -> None:
    ours = {field.name for field in fields(Chunk)}
    assert set(pb.Chunk.DESCRIPTOR.fields_by_name) == ours - {"seen"} | {"undecided"}


@pytest.mark.parametrize("version", [0, 1, PROTOCOL + 1])
def test_another_version_of_the_protocol_is_refused_by_both_sides(version: int) -> None:
    opening = opening_to_wire(OPENING)
    assert opening.protocol == PROTOCOL
    opening.protocol = version
    with pytest.raises(ProtocolError, match=f"the device has version {max(1, version)} of .*; expected {PROTOCOL}"):
        opening_from_wire(sent(opening))
    card = pb.ModelCard(vocab_size=9, context_length=9, protocol=version)
    with pytest.raises(ProtocolError, match=f"the verifier has version {max(1, version)} of .*; expected {PROTOCOL}"):
        card_from_wire(sent(card))


@pytest.mark.parametrize("patience", [-1.0, math.nan, -math.inf])
def test_a_patience_that_is_none_is_refused_where_it_arrives(patience: float) -> None:
    opening = opening_to_wire(OPENING)
    opening.patience_seconds = patience
    with pytest.raises(ProtocolError, match="a patience of"):
        opening_from_wire(sent(opening))


@pytest.mark.parametrize(
    "block",
    [
        Block(-1, ()),
        Block(2**32, ()),
        Block(1, (-1,)),
        Block(1, (), (2**32,)),
        Block(1, (), generate=-1),
        Block(1, (), (1,), (Payload(b"", -1),)),
    ],
)
def test_a_number_that_is_negative_or_too_large_does_not_leave(block: Block) -> None:
    with pytest.raises(ValueError, match="out of range"):
        block_to_wire(block)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", -0.1),
        ("temperature", 100.1),
        ("top_p", math.nan),
        ("top_p", 0.0),
        ("top_p", -math.inf),
        ("top_p", 1.01),
        ("min_p", math.nan),
        ("min_p", 1.0),
        ("min_p", -1e-9),
    ],
)
def test_sampling_out_of_range_is_refused_where_it_arrives(field: str, value: float) -> None:
    opening = opening_to_wire(OPENING)
    setattr(opening.sampling, field, value)
    with pytest.raises(ProtocolError, match=f"{field} is .*; expected a number"):
        opening_from_wire(sent(opening))


@pytest.mark.parametrize("rule", [0, 99, 2**31 - 1, -1])
def test_a_rule_that_this_version_does_not_know_is_refused_by_its_number(rule: int) -> None:
    opening = opening_to_wire(OPENING)
    opening.verification = rule  # type: ignore[assignment]
    with pytest.raises(
        ProtocolError, match=f"verification by rule {rule}; this verifier knows speculative, keyed, target, audited"
    ):
        opening_from_wire(sent(opening))


@pytest.mark.parametrize(
    "card",
    [
        pb.ModelCard(protocol=PROTOCOL),
        pb.ModelCard(protocol=PROTOCOL, vocab_size=0, context_length=9),
        pb.ModelCard(protocol=PROTOCOL, vocab_size=9, context_length=0),
        pb.ModelCard(protocol=PROTOCOL, vocab_size=9, context_length=9, end_tokens=[8, 9]),
    ],
)
def test_a_card_of_no_model_is_refused(card: pb.ModelCard) -> None:
    with pytest.raises(ProtocolError, match="expected a vocabulary, the end tokens in it, and a context"):
        card_from_wire(sent(card))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"name": "x" * 2000}, "a name of 2000 characters"),
        ({"chat": pb.ChatFormat(template="x" * 300_000)}, "a chat template of 300000 characters"),
        ({"chat": pb.ChatFormat(start="x" * 2000)}, "a name of 2000 characters"),
        ({"end_tokens": [1] * 2000}, "with 2000 end tokens; expected at most 1000"),
        ({"sampling": pb.Sampling(temperature=200, top_p=1)}, "the verifier recommends: temperature is 200"),
    ],
)
def test_a_card_of_endless_texts_is_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ProtocolError, match=told):
        card_from_wire(sent(pb.ModelCard(protocol=PROTOCOL, vocab_size=9, context_length=9, **more)))


def test_what_is_missing_has_protobufs_default_and_an_opening_without_sampling_or_rule_is_refused() -> None:
    assert block_from_wire(parsed(pb.Block, b"")) == Block(0, ())
    assert verdict_from_wire(parsed(pb.Verdict, b"")) == Verdict(0, 0, None)
    with pytest.raises(ProtocolError, match="top_p is 0"):
        opening_from_wire(pb.Open(protocol=PROTOCOL, verification=pb.SPECULATIVE))
    with pytest.raises(ProtocolError, match="verification by rule 0"):
        opening_from_wire(pb.Open(protocol=PROTOCOL))
    with pytest.raises(ProtocolError, match="version 1 of the protocol"):
        opening_from_wire(parsed(pb.Open, b""))


UNKNOWN_FIELD = pb.Reply(opened=pb.Opened()).SerializeToString().replace(b"\x0a", b"\xa2\x06")  # its number is 100


def test_a_field_of_a_later_version_is_passed_over() -> None:
    block = Block(3, (1, 2), generate=1)
    assert block_from_wire(parsed(pb.Block, block_to_wire(block).SerializeToString() + UNKNOWN_FIELD)) == block
    opening = opening_to_wire(OPENING).SerializeToString() + UNKNOWN_FIELD
    assert opening_from_wire(parsed(pb.Open, opening)) == OPENING
    assert parsed(pb.Reply, UNKNOWN_FIELD).WhichOneof("kind") is None


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05\x01", b"\xff" * 11, b"\x0b", b"\x00\x00"])
def test_bytes_that_are_no_protobuf_are_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=f"{len(data)} bytes came that are no Request; expected protobuf"):
        parsed(pb.Request, data)


def test_text_that_is_not_utf8_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="no ModelCard"):
        parsed(pb.ModelCard, b"\x0a\x02\xff\xfe")
