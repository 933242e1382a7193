"""`lossless` in simulated time: device, link and target work at once, so time is a queue of events (design 2.12).

Its text does not depend on time. An answer is decoded once along the target's path, with the draft's token at every
position; here those agreements are replayed for any channel and any cost of computing. The policies are the real ones:
`cuhlm.theory.pacing` and the verifier's `Branch`.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from cuhlm.channel.billing import Bill, device_seconds, target_seconds
from cuhlm.channel.compute import ComputeTable
from cuhlm.channel.presets import Channel
from cuhlm.device.ahead import CHUNK_SECONDS
from cuhlm.messages import Chunk
from cuhlm.records import TokenRecord
from cuhlm.theory.pacing import Pace, PassTime, Worth
from cuhlm.verifier.branch import Branch

CHUNK_BITS, DRAFT_BITS, VERDICT_BITS = 8 * 50, 8 * 2, 8 * 40
"""On the socket: a chunk beside its drafts, each draft, and a message down; upper bounds that `benchmarks` holds."""

_RIGHT, _WRONG = 1, 0


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of computing.

    Attributes:
        draft_seconds: a drafted token: forward pass and arithmetic.
        target: a pass of the target as a function of its drafts, judging included.
        prompt_seconds: what the device reads its own prompt in, after the target has read it.
    """

    draft_seconds: float
    target: PassTime
    prompt_seconds: float = 0.0


class Worthy(StrEnum):
    """What a draft was worth when it was made."""

    RIGHT = "right"  # the target's token, though it may come too late
    WRONG = "wrong"  # another: what is drafted behind it is dead
    DEAD = "dead"  # behind a wrong one
    LATE = "late"  # its position was decided meanwhile


@dataclass(slots=True)
class Timeline:
    """What happened.

    Attributes:
        decided_at: when the target decided each token, seconds since the device asked for the first.
        delivered_at: when the device had each.
        passes: of the target: when each began, when it ended, and how many drafts it took.
        drafts: of the device: when each began, when it ended, and what it was worth.
        chunks: when each was handed to the link, when it arrived, and how many drafts it held.
        stood: drafts that saved the target a pass.
        late: drafts that would have stood, had they come before the target decided their position.
    """

    decided_at: list[float] = field(default_factory=list)
    delivered_at: list[float] = field(default_factory=list)
    passes: list[tuple[float, float, int]] = field(default_factory=list)
    drafts: list[tuple[float, float, Worthy]] = field(default_factory=list)
    chunks: list[tuple[float, float, int]] = field(default_factory=list)
    stood: int = 0
    late: int = 0

    @property
    def seconds(self) -> float:
        """The whole time of the answer."""
        return self.delivered_at[-1] if self.delivered_at else 0.0

    @property
    def rows(self) -> int:
        """Positions that the target judged."""
        return len(self.passes) + sum(drafts for _, _, drafts in self.passes)

    @property
    def bits_up(self) -> int:
        """Of all chunks on the socket."""
        return sum(CHUNK_BITS + drafts * DRAFT_BITS for _, _, drafts in self.chunks)


def replay(
    agrees: Sequence[bool],
    channel: Channel,
    costs: Costs,
    gaps: Sequence[float | None] | None = None,
    *,
    begins: float = 0.0,
) -> Timeline:
    """The timeline of an answer under `lossless`.

    Args:
        agrees: per token, whether the draft on the target's own history is the target's token.
        channel: rates and round trip; chunks and verdicts pay for their bits on the socket.
        costs: what computing takes.
        gaps: per token, of the draft's race, which tells the device how sure a draft is; None where nothing is known.
        begins: when the device asks, on the channel's clock.
    """
    return _Replay(agrees, channel, costs, gaps or [None] * len(agrees), begins=begins).run()


def bill_streamed(records: Sequence[TokenRecord], channel: Channel, compute: ComputeTable) -> Bill:
    """The bill of an answer under a method that streams its drafts ahead.

    Device, link and target work at once, so a token's seconds are the time by which it comes after the one before: the
    round trip of the first, and what they waited for the target.

    Args:
        records: decoded one by one (`Device.generate_path`), so that each has the draft on the target's own history.
        channel: rates and round trip.
        compute: what a forward pass costs.
    """
    gaps = [record.gap for record in records]
    delivered = replay(agreements(records), channel, costs_of(records, compute), gaps).delivered_at
    seconds = np.diff(np.array([0.0, *delivered]))
    nothing, round_trip = np.zeros(len(records)), np.zeros(len(records))
    round_trip[:1] = channel.round_trip_seconds
    return Bill(nothing, nothing, nothing, round_trip, nothing, seconds - round_trip)


def agreements(records: Sequence[TokenRecord]) -> list[bool]:
    """Per token of an answer that was decoded one by one, whether the draft was the target's."""
    return [record.draft_token == record.token for record in records]


def costs_of(records: Sequence[TokenRecord], compute: ComputeTable) -> Costs:
    """What computing took in an answer, or takes by the table."""
    tokens = max(1, len(records))
    draft = sum(device_seconds(record.stages, record.draft_passes, compute) for record in records) / tokens
    alone = sum(target_seconds(record.stages.target, record.target_passes, compute) for record in records) / tokens
    per_row = alone if compute.target_row_seconds is None else compute.target_row_seconds
    return Costs(draft, PassTime(alone, per_row))


