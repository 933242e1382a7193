"""The simulator against reality: what a trace is billed for, beside how long its tokens took."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cuhlm.channel.billing import Count, bill
from cuhlm.channel.compute import MEASURED
from cuhlm.channel.presets import Channel
from cuhlm.measuring.timeline import Costs, agreements, replay
from cuhlm.records import TokenRecord
from cuhlm.theory.pacing import PassTime

Floats = npt.NDArray[np.float64]

_HEADERS_BYTES = 20 + 20 + 12  # of IPv4, TCP, and its timestamps
_SEGMENT_BYTES = 1500 - _HEADERS_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """What was decoded over a link. The first token is not compared: it waits for the verifier to read the prompt.

    Attributes:
        method: its name.
        seed: of the shared randomness.
        records: of all tokens.
        decided_at: seconds on the link's clock, one per token.
        path: the same tokens decoded one by one, so that each has the draft on the target's own history; None where
            the method does not stream drafts ahead.
    """

    method: str
    seed: int
    records: tuple[TokenRecord, ...]
    decided_at: tuple[float, ...]
    path: tuple[TokenRecord, ...] | None = None

    @property
    def compared(self) -> tuple[TokenRecord, ...]:
        """The records of the tokens that are compared."""
        return self.records[1:]

    def measured(self) -> Floats:
        """Seconds of wall clock per compared token, shape (n − 1,)."""
        return np.diff(self.decided_at)

    def with_headers(self) -> "Answer":
        """The same, as if the socket had counted whole packets."""
        return replace(self, records=tuple(_with_headers(record) for record in self.records))

    def predicted(self, channel: Channel, count: Count) -> Floats:
        """Seconds per compared token by the simulator, with compute as this run measured it, shape (n − 1,).

        Each token is billed from where it really began: on a rate trace, a small error would otherwise move the
        tokens after it into other intervals. Where drafts stream ahead tokens do not follow one another: the answer
        is replayed as a whole, from where it began, and pays for what it says on the socket whatever the count.
        """
        if self.path is not None:
            costs = streaming_costs(self.compared)
            begins = max(0.0, self.decided_at[0] - channel.round_trip_seconds - costs.target.alone)
            gaps = [record.gap for record in self.path]
            return np.diff(replay(agreements(self.path), channel, costs, gaps, begins=begins).delivered_at)
        return bill(self.compared, channel, MEASURED, count=count, begins=self.decided_at[:-1]).seconds


def streaming_costs(records: Sequence[TokenRecord]) -> Costs:
    """What a run with drafts streamed ahead took: the median draft, and the line through the target's passes."""
    drafts = [(each.stages.draft + each.stages.arithmetic) / each.draft_passes for each in records if each.draft_passes]
    passes = [each for each in records if each.target_passes]
    rows = np.array([each.target_rows - 1 for each in passes], float)
    seconds = np.array([each.stages.target + each.stages.verify for each in passes])
    if np.ptp(rows) > 0:
        per_row, alone = np.polyfit(rows, seconds, 1)
    else:
        per_row = alone = float(seconds.mean())
    return Costs(float(np.median(drafts)) if drafts else 0.0, PassTime(float(alone), max(0.0, float(per_row))))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One method, or all together, over one link.

    Attributes:
        method: its name.
        tokens: n.
        measured: mean seconds per token.
        quartiles: of the seconds per token: lower, median, upper.
        predicted_wire: mean seconds per token, billed for the bytes on the socket.
        predicted_payload: billed for the paper's payload.
        predicted_packets: billed for the bytes on the socket and the headers of the packets they filled, estimated.
        transmitted_share: tokens for which the device asked.
        bytes_up: on the socket, per token.
        bytes_down: likewise.
    """

    method: str
    tokens: int
    measured: float
    quartiles: tuple[float, float, float]
    predicted_wire: float
    predicted_payload: float
    predicted_packets: float
    transmitted_share: float
    bytes_up: float
    bytes_down: float

    @property
    def difference(self) -> float:
        """Predicted, for the bytes on the socket, over measured, less 1."""
        return self.predicted_wire / self.measured - 1

    @property
    def difference_of_packets(self) -> float:
        """As `difference`, with headers."""
        return self.predicted_packets / self.measured - 1


def compare(method: str, channel: Channel, answers: Sequence[Answer]) -> Comparison:
    """The comparison of some answers, at least one of which has two tokens or more."""
    records = [record for answer in answers for record in answer.compared]
    measured = np.concatenate([answer.measured() for answer in answers])
    low, median, high = np.quantile(measured, (0.25, 0.5, 0.75))
    return Comparison(
        method=method,
        tokens=len(records),
        measured=float(measured.mean()),
        quartiles=(float(low), float(median), float(high)),
        predicted_wire=_mean([answer.predicted(channel, "wire") for answer in answers]),
        predicted_payload=_mean([answer.predicted(channel, "payload") for answer in answers]),
        predicted_packets=_mean([answer.with_headers().predicted(channel, "wire") for answer in answers]),
        transmitted_share=float(np.mean([record.transmitted for record in records])),
        bytes_up=float(np.mean([record.wire_bytes_up for record in records])),
        bytes_down=float(np.mean([record.wire_bytes_down for record in records])),
    )


def _mean(seconds: Sequence[Floats]) -> float:
    return float(np.concatenate(seconds).mean())


def _with_headers(record: TokenRecord) -> TokenRecord:
    up, down = (
        size and size + _HEADERS_BYTES * math.ceil(size / _SEGMENT_BYTES)  # None where nothing was counted
        for size in (record.wire_bytes_up, record.wire_bytes_down)
    )
    return replace(record, wire_bytes_up=up, wire_bytes_down=down)
