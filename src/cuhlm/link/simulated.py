"""A link over a simulated channel: the verdicts are real, the waiting is not (design 2.8).

It wraps another link, in process or gRPC, and charges a virtual clock for uplink, round trip and target.
"""

from collections.abc import Callable, Sequence

from cuhlm.channel.billing import target_seconds
from cuhlm.channel.clock import VirtualClock
from cuhlm.channel.compute import ComputeTable
from cuhlm.channel.presets import Channel
from cuhlm.closing import Closing
from cuhlm.codec.base import Codec
from cuhlm.codec.find import find_codec
from cuhlm.codec.whole_law import PROBABILITY_BITS, law_bits
from cuhlm.link.base import Link, LinkSession, Traffic, ignored
from cuhlm.messages import Block, Chunk, ModelCard, Opening, Verdict


class SimulatedLink(Closing):
    """Charges `clock` for what `inner` does, as if `channel` lay between.

    Args:
        inner: the link that really answers; stays the caller's to close.
        channel: rates and round trip.
        compute: what the target's forward pass costs.
        clock: virtual seconds, shared with `drive_simulated`.
    """

    def __init__(self, inner: Link, channel: Channel, compute: ComputeTable, clock: VirtualClock) -> None:
        self.shares_machine = False  # as the compute table has it
        self._inner = inner
        self._channel = channel
        self._compute = compute
        self._clock = clock

    def describe(self) -> ModelCard:
        """The target's model card."""
        return self._inner.describe()

    def vocabulary(self) -> Sequence[bytes]:
        """The target's vocabulary."""
        return self._inner.vocabulary()

    def open(self, opening: Opening) -> LinkSession:
        """Begin a generation; see `Link.open`. Takes no virtual time: the prompt is not billed (design 2.8)."""
        return SimulatedSession(self._inner.open(opening), opening, self._channel, self._compute, self._clock)

    def close(self) -> None:
        """Nothing to give back."""


class SimulatedSession:
    """Verdicts of the inner session, each with the virtual time at which it arrives."""

    def __init__(
        self,
        inner: LinkSession,
        opening: Opening,
        channel: Channel,
        compute: ComputeTable,
        clock: VirtualClock,
    ) -> None:
        self._inner = inner
        self._opening = opening
        self._codec = find_codec(opening.codec)
        self._channel = channel
        self._compute = compute
        self._clock = clock
        self._ready_at = 0.0
        self._awaited = 0  # tokens of a stream, else verdicts
        self._streams = False
        self._arrived: tuple[float, Verdict] | None = None

    def ready(self, heard: Callable[[int], None] = ignored) -> None:
        """Wait for the inner session."""
        self._inner.ready(heard)

    def send(self, block: Block) -> None:
        """Hand a block over: its payload goes up, and the answer's way back is charged with it."""
        bits = _payload_bits(self._codec, self._opening.vocab_size, block)
        uplink = self._channel.rate.uplink_seconds(bits, self._clock.now, block.position)
        self._ready_at = self._clock.now + uplink + self._channel.round_trip_seconds
        self._awaited = max(1, block.generate)
        self._streams = block.generate > 1
        self._inner.send(block)

    def offer(self, chunk: Chunk) -> None:
        """Stream drafts ahead, in no time: what `lossless` costs is simulated from its traces (design 2.12)."""
        self._inner.offer(chunk)

    def wake(self) -> None:
        """End the wait of another thread."""
        self._inner.wake()

    def receive(self, timeout_seconds: float | None) -> Verdict | None:
        """The next verdict; waits in virtual time. With a timeout of 0, None while it has not arrived."""
        if self._arrived is None:
            # Where an answer is under way its real time does not count; where none is, the inner link says so at once.
            verdict = self._inner.receive(None if self._awaited else timeout_seconds)
            if verdict is None:
                return None
            self._awaited -= 1 + (verdict.accepted if self._streams else 0)
            self._ready_at += target_seconds(verdict.target_seconds, 1, self._compute) + self._downlink_seconds(verdict)
            self._arrived = (self._ready_at, verdict)
        arrives_at, verdict = self._arrived
        if timeout_seconds is not None and arrives_at > self._clock.now + timeout_seconds:
            self._clock.advance(timeout_seconds)
            return None
        self._clock.advance_to(arrives_at)
        self._arrived = None
        return verdict

    def _downlink_seconds(self, verdict: Verdict) -> float:
        """What a y takes on its way down; all else is free, as in a bill."""
        rate = self._channel.downlink_bits_per_second
        if verdict.law is None or rate is None:
            return 0.0
        return (
            law_bits(self._codec if self._opening.law_entries else None, verdict.law, self._opening.vocab_size) / rate
        )

    def traffic(self) -> Traffic | None:
        """Bytes that the inner link really sent."""
        return self._inner.traffic()

    def close(self) -> None:
        """End the session."""
        self._inner.close()


def _payload_bits(codec: Codec, vocab_size: int, block: Block) -> int:
    payloads = sum(codec.bits(payload.k, vocab_size) for payload in block.payloads)
    return payloads + PROBABILITY_BITS * len(block.probabilities)
