"""The decoding loop with several drafted tokens per request, without I/O (design 2.2).

Speculative decoding as it is known: a block of n drafts goes up, the target judges it in one pass of n + 1 rows, and a
block that stands whole is followed by a bonus token. A gate that keeps a draft ends the block before it: it is kept
where nothing before it is asked for, else the bonus token takes its place. With n = 1 the paper's loop is
`cuhlm.device.loop`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cuhlm.device.drafting import Drafting, Proposal
from cuhlm.device.ending import Ending
from cuhlm.device.gate import Gate
from cuhlm.device.loop import Loop, kept_record
from cuhlm.device.offering import Offer, Offering
from cuhlm.device.split import Splitting
from cuhlm.device.steps import Emit, Finish, Receive, Reply, Send
from cuhlm.device.stopwatch import Stopwatch
from cuhlm.messages import Block, Fate
from cuhlm.records import TokenRecord


@dataclass(frozen=True, slots=True)
class _Offered:
    """A draft, and what is sent of it; nothing where the gate keeps it."""

    proposal: Proposal
    u: float | None
    offer: Offer | None


def decode_in_blocks(
    prompt: Sequence[int],
    drafting: Drafting,
    gate: Gate,
    offering: Offering,
    splitting: Splitting,
    ending: Ending,
    *,
    block: int,
    clock: Callable[[], float],
) -> Loop:
    """Generate with `block` drafts at a time.

    Args:
        prompt: tokens; the verifier's session was opened with the same.
        drafting: proposes tokens.
        gate: keeps or transmits.
        offering: truncates and encodes each.
        splitting: draws what replaces a draft where the verifier leaves it to the device.
        ending: says when to stop.
        block: drafted tokens per request at most, 1 or more.
        clock: seconds, for the stages of the trace; no decision depends on it.

    Returns:
        Why the answer ended.
    """
    history, seen = list(prompt), len(prompt)
    watch = Stopwatch(clock)
    drafting.prefill(prompt)
    while ending.reason is None:
        watch.restart()
        # A block and its bonus token are no longer than the answer may be; its last token has no bonus behind it.
        made = _drafted(history, drafting, gate, offering, ending, min(block, max(1, ending.left - 1)), watch)
        offers = [each.offer for each in made if each.offer is not None]
        if offers:
            sent = _block(history, seen, offers, bonus=sum(len(each.drafted) for each in offers) < ending.left)
            yield Send(sent, watch.stages(), draft_passes=len(made))
            reply = yield Receive()
            assert reply is not None, "a driver resumes a waiting Receive with a reply"
            records = _records(made, sent, reply, splitting, watch)
            seen = sent.position + reply.verdict.accepted + (reply.verdict.token is not None)
            drafting.rewind(sent.position + reply.verdict.accepted)
        else:
            records = [kept_record(made[0].proposal, made[0].u, watch)]
        history += [record.token for record in records]
        for record in records:
            yield Emit(record, ending.see(record.token))
            if ending.reason is not None:
                break
    return Finish(ending.reason, ending.rest())


def _drafted(
    history: Sequence[int],
    drafting: Drafting,
    gate: Gate,
    offering: Offering,
    ending: Ending,
    most: int,
    watch: Stopwatch,
) -> list[_Offered]:
    """Drafts behind each other, up to the first that is kept; none is made behind an end token."""
    text, made = list(history), list[_Offered]()
    while len(made) < most:
        proposal = drafting.propose(text, watch)
        u = gate.uncertainty(proposal.row, proposal.token, proposal.position)
        if gate.keeps(u if u is not None else 1.0, proposal.position):
            return [*made, _Offered(proposal, u, None)]
        watch.lap("gate")
        made.append(_Offered(proposal, u, offer := offering.offer(proposal, u, watch)))
        text += offer.drafted
        if text[-1] in ending.end_tokens:
            break
    return made


def _block(history: Sequence[int], seen: int, offers: Sequence[Offer], *, bonus: bool) -> Block:
    return Block(
        position=len(history),
        sync=tuple(history[seen:]),
        drafted=tuple(token for offer in offers for token in offer.drafted),
        payloads=tuple(payload for offer in offers for payload in offer.payloads),
        generate=int(bonus),
        probabilities=tuple(each for offer in offers for each in offer.probabilities),
    )


def _records(
    made: Sequence[_Offered], sent: Block, reply: Reply, splitting: Splitting, watch: Stopwatch
) -> list[TokenRecord]:
    """One per decided token; what the whole block cost is the first one's."""
    verdict, drafted = reply.verdict, sent.drafted
    tokens = [*drafted[: verdict.accepted], *([] if verdict.token is None else [verdict.token])]
    if verdict.token is None and verdict.accepted < len(drafted):
        tokens.append(splitting.replaced(made[verdict.accepted].proposal, verdict))
    records = []
    for offset, token in enumerate(tokens):
        is_judged = offset < len(drafted)
        fate = Fate.ACCEPTED if offset < verdict.accepted else Fate.RESAMPLED if is_judged else Fate.BONUS
        record = TokenRecord(
            position=verdict.position + offset,
            token=token,
            fate=fate,
            draft_token=drafted[offset] if is_judged else None,
            u=made[offset].u if is_judged else None,
            beta=verdict.betas[offset] if offset < len(verdict.betas) else None,
        )
        records.append(record if offset else _paying(record, made, sent, reply, splitting, watch))
    return records


def _paying(
    record: TokenRecord, made: Sequence[_Offered], sent: Block, reply: Reply, splitting: Splitting, watch: Stopwatch
) -> TokenRecord:
    """`record` with what its block cost."""
    verdict, offers = reply.verdict, [each.offer for each in made if each.offer is not None]
    return replace(
        record,
        k=sum(offer.k for offer in offers),
        payload_bits=sum(offer.bits for offer in offers),
        law_bits=0 if verdict.law is None else splitting.bits(verdict.law),
        wire_bytes_up=reply.bytes_up,
        wire_bytes_down=reply.bytes_down,
        draft_passes=len(made),
        target_passes=1,
        target_rows=verdict.judged + sent.generate,
        transmitted=True,
        stages=watch.stages(link=reply.seconds, target=verdict.target_seconds, verify=verdict.verify_seconds),
    )
