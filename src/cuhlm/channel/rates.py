"""How long bits take to go up (design 2.8)."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ConfigurationError
from cuhlm.theory.randomness import Purpose, exponential

Floats = npt.NDArray[np.float64]

LOWEST_MBPS, HIGHEST_MBPS = 1e-6, 1e6
"""Rates that a channel may have, but for an outage's 0: a bit a second to a terabit. Beyond them, bills overflow."""

LONGEST_SECONDS = 1e9
"""Of a rate trace: 30 years."""


class RateModel(Protocol):
    """An uplink."""

    @property
    def summary(self) -> str:
        """The rate in a few words, for people."""
        ...

    def uplink_seconds(self, bits: float, start_seconds: float, index: int) -> float:
        """How long `bits` take that are handed over at `start_seconds`.

        Args:
            bits: at least 0.
            start_seconds: since the channel began, at least 0.
            index: of the transmission (the token's position), at least 0; keys what is random.
        """
        ...


@dataclass(frozen=True, slots=True)
class FixedRate:
    """The same rate always.

    Attributes:
        bits_per_second: 1 to 10^12.
    """

    bits_per_second: float

    def __post_init__(self) -> None:
        if not LOWEST_MBPS <= self.bits_per_second / 1e6 <= HIGHEST_MBPS:
            raise ConfigurationError(
                f"the rate is {self.bits_per_second / 1e6:g} Mbit/s; expected {LOWEST_MBPS:g} to {HIGHEST_MBPS:g}"
            )

    @property
    def summary(self) -> str:
        """See `RateModel`."""
        return shown_rate(self.bits_per_second)

    def uplink_seconds(self, bits: float, start_seconds: float, index: int) -> float:  # noqa: ARG002
        """See `RateModel`."""
        return bits / self.bits_per_second


@dataclass(frozen=True, slots=True)
class ShannonRate:
    """Capacity of a wireless channel: W·log2(1 + SNR·|h|²) bits per second (design 2.8).

    With Rayleigh fading |h|² ~ Exp(1), drawn anew for each transmission and keyed by (seed, index): billing a trace
    again gives the same bill, and methods that are compared meet the same fades. No draw is 0, so the deepest fade
    ends. But it takes long: over all fades the mean time of a transmission is infinite (near 0 the density of |h|² is
    1 and the time grows as 1/|h|²), so that a mean over few transmissions is ruled by their worst one. With an outage
    probability every transmission finds the rate that a fade is above but for this probability, and a bill has no luck.

    Attributes:
        bandwidth_hz: W, 1 to 10^12.
        snr_db: mean signal-to-noise ratio, −100 to 100 decibels.
        rayleigh: whether the channel fades; else |h|² = 1.
        seed: of the fading, 0 ≤ seed < 2^64.
        outage: probability of a deeper fade than the one that is billed, 0 to below 1; 0 draws fades.
    """

    bandwidth_hz: float
    snr_db: float
    rayleigh: bool = False
    seed: int = 0
    outage: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.outage < 1:
            raise ConfigurationError(f"the outage probability is {self.outage}; expected 0 to below 1")
        if not 1 <= self.bandwidth_hz <= 1e12:
            raise ConfigurationError(f"the bandwidth is {self.bandwidth_hz:g} Hz; expected 1 to 1e+12")
        if not -100 <= self.snr_db <= 100:
            raise ConfigurationError(f"the SNR is {self.snr_db} dB; expected −100 to 100")
        if not 0 <= self.seed < 2**64:
            raise ConfigurationError(f"the seed of the fading is {self.seed}; expected 0 to 2^64 − 1")

    @property
    def summary(self) -> str:
        """See `RateModel`."""
        fading = "Rayleigh fading" if self.rayleigh else "no fading"
        if self.rayleigh and self.outage:
            fading += f", {100 * self.outage:g} % outage"
        return f"{self.bandwidth_hz / 1e6:g} MHz at {self.snr_db:g} dB, {fading}"

    def uplink_seconds(self, bits: float, start_seconds: float, index: int) -> float:  # noqa: ARG002
        """See `RateModel`."""
        return bits / self.bits_per_second(index)

    def bits_per_second(self, index: int) -> float:
        """The rate that transmission `index` finds."""
        gain = (-math.log1p(-self.outage) if self.outage else _fade(self.seed, index)) if self.rayleigh else 1.0
        return capacity(self.bandwidth_hz, self.snr_db, gain)


@lru_cache(maxsize=2**16)
def _fade(seed: int, index: int) -> float:
    """|h|² of a transmission; kept, as a trace billed for many channels meets each of its fades again and again."""
    return exponential(seed, index, Purpose.FADING)