def replay_remote(tokens: int, channel: Channel, costs: Costs) -> Timeline:
    """The same for `remote`: no drafts."""
    return _Replay([False] * tokens, channel, costs, [None] * tokens, drafts=False).run()


class _Replay:
    """One answer. Tokens are only right or wrong; positions count from the answer's first token."""

    def __init__(
        self,
        agrees: Sequence[bool],
        channel: Channel,
        costs: Costs,
        gaps: Sequence[float | None],
        *,
        drafts: bool = True,
        begins: float = 0.0,
    ) -> None:
        self._begins = begins
        self._agrees = agrees
        self._gaps = gaps
        self._channel = channel
        self._costs = costs
        self._timeline = Timeline()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._up_free = self._down_free = 0.0
        # The device.
        self._drafts = drafts
        self._worth = Worth()
        self._known = 0
        self._branch: list[int] = []
        self._sent, self._sent_at = 0, -math.inf
        self._drafting = False
        self._stale = False
        # The verifier.
        self._pace = Pace()
        self._held = Branch(self._pace.agreement)
        self._decided: list[int] = []

    def run(self) -> Timeline:
        """Let everything happen."""
        if not self._agrees:
            return self._timeline
        self._at(self._channel.round_trip_seconds / 2, self._begin_pass)
        if self._drafts:
            self._at(self._costs.prompt_seconds, self._go_on)
        while len(self._timeline.delivered_at) < len(self._agrees):
            now, _, happen = heapq.heappop(self._events)
            happen(now)
        return self._timeline

    def _at(self, time: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), happen))

    # The verifier's side: passes follow one another without a gap.

    def _begin_pass(self, now: float) -> None:
        left = len(self._agrees) - len(self._decided)
        taken = self._pace.drafts(min(len(self._held.drafts), left - 1), self._costs.target)
        ends = now + self._costs.target.seconds(taken)
        self._timeline.passes.append((now, ends, taken))
        self._at(ends, lambda now: self._end_pass(now, taken))

    def _end_pass(self, now: float, taken: int) -> None:
        stood = next((at for at, token in enumerate(self._held.drafts[:taken]) if token == _WRONG), taken)
        made = stood + 1
        self._held.decide([_RIGHT] * made, len(self._decided))
        self._decided += [_RIGHT] * made
        self._pace.note(taken, made, self._costs.target)
        self._timeline.stood += stood
        self._timeline.decided_at += [now] * made
        self._down_free = max(now, self._down_free) + self._downlink_seconds(VERDICT_BITS)
        self._at(self._down_free + self._channel.round_trip_seconds / 2, lambda now: self._hear(now, made))
        if len(self._decided) < len(self._agrees):
            self._begin_pass(now)

    def _downlink_seconds(self, bits: int) -> float:
        rate = self._channel.downlink_bits_per_second
        return bits / rate if rate else 0.0

    # The device's side.

    def _hear(self, now: float, made: int) -> None:
        self._timeline.delivered_at += [now] * made
        for _ in range(made):
            if self._branch:
                stands = self._branch[0] == _RIGHT
                self._worth.agreement.note(self._gaps[self._known], stands)
                if stands:
                    del self._branch[0]
                    self._sent = max(0, self._sent - 1)
                else:
                    self._branch.clear()
                    self._sent, self._stale = 0, True
            self._known += 1
        if self._timeline.drafts:  # before, it reads its prompt
            self._worth.note_verdict(made)
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        if not self._drafts or now < self._costs.prompt_seconds:
            return
        position = self._known + len(self._branch)
        if (
            not self._drafting
            and position < len(self._agrees) - 1
            and self._worth.drafts_on(self._gaps[self._known : position])
        ):
            self._drafting, self._stale = True, False
            self._at(now + self._costs.draft_seconds, lambda ends: self._end_draft(now, ends, position))
        self._send(now)

    def _end_draft(self, began: float, now: float, position: int) -> None:
        self._drafting = False
        self._timeline.drafts.append((began, now, self._taken(position)))
        self._go_on(now)

    def _taken(self, position: int) -> Worthy:
        """Add the draft for `position` to the branch, where it is still live; what it was worth."""
        if self._stale:
            return Worthy.DEAD
        is_right = self._agrees[position]
        if position < self._known:
            self._worth.agreement.note(self._gaps[position], is_right)
            self._timeline.late += is_right
            return Worthy.LATE
        is_dead = _WRONG in self._branch
        self._branch.append(_RIGHT if is_right and not is_dead else _WRONG)
        return Worthy.DEAD if is_dead else Worthy.RIGHT if is_right else Worthy.WRONG

    def _send(self, now: float) -> None:
        unsent = tuple(self._branch[self._sent :])
        if not unsent or (self._drafting and now - self._sent_at < CHUNK_SECONDS):
            return
        chunk = Chunk(self._known + self._sent, unsent, self._known)
        self._sent, self._sent_at = len(self._branch), now
        starts = max(now, self._up_free)
        bits = CHUNK_BITS + len(unsent) * DRAFT_BITS
        self._up_free = starts + self._channel.rate.uplink_seconds(bits, self._begins + starts, chunk.position)
        arrives = self._up_free + self._channel.round_trip_seconds / 2
        self._timeline.chunks.append((now, arrives, len(unsent)))
        self._at(arrives, lambda _: self._take(chunk))

    def _take(self, chunk: Chunk) -> None:
        past = chunk.drafted[: max(0, len(self._decided) - chunk.position)]
        self._timeline.late += past.count(_RIGHT)
        self._held.take(chunk, self._decided)
