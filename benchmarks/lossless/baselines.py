"""What else one could do, in the same simulated time: each gives the seconds of one answer.

All are given the agreement, and the best of their block lengths by it; none is charged for bytes.
"""

from collections.abc import Sequence
from functools import lru_cache

from benchmarks.lossless.recorded import Recorded

from cuhlm.measuring.timeline import Costs

BLOCKS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15)
BESIDE_SECONDS = (0.005, 0.001)
"""A draft pass on the server, beside the target."""


def fixed_block(agrees: Sequence[bool], round_trip: float, costs: Costs, block: int) -> float:
    """Draft a block, send it, wait for the verdict."""
    at, seconds = 0, 0.0
    while at < len(agrees):
        drafts = min(block, len(agrees) - 1 - at)
        seconds += drafts * costs.draft_seconds + round_trip + costs.target.seconds(drafts)
        at += _stood(agrees, at, drafts) + 1
    return seconds


def ahead_with_one_wait(agrees: Sequence[bool], round_trip: float, costs: Costs, block: int) -> float:
    """The same, and draft on meanwhile, as if all stood (the shape of PicoSpec): one block is under way at a time."""
    at, seconds, ready = 0, 0.0, 0
    while at < len(agrees):
        drafts = min(block, len(agrees) - 1 - at)
        seconds += max(0, drafts - ready) * costs.draft_seconds
        wait = round_trip + costs.target.seconds(drafts)
        seconds += wait
        stood = _stood(agrees, at, drafts)
        # What was drafted meanwhile goes on where the whole block stood and the token behind it was foreseen.
        foreseen = stood == drafts and at + drafts < len(agrees) and agrees[at + drafts]
        ready = min(block, max(0, int(wait / costs.draft_seconds) - 1)) if foreseen else 0
        at += stood + 1
    return seconds


def beside_the_target(agrees: Sequence[bool], round_trip: float, costs: Costs, block: int, draft: float) -> float:
    """A draft on the server: no link between the two, and a second model to pay for."""
    at, seconds = 0, round_trip
    while at < len(agrees):
        drafts = min(block, len(agrees) - 1 - at)
        seconds += drafts * draft + costs.target.seconds(drafts)
        at += _stood(agrees, at, drafts) + 1
    return seconds


def two_targets(agrees: Sequence[bool], round_trip: float, costs: Costs, draft: float) -> float:
    """DSI with two instances and a draft beside them: drafting never waits, a verdict comes a pass after its draft.

    Its ideal: a draft that stands costs its own time, or half a pass where that is longer; one that falls a whole pass.
    """
    stands = max(draft, costs.target.alone / 2)
    return round_trip + sum(stands if agree else costs.target.alone for agree in agrees)


def looked_up(answer: Recorded, round_trip: float, costs: Costs, block: int) -> float:
    """Prompt lookup at the verifier: what followed the longest suffix (3 to 1 tokens) the last time."""
    text = (*answer.prompt_tokens, *answer.tokens)
    found = _continuations(text, len(answer.prompt_tokens))
    at, seconds, begin = 0, round_trip, len(answer.prompt_tokens)
    while begin + at < len(text):
        start = found[at]
        most = 0 if start is None else min(block, len(text) - 1 - begin - at, begin + at - start)
        seconds += costs.target.seconds(most)
        stood = 0
        while stood < most and start is not None and text[start + stood] == text[begin + at + stood]:
            stood += 1
        at += stood + 1
    return seconds


@lru_cache(maxsize=256)
def _continuations(text: tuple[int, ...], begin: int) -> list[int | None]:
    """For each position from `begin` on, where the last text like the one before it goes on; None where none was."""
    last: dict[tuple[int, ...], int] = {}
    found: list[int | None] = []
    for at in range(1, len(text)):
        suffixes = [text[at - length : at] for length in (3, 2, 1) if length <= at]
        if at >= begin:
            found.append(next((last[suffix] for suffix in suffixes if suffix in last), None))
        last |= dict.fromkeys(suffixes, at)
    return found


def _stood(agrees: Sequence[bool], at: int, drafts: int) -> int:
    return next((offset for offset in range(drafts) if not agrees[at + offset]), drafts)
