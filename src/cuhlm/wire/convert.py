"""Messages to protobuf and back (design 3, wire).

Protobuf already refuses wrong types and negative numbers, and the classes of `cuhlm.messages` check their own
ranges. What depends on the session (positions, vocabulary, payloads) the verifier's session checks.
"""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from cuhlm.errors import ConfigurationError, ProtocolError
from cuhlm.messages import Block, ChatFormat, Chunk, ModelCard, Opening, Payload, Sampling, Verdict, Verification
from cuhlm.wire import verifier_pb2 as pb
from cuhlm.wire.audits import audits_from_wire, audits_to_wire, kept_from_wire, kept_to_wire

M = TypeVar("M", bound=Message)

PROTOCOL = 4
"""Of these messages and what is done on them: a verifier and a device of different ones refuse each other. 1, in which
the target drew by other random numbers and took no drafts ahead, did not say so: there the field is 0. 2 did not tell
the device how the target is spoken to. 3 had no audits."""

_LONGEST_NAME, _LONGEST_TEMPLATE = 1000, 200_000  # characters; the longest templates of today have 20 000
_MOST_END_TOKENS = 1000

_RULES = {
    Verification.SPECULATIVE: pb.SPECULATIVE,
    Verification.KEYED: pb.KEYED,
    Verification.TARGET: pb.TARGET,
    Verification.AUDITED: pb.AUDITED,
    Verification.SPLIT: pb.SPLIT,
}


