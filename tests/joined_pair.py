"""The decoding loop joined to the verifier's session: no device, no link, no thread (design 3).

Cheap enough for thousands of answers. `tests/laws/test_method_laws.py` asserts that the tokens are those of the real
path.
"""

from collections.abc import Iterator
from functools import lru_cache

from cuhlm.codec.base import Codec
from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.device.blocks import decode_in_blocks
from cuhlm.device.device import Request
from cuhlm.device.drafting import Drafting
from cuhlm.device.ending import Ending
from cuhlm.device.gate import make_gate, make_measurement
from cuhlm.device.keeping import Keeping
from cuhlm.device.loop import Loop, decode, delegate
from cuhlm.device.offering import Offering
from cuhlm.device.risk_loop import decode_within_risk
from cuhlm.device.split import Splitting
from cuhlm.device.steps import Emit, Receive, Reply, Send
from cuhlm.engines.base import Engine, Sequence
from cuhlm.messages import Array, Block, Opening, Payload, Verdict, Verification
from cuhlm.settings import Settings
from cuhlm.theory.truncation import Indices, TruncatedLaw
from cuhlm.verifier.session import Session


class RememberingCodec(FixedWidthCodec):
    """The device's codec, at work once for each law: all answers to a prompt send the same."""

    def __init__(self, b_prob: int) -> None:
        super().__init__(b_prob)
        self._payloads: dict[bytes, Payload] = {}
        self._decode = lru_cache(super().decode)

    def encode(self, indices: Indices, kept: Array, vocab_size: int) -> Payload:
        """See `Codec.encode`."""
        key = indices.tobytes() + kept.tobytes()
        if key not in self._payloads:
            self._payloads[key] = super().encode(indices, kept, vocab_size)
        return self._payloads[key]

    def decode(self, payload: Payload, vocab_size: int) -> TruncatedLaw:
        """See `Codec.decode`."""
        return self._decode(payload, vocab_size)


def joined_tokens(draft: Engine, target: Engine, chosen: Settings, request: Request, codec: Codec) -> tuple[int, ...]:
    """The answer to `request` by two engines of one vocabulary without end tokens."""
    drafting_sequence, target_sequence = draft.open(), target.open()
    try:
        loop = _loop(draft, drafting_sequence, chosen, request, codec)
        return tuple(_tokens(loop, _session(target, chosen, request, codec), target_sequence))
    finally:
        drafting_sequence.close()
        target_sequence.close()


def _loop(draft: Engine, sequence: Sequence, chosen: Settings, request: Request, codec: Codec) -> Loop:
    vocab_size = draft.card.vocab_size
    room = draft.card.context_length - len(request.prompt)
    ending = Ending(request.limits, frozenset(), room, draft.tokenizer.piece)
    if not chosen.method.drafts:
        return delegate(request.prompt, ending)
    keyed = chosen.method.verification in (Verification.KEYED, Verification.AUDITED)
    drafting = Drafting(sequence, request.sampling, request.seed, vocab_size, keyed=keyed)
    if chosen.risk is not None:
        measure = make_measurement(chosen.uncertainty, request.seed)
        return decode_within_risk(request.prompt, drafting, measure, Keeping(chosen.risk), ending, clock=lambda: 0.0)
    offering, gate = Offering(chosen, codec, request.seed, vocab_size), make_gate(chosen, request.seed)
    if chosen.block > 1 or chosen.method.verification is Verification.SPLIT:
        splitting = Splitting(codec if chosen.law_entries else None, request.seed, vocab_size)
        return decode_in_blocks(
            request.prompt, drafting, gate, offering, splitting, ending, block=chosen.block, clock=lambda: 0.0
        )
    return decode(request.prompt, drafting, gate, offering, ending, clock=lambda: 0.0)


def _session(target: Engine, chosen: Settings, request: Request, codec: Codec) -> Session:
    card = target.card
    return Session(
        Opening(
            request.prompt,
            request.sampling,
            request.seed,
            card.vocab_size,
            verification=chosen.method.verification or Verification.SPECULATIVE,
            codec=codec.name,
            law_entries=chosen.law_entries,
        ),
        vocab_size=card.vocab_size,
        context_length=card.context_length,
        max_block=max(chosen.block, chosen.risk.audit_every if chosen.risk else 1),
    )


def _tokens(loop: Loop, session: Session, sequence: Sequence) -> Iterator[int]:
    """Carry out the loop's steps; yields the tokens that it emits."""
    verdicts: Iterator[Verdict] = iter(())
    reply: Reply | None = None
    while True:
        try:
            step = loop.send(reply)
        except StopIteration:
            return
        reply = None
        match step:
            case Send(block):
                verdicts = _verdicts(block, session, sequence)
            case Receive():
                reply = Reply(next(verdicts), seconds=0.0)
            case Emit(record):
                yield record.token


def _verdicts(block: Block, session: Session, sequence: Sequence) -> Iterator[Verdict]:
    """The verdict on `block`, or one per token that it asks the target to make alone."""
    yield _verdict(block, session, sequence)
    for _ in range(block.generate - 1):
        yield _verdict(Block(session.length, (), generate=1), session, sequence)


def _verdict(block: Block, session: Session, sequence: Sequence) -> Verdict:
    work = session.plan(block, len(sequence))
    sequence.drop(work.keep)
    return session.judge(block, sequence.append(work.tokens, work.rows))
