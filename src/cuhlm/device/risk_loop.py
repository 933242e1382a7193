"""`opportunistic`, one token after another and nothing ahead, without I/O (design 2.11).

What is kept follows from the models and the seed alone: no clock has a say. So experiments decode by it, and bill the
records for any link.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from cuhlm.device.drafting import Drafting, Proposal
from cuhlm.device.ending import Ending
from cuhlm.device.gate import Measurement
from cuhlm.device.keeping import Keeping, Kept, audits_of
from cuhlm.device.loop import Loop
from cuhlm.device.steps import Emit, Finish, Receive, Reply, Send
from cuhlm.device.stopwatch import Stopwatch
from cuhlm.messages import Block, Fate
from cuhlm.records import TokenRecord, recorded_gap
from cuhlm.theory.score import signals_of


def decode_within_risk(
    prompt: Sequence[int],
    drafting: Drafting,
    measure: Measurement,
    keeping: Keeping,
    ending: Ending,
    *,
    clock: Callable[[], float],
) -> Loop:
    """Keep drafts within a risk budget, and wait for the target's verdict on each other, and on many kept ones.

    Args:
        prompt: tokens; the verifier's session was opened with the same.
        drafting: proposes tokens, by the race of the shared seed.
        measure: computes u.
        keeping: which are kept.
        ending: says when to stop.
        clock: seconds, for the stages of the trace; no decision depends on it.

    Returns:
        Why the answer ended, and what was risked in it. Before, all that was kept is audited.
    """
    history, verified = list(prompt), len(prompt)
    unaudited: list[Kept] = []
    watch = Stopwatch(clock)
    drafting.prefill(prompt)
    while ending.reason is None:
        watch.restart()
        proposal = drafting.propose(history, watch)
        u = measure(proposal.row, proposal.token, proposal.position)
        signals = signals_of(proposal.row, proposal.token, proposal.draft.gap, u)
        kept = keeping.keep(signals, float(proposal.law[proposal.token]))
        watch.lap("gate")
        if kept is not None:
            keeping.note_final(kept)
            unaudited.append(kept)
        token, reply = proposal.token, None
        if kept is None or len(unaudited) >= keeping.settings.audit_every:
            yield Send(_block(verified, (*history[verified:], token), unaudited), watch.stages(), draft_passes=1)
            reply = yield Receive()
            token = _heard(reply, token, unaudited, keeping, asked=kept is None)
            verified = len(history) + 1
        history.append(token)
        yield Emit(_record(proposal, u, token, reply, watch, is_kept=kept is not None), ending.see(token))
    tail = len(unaudited)
    if unaudited:
        yield Send(_block(verified, history[verified:], unaudited))
        reply = yield Receive()
        _heard(reply, history[-1], unaudited, keeping, asked=False)
    return Finish(ending.reason, ending.rest(), keeping.report(int(tail > 0), tail))


def _block(position: int, drafted: Sequence[int], unaudited: Sequence[Kept]) -> Block:
    """Tokens that are kept and not audited, and perhaps one that is asked for."""
    return Block(position, (), tuple(drafted), kept=tuple(at < len(unaudited) for at in range(len(drafted))))


def _heard(reply: Reply | None, token: int, unaudited: list[Kept], keeping: Keeping, *, asked: bool) -> int:
    """Note what the target says; the token that stands in place of `token`."""
    assert reply is not None, "a driver resumes a waiting Receive with a reply"
    for kept, audit in zip(unaudited, audits_of(reply.verdict, len(unaudited)), strict=False):
        keeping.note_audit(kept, audit)
    unaudited.clear()
    if not asked:
        return token
    keeping.note_asked()
    return token if reply.verdict.token is None else reply.verdict.token


def _record(
    proposal: Proposal, u: float, token: int, reply: Reply | None, watch: Stopwatch, *, is_kept: bool
) -> TokenRecord:
    """With what the pass cost that judged it, or audited many."""
    stands = token == proposal.token
    record = TokenRecord(
        position=proposal.position,
        token=token,
        fate=Fate.SKIPPED if is_kept else Fate.ACCEPTED if stands else Fate.RESAMPLED,
        draft_token=proposal.token,
        u=u,
        gap=recorded_gap(proposal.draft.gap),
        draft_passes=1,
        stages=watch.stages(),
    )
    if reply is None:
        return record
    verdict = reply.verdict
    return replace(
        record,
        wire_bytes_up=reply.bytes_up,
        wire_bytes_down=reply.bytes_down,
        target_passes=1,
        target_rows=verdict.judged,
        transmitted=True,
        stages=watch.stages(link=reply.seconds, target=verdict.target_seconds, verify=verdict.verify_seconds),
    )
