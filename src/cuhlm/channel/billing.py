"""What a trace costs on a channel (design 2.8).

Decoding and billing are separate: a trace is billed for any channel and compute table without decoding again. The
simulated driver charges its clock by the same functions, so its time and the bill are one.

    seconds of a token = draft passes + arithmetic + [transmitted] · (bits / rate + round trip) + target passes

Tokens that `remote` streams down after the first are not transmitted: they cost the target's pass alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cuhlm.channel.compute import ComputeTable
from cuhlm.channel.presets import Channel
from cuhlm.errors import ConfigurationError
from cuhlm.records import Stages, TokenRecord

Floats = npt.NDArray[np.float64]
Count = Literal["payload", "wire"]


@dataclass(frozen=True, slots=True)
class Bill:
    """Seconds per token, each of shape (n,), float64: the parts and their sum.

    Attributes:
        draft: the draft model's forward passes.
        arithmetic: the device's other work: sampling, gate, truncation, encoding.
        uplink: bits on their way up.
        round_trip: there and back, beside the bits.
        downlink: bits on their way down: of a y, or all where the bytes of the socket are counted.
        target: the target's forward passes, as far as they were waited for.
    """

    draft: Floats
    arithmetic: Floats
    uplink: Floats
    round_trip: Floats
    downlink: Floats
    target: Floats

    @property
    def device(self) -> Floats:
        """What the device computes."""
        return self.draft + self.arithmetic

    @property
    def seconds(self) -> Floats:
        """The whole time of each token."""
        return self.device + self.uplink + self.round_trip + self.downlink + self.target

    @property
    def total_seconds(self) -> float:
        """The whole time of the answer."""
        return float(self.seconds.sum())

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the answer over its whole time; infinite where it took none."""
        return tokens_per_second([self])


def tokens_per_second(bills: Collection[Bill]) -> float:
    """Tokens of several answers over their whole time; infinite where they took none."""
    seconds = sum(each.total_seconds for each in bills)
    return sum(len(each.draft) for each in bills) / seconds if seconds > 0 else float("inf")


def draft_seconds(stages: Stages, passes: int, compute: ComputeTable) -> float:
    """What a token's forward passes of the draft model cost."""
    return stages.draft if compute.draft_seconds is None else passes * compute.draft_seconds


def arithmetic_seconds(stages: Stages, passes: int, compute: ComputeTable) -> float:
    """What the device's other work for a token costs."""
    return stages.arithmetic if compute.arithmetic_seconds is None else passes * compute.arithmetic_seconds


def device_seconds(stages: Stages, draft_passes: int, compute: ComputeTable) -> float:
    """What the device computes for a token: its forward passes and its arithmetic."""
    return draft_seconds(stages, draft_passes, compute) + arithmetic_seconds(stages, draft_passes, compute)


def target_seconds(measured: float, passes: int, compute: ComputeTable) -> float:
    """What the target's forward passes for a token cost."""
    return measured if compute.target_seconds is None else passes * compute.target_seconds


def bill(
    records: Sequence[TokenRecord],
    channel: Channel,
    compute: ComputeTable,
    *,
    count: Count = "payload",
    begins: Sequence[float] | None = None,
) -> Bill:
    """The bill of one answer, whose tokens come one after another.

    What the target streams down (`remote`) it makes while the tokens before are still on their way: of a pass, only
    what outlasts them is billed.

    Args:
        records: of the answer, in order.
        channel: rates and round trip.
        compute: what a forward pass costs.
        count: which bits are on the link. ``payload``, as in the paper, bills the payload's bits up, and those of a y
            that comes down (`split`); token ids (all that `route`, `remote` and syncs send, some 20 bits each) and all
            else that comes down are free.
            ``wire`` bills the bytes that the trace counted on its socket, both ways.
        begins: when each token began, seconds since the channel did, for a trace of a real link, so that a rate trace
            is met where it was; None lets each begin when the bill of the one before ends, the first at 0.

    Raises:
        ConfigurationError: ``wire`` for a trace that was not decoded over a socket.
    """
    parts = np.zeros((6, len(records)))
    now = lag = 0.0  # lag: how far behind its making the last token arrived
    for column, record in enumerate(records):
        now = begins[column] if begins is not None else now
        *others, downlink, target = _parts(record, now, channel, compute, count)
        streamed = record.target_passes > 0 and not record.transmitted
        hidden = min(lag, target) if streamed else 0.0
        lag = downlink + (lag - hidden if streamed else 0.0)
        parts[:, column] = (*others, downlink, target - hidden)
        now += float(parts[:, column].sum())
    return Bill(*parts)


def _parts(record: TokenRecord, now: float, channel: Channel, compute: ComputeTable, count: Count) -> tuple[float, ...]:
    """The parts of one token that begins at `now`, in the order of `Bill`."""
    draft = draft_seconds(record.stages, record.draft_passes, compute)
    arithmetic = arithmetic_seconds(record.stages, record.draft_passes, compute)
    uplink = round_trip = downlink = 0.0
    if record.transmitted:
        bits = record.payload_bits if count == "payload" else _bits_on_the_wire(record, record.wire_bytes_up)
        uplink = channel.rate.uplink_seconds(bits, now + draft + arithmetic, record.position)
        round_trip = channel.round_trip_seconds
    if channel.downlink_bits_per_second is not None:
        bits = _bits_on_the_wire(record, record.wire_bytes_down) if count == "wire" else record.law_bits
        downlink = bits / channel.downlink_bits_per_second
    target = target_seconds(record.stages.target, record.target_passes, compute)
    return draft, arithmetic, uplink, round_trip, downlink, target


def _bits_on_the_wire(record: TokenRecord, counted: int | None) -> int:
    if counted is None:
        raise ConfigurationError(
            f"the trace counted no bytes for the token at position {record.position}; "
            "expected a trace decoded over gRPC: bill the payload, or decode with --verifier"
        )
    return 8 * counted
