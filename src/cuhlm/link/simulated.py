"""A link over a simulated channel: the verdicts are real, the waiting is not (design 2.8).

It wraps another link, in process or gRPC, and charges a virtual clock for uplink, round trip and target.
"""

from collections import deque
from collections.abc import Sequence

from cuhlm.channel.billing import exchange_seconds
from cuhlm.channel.clock import VirtualClock
from cuhlm.channel.compute import ComputeTable
from cuhlm.channel.presets import Channel
from cuhlm.link.base import Link, LinkSession, Traffic
from cuhlm.messages import Block, ModelCard, Opening, Verdict


class SimulatedLink:
    """Charges `clock` for what `inner` does, as if `channel` lay between.

    Args:
        inner: the link that really answers; stays the caller's to close.
        channel: rates and round trip.
        compute: what the target's forward pass costs.
        clock: virtual seconds, shared with `drive_simulated`.
    """

    def __init__(self, inner: Link, channel: Channel, compute: ComputeTable, clock: VirtualClock) -> None:
        self._inner = inner
        self._channel = channel
        self._compute = compute
        self._clock = clock

    def describe(self) -> ModelCard:
        """The target's model card."""
        return self._inner.describe()

    def token_strings(self) -> Sequence[str]:
        """The target's vocabulary."""
        return self._inner.token_strings()

    def open(self, opening: Opening) -> LinkSession:
        """Begin a generation; see `Link.open`. Takes no virtual time: the prompt is not billed (design 2.8)."""
        return SimulatedSession(self._inner.open(opening), self._channel, self._compute, self._clock)

    def close(self) -> None:
        """Nothing to give back."""
