"""`opportunistic` in simulated time, on the target's own texts (design 2.11, 2.12): a queue of events.

The control and the device's rule for drafting on are the real ones. After a wrong token that is kept the text would be
another; the texts at hand are taken on with, as if it had not been.
"""

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cuhlm.channel.billing import Bill
from cuhlm.channel.compute import ComputeTable
from cuhlm.channel.presets import Channel
from cuhlm.measuring.timeline import CHUNK_BITS, DRAFT_BITS, VERDICT_BITS, Costs, costs_of
from cuhlm.messages import Fate
from cuhlm.records import TokenRecord
from cuhlm.settings import RiskSettings
from cuhlm.theory.control import Budget, RiskControl
from cuhlm.theory.pacing import Worth
from cuhlm.theory.score import RiskScore

AUDIT_BITS = 16
"""On the socket, for each kept token, in a message down."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a device would meet with at one position of a text.

    Attributes:
        score: predicted chance that keeping is wrong.
        gap: of the draft's race; None where nothing is known.
        agrees: whether the draft is the target's token.
        wrong: whether keeping it is wrong, in [0, 1].
    """

    score: float
    gap: float | None
    agrees: bool
    wrong: float


@dataclass(slots=True)
class KeptTimeline:
    """What happened.

    Attributes:
        final_at: when each token was final, seconds since the device asked for the first.
        kept: tokens.
        wrong: sum over the kept.
        passes: of the target, audits included.
        rows: positions that they judged.
        bits_up, bits_down: on the socket.
    """

    final_at: list[float] = field(default_factory=list)
    kept: int = 0
    wrong: float = 0.0
    passes: int = 0
    rows: int = 0
    bits_up: int = 0
    bits_down: int = 0

    @property
    def seconds(self) -> float:
        """The whole time of the answer; what is audited behind its end keeps nobody waiting."""
        return self.final_at[-1] if self.final_at else 0.0


def replay_kept(
    text: Sequence[Foreseen], channel: Channel, costs: Costs, risk: RiskSettings, control: RiskControl
) -> KeptTimeline:
    """The timeline of an answer.

    Args:
        text: its positions.
        channel: rates and round trip.
        costs: what computing takes.
        risk: how often the target audits.
        control: decides what is kept; goes on from text to text.
    """
    return _Replay(text, channel, costs, risk, control).run()


def bill_kept(records: Sequence[TokenRecord], channel: Channel, compute: ComputeTable) -> Bill:
    """The bill of an answer under `opportunistic`, as `bill_streamed` makes it: what was kept is kept again.

    Args:
        records: decoded one by one (`Device.generate_path`).
        channel: rates and round trip.
        compute: what a forward pass costs.
    """
    text = [
        Foreseen(float(record.fate is not Fate.SKIPPED), record.gap, record.fate is Fate.ACCEPTED, 0.0)
        for record in records
    ]
    as_it_was = RiskSettings(Budget(0.0, begins_at=0.5, most_pending=len(records) + 32), RiskScore(0.0, ()))
    done = replay_kept(text, channel, costs_of(records, compute), as_it_was, RiskControl(as_it_was.budget))
    nothing = np.zeros(len(records))
    return Bill(nothing, nothing, nothing, nothing, nothing, np.diff(np.array([0.0, *done.final_at])))