def parsed(kind: type[M], data: bytes) -> M:
    """The protobuf message in `data`; gRPC itself would log a traceback where there is none.

    Raises:
        ProtocolError: the bytes are no such message.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ProtocolError(
            f"{len(data)} bytes came that are no {kind.DESCRIPTOR.name}; expected protobuf; "
            "use a device and a verifier of the same version"
        ) from error


def card_to_wire(card: ModelCard) -> pb.ModelCard:
    """A model card as protobuf."""
    return pb.ModelCard(
        name=card.name,
        vocab_size=card.vocab_size,
        vocab_fingerprint=card.vocab_fingerprint,
        context_length=card.context_length,
        batch_invariant=card.batch_invariant,
        max_block=card.max_block,
        max_sessions=card.max_sessions,
        end_tokens=sorted(card.end_tokens),
        fingerprint=card.fingerprint,
        protocol=PROTOCOL,
        chat=pb.ChatFormat(
            template=card.chat.template, start=card.chat.start, end=card.chat.end, adds_start=card.chat.adds_start
        ),
        sampling=None if card.sampling is None else _sampling_to_wire(card.sampling),
    )


def card_from_wire(card: pb.ModelCard) -> ModelCard:
    """A model card from protobuf.

    Raises:
        ProtocolError: no model has such a vocabulary, context or texts, or the verifier has another protocol.
    """
    _check_protocol("the verifier", card.protocol)
    if not (card.vocab_size and card.context_length and all(token < card.vocab_size for token in card.end_tokens)):
        raise ProtocolError(
            f"the verifier describes a model of {card.vocab_size} tokens that holds {card.context_length}, with "
            f"{len(card.end_tokens)} end tokens; expected a vocabulary, the end tokens in it, and a context; "
            "use a device and a verifier of the same version"
        )
    _check_lengths(card)
    return ModelCard(
        name=card.name,
        vocab_size=card.vocab_size,
        vocab_fingerprint=card.vocab_fingerprint,
        context_length=card.context_length,
        batch_invariant=card.batch_invariant,
        max_block=card.max_block,
        max_sessions=card.max_sessions,
        end_tokens=frozenset(card.end_tokens),
        fingerprint=card.fingerprint,
        chat=ChatFormat(card.chat.template, card.chat.start, card.chat.end, card.chat.adds_start),
        sampling=_sampling_from_wire(card.sampling, "the verifier recommends: ") if card.HasField("sampling") else None,
    )


def _check_lengths(card: pb.ModelCard) -> None:
    if len(card.end_tokens) > _MOST_END_TOKENS:
        raise ProtocolError(
            f"the verifier describes a model with {len(card.end_tokens)} end tokens; expected at most "
            f"{_MOST_END_TOKENS}; is it a cuhlm verifier?"
        )
    names = (card.name, card.vocab_fingerprint, card.fingerprint, card.chat.start, card.chat.end)
    for what, text, most in (
        *(("name", name, _LONGEST_NAME) for name in names),
        ("chat template", card.chat.template, _LONGEST_TEMPLATE),
    ):
        if len(text) > most:
            raise ProtocolError(
                f"the verifier describes a model with a {what} of {len(text)} characters; expected at most {most}; "
                "is it a cuhlm verifier?"
            )


def _sampling_to_wire(sampling: Sampling) -> pb.Sampling:
    return pb.Sampling(
        temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p, min_p=sampling.min_p
    )


def _sampling_from_wire(sampling: pb.Sampling, whose: str = "") -> Sampling:
    try:
        return Sampling(
            temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p, min_p=sampling.min_p
        )
    except ConfigurationError as error:
        raise ProtocolError(f"{whose}{error}") from error


def opening_to_wire(opening: Opening) -> pb.Open:
    """The beginning of a session as protobuf."""
    return pb.Open(
        prompt=opening.prompt,
        sampling=_sampling_to_wire(opening.sampling),
        seed=opening.seed,
        vocab_size=opening.vocab_size,
        verification=_RULES[opening.verification],
        codec=opening.codec,
        target_fingerprint=opening.target_fingerprint,
        protocol=PROTOCOL,
        patience_seconds=opening.patience_seconds,
        relaxed=opening.relaxed,
        law_entries=opening.law_entries,
    )


def opening_from_wire(opening: pb.Open) -> Opening:
    """The beginning of a session from protobuf.

    Raises:
        ProtocolError: the device has another protocol, the sampling parameters or the patience are out of range, or the
            rule of verification is unknown.
    """
    _check_protocol("the device", opening.protocol)
    if not opening.patience_seconds >= 0:
        raise ProtocolError(f"the device asks for a patience of {opening.patience_seconds} s; expected 0 or more")
    rule = next((ours for ours, number in _RULES.items() if number == opening.verification), None)
    if rule is None:
        raise ProtocolError(
            f"the device asks for verification by rule {opening.verification}; this verifier knows "
            f"{', '.join(_RULES)}; use device and verifier of one version"
        )
    return Opening(
        tuple(opening.prompt),
        _sampling_from_wire(opening.sampling),
        opening.seed,
        opening.vocab_size,
        verification=rule,
        codec=opening.codec,
        target_fingerprint=opening.target_fingerprint,
        patience_seconds=opening.patience_seconds,
        relaxed=opening.relaxed,
        law_entries=opening.law_entries,
    )


def _check_protocol(whose: str, protocol: int) -> None:
    if protocol != PROTOCOL:
        raise ProtocolError(
            f"{whose} has version {max(1, protocol)} of the protocol; expected {PROTOCOL}; "
            "use device and verifier of one version"
        )


def block_to_wire(block: Block) -> pb.Block:
    """A block as protobuf."""
    return pb.Block(
        position=block.position,
        sync=block.sync,
        drafted=block.drafted,
        payloads=[pb.Payload(data=payload.data, k=payload.k) for payload in block.payloads],
        generate=block.generate,
        kept=kept_to_wire(block.kept),
        probabilities=block.probabilities,
    )


def block_from_wire(block: pb.Block) -> Block:
    """A block from protobuf.

    Raises:
        ProtocolError: more is kept than drafted.
    """
    payloads = tuple(Payload(payload.data, payload.k) for payload in block.payloads)
    kept = kept_from_wire(block.kept, len(block.drafted))
    return Block(
        block.position,
        tuple(block.sync),
        tuple(block.drafted),
        payloads,
        block.generate,
        kept,
        tuple(block.probabilities),
    )


def chunk_to_wire(chunk: Chunk) -> pb.Chunk:
    """Drafts streamed ahead as protobuf."""
    return pb.Chunk(
        position=chunk.position,
        drafted=chunk.drafted,
        undecided=chunk.position - chunk.seen,
        asks=chunk.asks,
        kept=kept_to_wire(chunk.kept),
    )


def chunk_from_wire(chunk: pb.Chunk) -> Chunk:
    """Drafts streamed ahead from protobuf.

    Raises:
        ProtocolError: more is undecided than there is, or more kept than drafted.
    """
    if chunk.undecided > chunk.position:
        raise ProtocolError(
            f"drafts for position {chunk.position} are streamed ahead of {chunk.undecided} undecided tokens; "
            "expected at most as many as there are before them"
        )
    kept = kept_from_wire(chunk.kept, len(chunk.drafted))
    return Chunk(chunk.position, tuple(chunk.drafted), chunk.position - chunk.undecided, chunk.asks, kept)


def verdict_to_wire(verdict: Verdict) -> pb.Verdict:
    """A verdict as protobuf."""
    return pb.Verdict(
        position=verdict.position,
        accepted=verdict.accepted,
        token=verdict.token,
        betas=verdict.betas,
        judged=verdict.judged,
        target_seconds=verdict.target_seconds,
        verify_seconds=verdict.verify_seconds,
        audits=audits_to_wire(verdict.audits),
        law=None if verdict.law is None else pb.Payload(data=verdict.law.data, k=verdict.law.k),
    )


def verdict_from_wire(verdict: pb.Verdict) -> Verdict:
    """A verdict from protobuf.

    Raises:
        ProtocolError: an audit is cut.
    """
    return Verdict(
        position=verdict.position,
        accepted=verdict.accepted,
        token=verdict.token if verdict.HasField("token") else None,
        betas=tuple(verdict.betas),
        judged=verdict.judged,
        target_seconds=verdict.target_seconds,
        verify_seconds=verdict.verify_seconds,
        audits=audits_from_wire(verdict.audits),
        law=Payload(verdict.law.data, verdict.law.k) if verdict.HasField("law") else None,
    )
