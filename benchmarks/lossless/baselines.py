"""What else one could do, in the same simulated time: each gives the seconds of one answer.

All are given the agreement, and the best of their block lengths by it; none is charged for bytes.
"""

from collections.abc import Sequence

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


def looked_up(prompt: Sequence[int], tokens: Sequence[int], round_trip: float, costs: Costs, block: int) -> float:
    """Prompt lookup at the verifier: what followed the longest suffix (3 to 1 tokens) the last time."""
    at, seconds = 0, round_trip
    while at < len(tokens):
        drafts = _lookup([*prompt, *tokens[:at]], min(block, len(tokens) - 1 - at))
        seconds += costs.target.seconds(len(drafts))
        stood = 0
        while stood < len(drafts) and drafts[stood] == tokens[at + stood]:
            stood += 1
        at += stood + 1
    return seconds


def _stood(agrees: Sequence[bool], at: int, drafts: int) -> int:
    return next((offset for offset in range(drafts) if not agrees[at + offset]), drafts)


def _lookup(text: Sequence[int], most: int) -> Sequence[int]:
    for length in (3, 2, 1):
        suffix = list(text[-length:])
        for start in range(len(text) - length - 1, -1, -1):
            if list(text[start : start + length]) == suffix:
                return text[start + length : start + length + most]
    return ()
