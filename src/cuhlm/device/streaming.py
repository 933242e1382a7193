"""Loops whose drafts stream ahead of the verdicts, without I/O (design 2.10, 2.11).

`stream` is `lossless`: the target never waits, and the text is its own. `stream_kept` is `opportunistic`: the target is
asked about what is too risky to keep. The same drivers run them as the loop of `cuhlm.device.loop`.
"""

import codecs
from collections.abc import Callable, Generator

from cuhlm.device.ahead import Ahead
from cuhlm.device.ending import Ending
from cuhlm.device.kept_ahead import KeptAhead
from cuhlm.device.loop import Loop
from cuhlm.device.steps import Drafted, Emit, Finish, Receive, Reopen, Reply, Send, Step, Stream
from cuhlm.errors import LinkError
from cuhlm.messages import Block


def stream(ahead: Ahead, ending: Ending, piece: Callable[[int], bytes], *, clock: Callable[[], float]) -> Loop:
    """Let the verifier generate, and stream drafts to it ahead of its verdicts.

    The text is the target's: drafts only change when it is there. When they are sent depends on time.

    Args:
        ahead: makes drafts; the verifier's session was opened with its prompt.
        ending: says when to stop.
        piece: the bytes that a token adds to the text.
        clock: seconds; paces what is sent.

    Returns:
        Why the answer ended.
    """
    branch = ahead.branch
    if ending.reason is None:
        yield Send(Block(len(branch.history), (), generate=ending.left))
    while ending.reason is None:
        if ahead.go_on():
            yield _drafted(len(branch.history), branch.tokens, piece)
        if (chunk := ahead.chunk(clock())) is not None:
            yield Stream(chunk)
        reply = yield Receive(until=branch.under_way)
        if reply is None:
            continue
        had_drafts = bool(branch.drafts)
        for record in ahead.settle(reply, clock()):
            yield Emit(record, ending.see(record.token))
            if ending.reason is not None:
                break
        if had_drafts and not branch.drafts and ending.reason is None:
            yield _drafted(len(branch.history), (), piece)
    return Finish(ending.reason, ending.rest())


def stream_kept(ahead: KeptAhead, ending: Ending, piece: Callable[[int], bytes], *, clock: Callable[[], float]) -> Loop:
    """Keep drafts within a risk budget, and stream them with the others to the verifier, which judges the others.

    Which are kept depends on when audits come, and so on time. Where the verifier is lost the device goes on alone, and
    has it judge what it made once it is back.

    Args:
        ahead: makes drafts and keeps them; the verifier's session was opened with its prompt.
        ending: says when to stop.
        piece: the bytes that a token adds to the text.
        clock: seconds; paces what is sent.

    Returns:
        Why the answer ended, and what was risked in it. Before, all that was kept is audited.
    """
    shown: tuple[int, ...] = ()
    reply: Reply | None = None
    if ending.reason is None:
        yield Send(Block(ahead.position, (), generate=ending.left))
    while ending.reason is None:
        for record in ahead.go_on(reply):
            yield Emit(record, ending.see(record.token))
            if ending.reason is not None:
                break
        if ending.reason is not None:
            break
        if ahead.open_drafts != shown:
            shown = ahead.open_drafts
            yield _drafted(ahead.position, shown, piece)
        try:
            reply = yield from _exchanged(ahead, ending, clock)
        except LinkError:
            ahead.go_alone()
            reply = None
    ahead.end()
    try:
        while ahead.is_unaudited:
            reply = yield from _exchanged(ahead, ending, clock)
            if reply is not None:  # else it was woken for a draft that is wanted no more
                ahead.hear_audits(reply)
    except LinkError:
        pass  # the answer is whole; the report says how much of it is not audited
    return Finish(ending.reason, ending.rest(), ahead.report())


def _exchanged(
    ahead: KeptAhead, ending: Ending, clock: Callable[[], float]
) -> Generator[Step, Reply | None, Reply | None]:
    """Send what is due, and wait for a verdict or a draft; alone for a draft, while the verifier is looked for."""
    if ahead.is_alone:
        yield (reopening := Reopen(ahead.verified, ahead.under_way))
        if reopening.has_succeeded:
            ahead.find_verifier()
            yield Send(Block(len(ahead.verified), (), generate=ending.left + ahead.position - len(ahead.verified)))
        return None
    if (chunk := ahead.chunk(clock())) is not None:
        yield Stream(chunk)
    return (yield Receive(until=None if ahead.has_ended else ahead.under_way))


def _drafted(position: int, tokens: tuple[int, ...], piece: Callable[[int], bytes]) -> Drafted:
    return Drafted(position, tokens, codecs.decode(b"".join(map(piece, tokens)), "utf-8", "replace"))
