"""`lossless`, without I/O: drafts stream ahead, the target never waits, and the text is the target's (design 2.10).

The second generator beside `cuhlm.device.loop`; the same drivers run it.
"""

import codecs
from collections.abc import Callable

from cuhlm.device.ahead import Ahead
from cuhlm.device.ending import Ending
from cuhlm.device.loop import Loop
from cuhlm.device.steps import Drafted, Emit, Finish, Receive, Send, Stream
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
    if ending.reason is None:
        yield Send(Block(ahead.position, (), generate=ending.left))
    while ending.reason is None:
        if ahead.go_on():
            yield _drafted(ahead, piece)
        if (chunk := ahead.chunk(clock())) is not None:
            yield Stream(chunk)
        reply = yield Receive(until=ahead.under_way)
        if reply is None:
            continue
        had_drafts = bool(ahead.drafts)
        for record in ahead.settle(reply, clock()):
            yield Emit(record, ending.see(record.token))
            if ending.reason is not None:
                break
        if had_drafts and not ahead.drafts and ending.reason is None:
            yield _drafted(ahead, piece)
    return Finish(ending.reason, ending.rest())


def _drafted(ahead: Ahead, piece: Callable[[int], bytes]) -> Drafted:
    text = codecs.decode(b"".join(map(piece, ahead.drafts)), "utf-8", "replace")
    return Drafted(ahead.position, ahead.drafts, text)
