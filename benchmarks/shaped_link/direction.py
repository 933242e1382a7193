"""One way over an emulated link, without I/O: packets in, packets out, at the times that a link would take."""

import math
import random
from collections import deque
from dataclasses import dataclass

from cuhlm.channel.rates import RateModel


@dataclass(slots=True)
class Counts:
    """What became of the packets.

    Attributes:
        offered: packets that came.
        lost: of these, by chance.
        dropped: of these, because the queue was full.
        carried: bytes of the rest, IP headers included.
    """

    offered: int = 0
    lost: int = 0
    dropped: int = 0
    carried: int = 0


class Direction:
    """A queue that drops its tail, a server with a rate, and a delay.

    A packet is served when those before it are through, at the rates of the intervals it spans, and arrives
    `delay_seconds` later. Nothing overtakes, so its arrival is known as soon as it comes. Losses by chance are decided
    before the queue, as netem does: a lost packet takes no capacity.

    Args:
        rate: of the server; its time 0 is the link's.
        delay_seconds: one way, at least 0.
        loss: chance that a packet is lost, each by itself, in [0, 1).
        queue_bytes: that may wait; a packet that meets an idle server is served whatever its size.
        seed: of the losses.
    """

    def __init__(
        self, rate: RateModel, delay_seconds: float, *, loss: float = 0.0, queue_bytes: int = 256_000, seed: int = 0
    ) -> None:
        self.counts = Counts()
        self._rate = rate
        self._delay_seconds = delay_seconds
        self._loss = loss
        self._queue_bytes = queue_bytes
        self._random = random.Random(seed)
        self._free_at = 0.0
        self._queued: deque[tuple[float, int]] = deque()  # (served at, bytes), the packet being served included
        self._backlog = 0
        self._under_way: deque[tuple[float, bytes]] = deque()  # (arrives at, packet)

    def offer(self, packet: bytes, now: float) -> None:
        """A packet comes at `now`, seconds since the link began; never earlier than the one before."""
        self.counts.offered += 1
        if self._random.random() < self._loss:
            self.counts.lost += 1
            return
        self._forget_served(now)
        if self._queued and self._backlog + len(packet) > self._queue_bytes:
            self.counts.dropped += 1
            return
        begins = max(now, self._free_at)
        self._free_at = begins + self._rate.uplink_seconds(8 * len(packet), begins, 0)
        self._queued.append((self._free_at, len(packet)))
        self._backlog += len(packet)
        self._under_way.append((self._free_at + self._delay_seconds, packet))
        self.counts.carried += len(packet)

    @property
    def next_arrival(self) -> float:
        """When the next packet arrives; infinite where none is under way."""
        return self._under_way[0][0] if self._under_way else math.inf

    def arrived(self, now: float) -> list[tuple[float, bytes]]:
        """The packets that have arrived by `now` and were not returned before, each with when it did."""
        arrived = []
        while self._under_way and self._under_way[0][0] <= now:
            arrived.append(self._under_way.popleft())
        return arrived

    def _forget_served(self, now: float) -> None:
        while self._queued and self._queued[0][0] <= now:
            self._backlog -= self._queued.popleft()[1]