def capacity(bandwidth_hz: float, snr_db: float, gain: float) -> float:
    """W·log2(1 + SNR·|h|²), bits per second.

    Args:
        bandwidth_hz: W, above 0.
        snr_db: SNR in decibels.
        gain: |h|², above 0.
    """
    # log1p: in a fade below 1e-16 the plain 1 + SNR·|h|² is 1, and its logarithm 0.
    return bandwidth_hz * math.log1p(10 ** (snr_db / 10) * gain) / math.log(2)


class TraceRate:
    """A measured rate over time, drained like a fluid: bits are served at the rates of the intervals they span.

    After its end the trace begins again. A rate of 0 is an outage: what is under way waits.

    Args:
        seconds: where each interval begins, ascending, shape (n,), n ≥ 2; the first is the channel's time 0. The last
            interval lasts as long as the one before it.
        mbps: rate in each interval, 10^6 bits per second: 0, or as `LOWEST_MBPS` and `HIGHEST_MBPS` say; shape (n,).

    Raises:
        ConfigurationError: the trace is malformed or never carries anything.
    """

    def __init__(self, seconds: Floats, mbps: Floats) -> None:
        if seconds.ndim != 1 or seconds.shape != mbps.shape or seconds.size < 2:
            raise ConfigurationError(f"a rate trace of {seconds.size} rows is unusable; expected at least 2")
        if not (np.all(np.abs(seconds) <= LONGEST_SECONDS) and np.all(np.diff(seconds) > 0)):
            raise ConfigurationError(
                "the times of the rate trace do not ascend; expected each row later than the last, and none beyond "
                f"{LONGEST_SECONDS:g}"
            )
        if not np.all(are_rates(mbps)):
            worst = mbps[~are_rates(mbps)][0]
            raise ConfigurationError(f"the rate trace has the rate {worst:g} Mbit/s; expected {RATES}")
        if not np.any(mbps > 0):
            raise ConfigurationError("the rate trace is 0 throughout; expected some capacity, or nothing ever arrives")
        self._edges = np.append(seconds, 2 * seconds[-1] - seconds[-2]) - seconds[0]
        self._bits = np.concatenate(([0.0], np.cumsum(mbps * 1e6 * np.diff(self._edges))))

    @property
    def summary(self) -> str:
        """See `RateModel`."""
        return f"{shown_rate(self.mean_bits_per_second)} on average over {self._edges[-1]:g} s, then again"

    @property
    def mean_bits_per_second(self) -> float:
        """Mean rate of one round of the trace."""
        return float(self._bits[-1] / self._edges[-1])

    def uplink_seconds(self, bits: float, start_seconds: float, index: int) -> float:  # noqa: ARG002
        """See `RateModel`."""
        if bits <= 0:
            return 0.0
        return max(0.0, self._time_of(self._served_at(start_seconds) + bits) - start_seconds)

    def _served_at(self, time: float) -> float:
        """Bits served from 0 to `time`."""
        rounds, within = divmod(time, self._edges[-1])
        return float(rounds * self._bits[-1] + np.interp(within, self._edges, self._bits))

    def _time_of(self, served: float) -> float:
        """When the last of the first `served` bits is through: the earliest such time."""
        rounds, within = divmod(served, self._bits[-1])
        # Who ends where an outage begins does not wait for its end because of a rounding error.
        within -= _BIT_SLACK
        if within <= 0:
            rounds, within = rounds - 1, self._bits[-1]
        interval = int(np.searchsorted(self._bits, within, side="left"))
        before, after = self._bits[interval - 1 : interval + 1]
        begin, end = self._edges[interval - 1 : interval + 1]
        return float(rounds * self._edges[-1] + begin + (end - begin) * (within - before) / (after - before))


_BIT_SLACK = 1e-6

RATES = f"0 (an outage), or {LOWEST_MBPS:g} to {HIGHEST_MBPS:g}"


def are_rates(mbps: Floats) -> npt.NDArray[np.bool_]:
    """Whether each is a rate that a trace may have."""
    rates: npt.NDArray[np.bool_] = (mbps == 0) | ((mbps >= LOWEST_MBPS) & (mbps <= HIGHEST_MBPS))
    return rates


def shown_rate(bits_per_second: float) -> str:
    """A rate for people: 64 kbit/s, 5 Mbit/s, 1000 Mbit/s."""
    return f"{bits_per_second / 1e6:.4g} Mbit/s" if bits_per_second >= 1e6 else f"{bits_per_second / 1e3:.4g} kbit/s"
