"""The decoding loop, without I/O: CU-HLM as an algorithm (design 3).

A generator that runs the draft model, yields steps, and is resumed with their results. `cuhlm.device.drivers` has
the drivers, which own sockets, deadlines and clocks.
"""

from collections.abc import Callable, Generator, Sequence

from cuhlm.device.drafting import Drafting, Proposal
from cuhlm.device.ending import Ending
from cuhlm.device.gate import Gate
from cuhlm.device.offering import Offer, Offering
from cuhlm.device.steps import Emit, Finish, Receive, Reply, Send, Step
from cuhlm.device.stopwatch import Stopwatch
from cuhlm.messages import Block, Fate, Verdict
from cuhlm.records import Stages, TokenRecord, recorded_gap

Loop = Generator[Step, Reply | None, Finish]
"""An error of the link is raised in it, where it waits for the link."""


def decode(
    prompt: Sequence[int],
    drafting: Drafting,
    gate: Gate,
    offering: Offering,
    ending: Ending,
    *,
    clock: Callable[[], float],
) -> Loop:
    """Generate with draft, gate, truncation and verification, one token per request (design 2.7).

    Args:
        prompt: tokens; the verifier's session was opened with the same.
        drafting: proposes tokens.
        gate: keeps or transmits.
        offering: truncates and encodes what is transmitted.
        ending: says when to stop.
        clock: seconds, for the stages of the trace; no decision depends on it.

    Returns:
        Why the answer ended.
    """
    history, seen = list(prompt), len(prompt)
    watch = Stopwatch(clock)
    drafting.prefill(prompt)
    while ending.reason is None:
        watch.restart()
        proposal = drafting.propose(history, watch)
        u = gate.uncertainty(proposal.row, proposal.token, proposal.position)
        keeps = gate.keeps(u if u is not None else 1.0, proposal.position)
        watch.lap("gate")
        if keeps:
            record = kept_record(proposal, u, watch)
        else:
            offer = offering.offer(proposal, u, watch)
            yield Send(_block(proposal, offer, history[seen:]), watch.stages(), draft_passes=1)
            reply = yield Receive()
            assert reply is not None, "a driver resumes a waiting Receive with a reply"
            record = _judged(proposal, offer, u, reply, watch)
            seen = len(history) + 1
        history.append(record.token)
        yield Emit(record, ending.see(record.token))
    return Finish(ending.reason, ending.rest())


def delegate(prompt: Sequence[int], ending: Ending) -> Loop:
    """Let the verifier generate alone, its tokens streaming down: the method `remote`."""
    transmitted = True
    if ending.reason is None:
        yield Send(Block(len(prompt), (), generate=ending.left))
    while ending.reason is None:
        reply = yield Receive()
        assert reply is not None, "a driver resumes a waiting Receive with a reply"
        record = _made_by_target(reply, transmitted)
        transmitted = False
        yield Emit(record, ending.see(record.token))
    return Finish(ending.reason, ending.rest())


def _block(proposal: Proposal, offer: Offer, sync: Sequence[int]) -> Block:
    return Block(proposal.position, tuple(sync), offer.drafted, offer.payloads, generate=0 if offer.drafted else 1)


def kept_record(proposal: Proposal, u: float | None, watch: Stopwatch) -> TokenRecord:
    """Of a draft that the gate keeps."""
    return TokenRecord(
        position=proposal.position,
        token=proposal.token,
        fate=Fate.SKIPPED,
        draft_token=proposal.token,
        u=u,
        draft_passes=1,
        stages=watch.stages(),
    )


def _judged(proposal: Proposal, offer: Offer, u: float | None, reply: Reply, watch: Stopwatch) -> TokenRecord:
    token, fate = _outcome(offer, reply.verdict)
    return TokenRecord(
        position=proposal.position,
        token=token,
        fate=fate,
        draft_token=offer.drafted[0] if offer.drafted else proposal.token,
        u=u,
        gap=recorded_gap(proposal.draft.gap),
        k=offer.k,
        payload_bits=offer.bits,
        wire_bytes_up=reply.bytes_up,
        wire_bytes_down=reply.bytes_down,
        beta=reply.verdict.betas[0] if reply.verdict.betas else None,
        draft_passes=1,
        target_passes=1,
        target_rows=1,
        transmitted=True,
        stages=watch.stages(
            link=reply.seconds, target=reply.verdict.target_seconds, verify=reply.verdict.verify_seconds
        ),
    )


def _outcome(offer: Offer, verdict: Verdict) -> tuple[int, Fate]:
    """The token that stands after `verdict`, and how it came to be."""
    if verdict.token is None:
        return offer.drafted[0], Fate.ACCEPTED
    return verdict.token, Fate.RESAMPLED if offer.drafted else Fate.TARGET


def _made_by_target(reply: Reply, transmitted: bool) -> TokenRecord:
    verdict = reply.verdict
    assert verdict.token is not None
    stages = Stages(link=reply.seconds, target=verdict.target_seconds, verify=verdict.verify_seconds)
    return TokenRecord(
        position=verdict.position,
        token=verdict.token,
        fate=Fate.TARGET,
        wire_bytes_up=reply.bytes_up,
        wire_bytes_down=reply.bytes_down,
        target_passes=1,
        target_rows=1,
        transmitted=transmitted,
        stages=stages,
    )