class _Replay:
    """One answer; positions count from its first token."""

    def __init__(
        self, text: Sequence[Foreseen], channel: Channel, costs: Costs, risk: RiskSettings, control: RiskControl
    ) -> None:
        self._text = text
        self._channel = channel
        self._costs = costs
        self._risk = risk
        self._control = control
        self._worth = Worth()
        self._timeline = KeptTimeline()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._up_free = self._down_free = 0.0
        # The device: positions below `_judged` are decided, those below `_final` are of the answer.
        self._judged = self._final = self._asked = 0
        self._kept: list[bool] = []  # of the drafts from `_judged` on
        self._drafting = False
        self._branch = 0  # counts the branches: what was made for an earlier one is dropped
        # The verifier.
        self._arrived = self._decided = 0
        self._busy = False
        self._live = 0

    def run(self) -> KeptTimeline:
        """Let everything happen."""
        self._at(self._costs.prompt_seconds, self._go_on)
        while self._events and (self._final < len(self._text) or self._judged < len(self._text)):
            now, _, happen = heapq.heappop(self._events)
            happen(now)
        return self._timeline

    def _at(self, time: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), happen))

    # The device's side.

    @property
    def _drafted(self) -> int:
        return self._judged + len(self._kept)

    def _go_on(self, now: float) -> None:
        self._advance(now)
        pending = [self._text[self._judged + at].gap for at, kept in enumerate(self._kept) if not kept]
        if not self._drafting and self._drafted < len(self._text) and self._worth.drafts_on(pending):
            self._drafting = True
            branch = self._branch
            self._at(now + self._costs.draft_seconds, lambda now: self._end_draft(now, branch))
        self._ask(now)

    def _end_draft(self, now: float, branch: int) -> None:
        self._drafting = False
        if branch == self._branch:
            keeps = self._control.keeps(self._text[self._drafted].score)
            if keeps:
                self._control.note_kept()
            self._kept.append(keeps)
        self._go_on(now)

    def _advance(self, now: float) -> None:
        """Tokens kept with nothing before them that is asked for are final."""
        while self._final < self._drafted and self._kept[self._final - self._judged]:
            self._final += 1
            self._timeline.final_at.append(now)

    def _ask(self, now: float) -> None:
        unasked = self._kept[self._asked - self._judged :]
        is_due = self._final - self._asked >= self._risk.audit_every or self._final == len(self._text)
        is_stuck = not self._drafting and self._asked == self._judged
        if not unasked or (all(unasked) and not is_due and not is_stuck):
            return
        bits = CHUNK_BITS + len(unasked) * (DRAFT_BITS + 1)
        self._timeline.bits_up += bits
        self._up_free = max(now, self._up_free)
        self._up_free += self._channel.rate.uplink_seconds(bits, self._up_free, self._asked)
        to, branch = self._drafted, self._branch
        self._asked = to
        self._at(self._up_free + self._channel.round_trip_seconds / 2, lambda now: self._arrive(now, to, branch))

    # The verifier's side.

    def _arrive(self, now: float, to: int, branch: int) -> None:
        if branch == self._live:
            self._arrived = to
            self._begin_pass(now)

    def _begin_pass(self, now: float) -> None:
        rows = self._arrived - self._decided
        if self._busy or rows <= 0:
            return
        self._busy = True
        self._timeline.passes += 1
        self._timeline.rows += rows
        to = self._arrived
        self._at(now + self._costs.target.seconds(rows - 1), lambda now: self._end_pass(now, to))

    def _end_pass(self, now: float, to: int) -> None:
        self._busy = False
        kept = self._kept[self._decided - self._judged : to - self._judged]
        fell = next(
            (at for at, keeps in enumerate(kept, self._decided) if not keeps and not self._text[at].agrees), None
        )
        self._decided = to if fell is None else fell + 1
        if fell is not None:
            self._live, self._arrived = self._live + 1, self._decided
        bits = VERDICT_BITS + AUDIT_BITS * sum(kept)
        self._timeline.bits_down += bits
        rate = self._channel.downlink_bits_per_second
        self._down_free = max(now, self._down_free) + (bits / rate if rate else 0.0)
        decided = self._decided
        self._at(
            self._down_free + self._channel.round_trip_seconds / 2,
            lambda now: self._hear(now, decided, fell is not None),
        )
        self._begin_pass(now)

    def _hear(self, now: float, decided: int, fell: bool) -> None:
        for position in range(self._judged, decided):
            self._label(position, self._kept.pop(0), stands=not (fell and position == decided - 1))
        if fell:
            self._control.note_forgotten(sum(self._kept))
            self._kept.clear()
            self._branch += 1
            self._asked = decided
        self._judged = decided
        self._timeline.final_at += [now] * (decided - self._final)
        self._final = max(self._final, decided)
        self._go_on(now)

    def _label(self, position: int, kept: bool, *, stands: bool) -> None:
        there = self._text[position]
        if not kept:
            self._worth.agreement.note(there.gap, stands)
            self._control.note_asked()
            return
        self._timeline.kept += 1
        self._timeline.wrong += there.wrong
        self._control.note_label(there.wrong)
