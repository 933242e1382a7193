"""What a trace costs on a channel (design 2.8).

Decoding and billing are separate: a trace is billed for any channel and compute table without decoding again. The
simulated driver charges its clock by the same two functions, so its time and the bill are one.

    seconds of a token = device + [transmitted] · (payload bits / rate + round trip) + target passes · target step
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cuhlm.channel.compute import ComputeTable
from cuhlm.channel.presets import Channel
from cuhlm.records import Stages, TokenRecord

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bill:
    """Seconds per token, each of shape (n,): the parts and their sum.

    Attributes:
        device: draft step, gate, truncation, encoding.
        uplink: the payload on its way up.
        round_trip: there and back, beside the bits.
        target: forward passes of the target.
    """

    device: Floats
    uplink: Floats
    round_trip: Floats
    target: Floats

    @property
    def seconds(self) -> Floats:
        """The whole time of each token."""
        return self.device + self.uplink + self.round_trip + self.target

    @property
    def total_seconds(self) -> float:
        """The whole time of the answer."""
        return float(self.seconds.sum())


def device_seconds(stages: Stages, draft_passes: int, compute: ComputeTable) -> float:
    """What the device computes for a token: its draft steps, and the arithmetic as it was measured."""
    draft = stages.draft if compute.draft_seconds is None else draft_passes * compute.draft_seconds
    return draft + stages.arithmetic


def target_seconds(measured: float, passes: int, compute: ComputeTable) -> float:
    """What the verifier computes for a token."""
    return measured if compute.target_seconds is None else passes * compute.target_seconds


def bill(records: Sequence[TokenRecord], channel: Channel, compute: ComputeTable) -> Bill:
    """The bill of one answer, whose tokens come one after another from time 0.

    The uplink is billed for the paper's payload. Token ids (which `route` and syncs send, some 20 bits) are free in
    it, as they are in the paper; the trace holds the bytes that were really sent.
    """
    parts = np.zeros((4, len(records)))
    now = 0.0
    for index, record in enumerate(records):
        device = device_seconds(record.stages, record.draft_passes, compute)
        uplink = round_trip = 0.0
        if record.transmitted:
            uplink = channel.rate.uplink_seconds(record.payload_bits, now + device, record.position)
            round_trip = channel.round_trip_seconds
        target = target_seconds(record.stages.target, record.target_passes, compute)
        parts[:, index] = device, uplink, round_trip, target
        now += device + uplink + round_trip + target
    return Bill(*parts)
