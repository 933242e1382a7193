"""The decoding loop with several drafted tokens per request, without I/O (design 2.2).

Speculative decoding as it is known: a block of n drafts goes up, the target judges it in one pass of n + 1 rows, and a
block that stands whole is followed by a bonus token. With n = 1 the paper's loop is `cuhlm.device.loop`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from cuhlm.device.drafting import Drafting
from cuhlm.device.ending import Ending
from cuhlm.device.loop import Loop
from cuhlm.device.offering import Offer, Offering
from cuhlm.device.steps import Emit, Finish, Receive, Reply, Send
from cuhlm.device.stopwatch import Stopwatch
from cuhlm.messages import Block, Fate
from cuhlm.records import TokenRecord


def decode_in_blocks(
    prompt: Sequence[int],
    drafting: Drafting,
    offering: Offering,
    ending: Ending,
    *,
    block: int,
    clock: Callable[[], float],
) -> Loop:
    """Generate with every token verified, `block` drafts at a time.

    Args:
        prompt: tokens; the verifier's session was opened with the same.
        drafting: proposes tokens.
        offering: truncates and encodes each.
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
        offers = _offers(history, drafting, offering, ending, min(block, max(1, ending.left - 1)), watch)
        drafted = [token for offer in offers for token in offer.drafted]
        payloads = tuple(payload for offer in offers for payload in offer.payloads)
        bonus = int(len(drafted) < ending.left)
        sent = Block(len(history), tuple(history[seen:]), tuple(drafted), payloads, generate=bonus)
        yield Send(sent, watch.stages(), draft_passes=len(offers))
        reply = yield Receive()
        assert reply is not None, "a driver resumes a waiting Receive with a reply"
        records = _records(offers, drafted, bonus, reply, watch)
        history += [record.token for record in records]
        seen = len(history)
        drafting.rewind(sent.position + reply.verdict.accepted)
        for record in records:
            yield Emit(record, ending.see(record.token))
            if ending.reason is not None:
                break
    return Finish(ending.reason, ending.rest())


def _offers(
    history: Sequence[int], drafting: Drafting, offering: Offering, ending: Ending, most: int, watch: Stopwatch
) -> list[Offer]:
    """Drafts behind each other, with what is sent of each; none is made behind an end token."""
    text, offers = list(history), list[Offer]()
    while len(offers) < most:
        offers.append(offering.offer(drafting.propose(text, watch), None, watch))
        text += offers[-1].drafted
        if text[-1] in ending.end_tokens:
            break
    return offers


def _records(
    offers: Sequence[Offer], drafted: Sequence[int], bonus: int, reply: Reply, watch: Stopwatch
) -> list[TokenRecord]:
    """One per decided token; what the whole block cost is the first one's."""
    verdict = reply.verdict
    tokens = [*drafted[: verdict.accepted], *([] if verdict.token is None else [verdict.token])]
    records = []
    for offset, token in enumerate(tokens):
        is_judged = offset < len(drafted)
        fate = Fate.ACCEPTED if offset < verdict.accepted else Fate.RESAMPLED if is_judged else Fate.BONUS
        record = TokenRecord(
            position=verdict.position + offset,
            token=token,
            fate=fate,
            draft_token=drafted[offset] if is_judged else None,
            beta=verdict.betas[offset] if offset < len(verdict.betas) else None,
        )
        records.append(record if offset else _paying(record, offers, bonus, reply, watch))
    return records


def _paying(record: TokenRecord, offers: Sequence[Offer], bonus: int, reply: Reply, watch: Stopwatch) -> TokenRecord:
    """`record` with what its block cost."""
    verdict = reply.verdict
    return replace(
        record,
        k=sum(offer.k for offer in offers),
        payload_bits=sum(offer.bits for offer in offers),
        wire_bytes_up=reply.bytes_up,
        wire_bytes_down=reply.bytes_down,
        draft_passes=len(offers),
        target_passes=1,
        target_rows=verdict.judged + bonus,
        transmitted=True,
        stages=watch.stages(link=reply.seconds, target=verdict.target_seconds, verify=verdict.verify_seconds),
    )
