"""The links that are emulated: channels as the simulator knows them, and loss, of which it knows nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.shaped_link.direction import Direction

from cuhlm.channel.presets import Channel, find_channel
from cuhlm.channel.rates import FixedRate, TraceRate

_TRACE_DOWN_MBPS = 30


@dataclass(frozen=True, slots=True)
class ShapedLink:
    """One row.

    Attributes:
        name: for people.
        channel: rates and round trip; its rate down must be known.
        loss: chance that a packet is lost, either way.
    """

    name: str
    channel: Channel
    loss: float = 0.0


DRIVE = Channel(
    "drive",
    TraceRate(np.array([0, 1, 2, 2.6, 3, 4, 5, 6.0]), np.array([8, 5, 1.5, 0, 0.6, 3, 6, 2.0])),
    0.050,
    "made up: a good cell, its edge, a hand-over of 0.4 s without service, a crowded cell; 7 s, then again",
    1e6 * _TRACE_DOWN_MBPS,
)


def shaped_links(recorded: Path | None = None) -> tuple[ShapedLink, ...]:
    """The links, thinnest last.

    Args:
        recorded: a rate trace to replay instead of the built-in drive.

    Raises:
        ConfigurationError: it is no rate trace.
    """
    drive = find_channel(f"trace:{recorded}:down_mbps={_TRACE_DOWN_MBPS}") if recorded else DRIVE
    lte = find_channel("lte")
    return (
        ShapedLink("lan", find_channel("lan")),
        ShapedLink("lte", lte),
        ShapedLink("satellite", find_channel("satellite")),
        ShapedLink("3g", find_channel("3g")),
        ShapedLink("trace", drive),
        ShapedLink("lossy", lte, loss=0.01),
        ShapedLink("iot-64k", find_channel("iot-64k")),
    )


def directions(link: ShapedLink) -> tuple[Direction, Direction]:
    """Up and down, with half of the round trip each."""
    channel = link.channel
    assert channel.downlink_bits_per_second is not None, "an emulated link has a rate both ways"
    way = channel.round_trip_seconds / 2
    return (
        Direction(channel.rate, way, loss=link.loss, seed=1),
        Direction(FixedRate(channel.downlink_bits_per_second), way, loss=link.loss, seed=2),
    )
