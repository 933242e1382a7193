"""How long bits take to go up (design 2.8)."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ConfigurationError
from cuhlm.theory.randomness import Purpose, exponentials

Floats = npt.NDArray[np.float64]


class RateModel(Protocol):
    """An uplink."""

    def uplink_seconds(self, bits: float, start_seconds: float, index: int) -> float:
        """How long `bits` take that are handed over at `start_seconds`.

        Args:
            bits: at least 0.
            start_seconds: since the channel began.
            index: of the transmission (the token's position); keys what is random.
        """
        ...


@dataclass(frozen=True, slots=True)
class FixedRate:
    """The same rate always, bits per second."""

    bits_per_second: float

    def __post_init__(self) -> None:
        if not self.bits_per_second > 0:
            raise ConfigurationError(f"the rate is {self.bits_per_second} bit/s; expected more than 0")

    def uplink_seconds(self, bits: float, start_seconds: float, index: int) -> float:  # noqa: ARG002
        """See `RateModel`."""
        return bits / self.bits_per_second


@dataclass(frozen=True, slots=True)
class ShannonRate:
    """Capacity of a wireless channel: W·log2(1 + SNR·|h|²) bits per second (design 2.8).

    With Rayleigh fading |h|² ~ Exp(1), drawn anew for each transmission and keyed by (seed, index), so that billing a
    trace again gives the same bill. A deep fade takes long but ends.

    Attributes:
        bandwidth_hz: W.
        snr_db: mean signal-to-noise ratio, decibels.
        rayleigh: whether the channel fades; else |h|² = 1.
        seed: of the fading.
    """

    bandwidth_hz: float
    snr_db: float
    rayleigh: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.bandwidth_hz > 0:
            raise ConfigurationError(f"the bandwidth is {self.bandwidth_hz} Hz; expected more than 0")
        if not -100 <= self.snr_db <= 100:
            raise ConfigurationError(f"the SNR is {self.snr_db} dB; expected −100 to 100")

    def uplink_seconds(self, bits: float, start_seconds: float, index: int) -> float:  # noqa: ARG002
        """See `RateModel`."""
        gain = float(exponentials(self.seed, index, 1, Purpose.FADING)[0]) if self.rayleigh else 1.0
        return bits / (self.bandwidth_hz * float(np.log2(1 + 10 ** (self.snr_db / 10) * gain)))


class TraceRate:
    """A measured rate over time, drained like a fluid: bits are served at the rates of the intervals they span.

    After its end the trace begins again. A rate of 0 is an outage: what is under way waits.

    Args:
        seconds: where each interval begins, ascending from 0, shape (n,), n ≥ 2. The last lasts as long as the one
            before it.
        mbps: rate in each interval, 10^6 bits per second, shape (n,).

    Raises:
        ConfigurationError: the trace is malformed or never carries anything.
    """

    def __init__(self, seconds: Floats, mbps: Floats) -> None:
        if seconds.ndim != 1 or seconds.shape != mbps.shape or seconds.size < 2:
            raise ConfigurationError(f"a rate trace of {seconds.size} rows is unusable; expected at least 2")
        if np.any(np.diff(seconds) <= 0):
            raise ConfigurationError("the times of the rate trace do not ascend; expected each row later than the last")
        if np.any(~(mbps >= 0)) or not np.any(mbps > 0):
            raise ConfigurationError("the rate trace is negative somewhere or 0 throughout; expected some capacity")
        edges = np.append(seconds, 2 * seconds[-1] - seconds[-2]) - seconds[0]
        self._edges = edges
        self._bits = np.concatenate(([0.0], np.cumsum(mbps * 1e6 * np.diff(edges))))

    def uplink_seconds(self, bits: float, start_seconds: float, index: int) -> float:  # noqa: ARG002
        """See `RateModel`."""
        if bits <= 0:
            return 0.0
        return self._time_of(self._served_at(start_seconds) + bits) - start_seconds

    def _served_at(self, time: float) -> float:
        """Bits served from 0 to `time`."""
        rounds, within = divmod(time, self._edges[-1])
        return float(rounds * self._bits[-1] + np.interp(within, self._edges, self._bits))

    def _time_of(self, served: float) -> float:
        """When the last of the first `served` bits is through: the earliest such time."""
        rounds, within = divmod(served, self._bits[-1])
        if within == 0:  # the last bit of a round goes through at the end of its last interval with capacity
            rounds, within = rounds - 1, self._bits[-1]
        interval = int(np.searchsorted(self._bits, within, side="left"))
        before = self._bits[interval - 1]
        share = (within - before) / (self._bits[interval] - before)
        return float(rounds * self._edges[-1] + self._edges[interval - 1] + share * self._duration(interval - 1))

    def _duration(self, interval: int) -> float:
        return float(self._edges[interval + 1] - self._edges[interval])


def read_rate_trace(path: Path) -> TraceRate:
    """The rate trace of a CSV file with the columns ``seconds,uplink_mbps``.

    Raises:
        ConfigurationError: the file cannot be read, or a row is malformed; names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None or not {"seconds", "uplink_mbps"} <= set(reader.fieldnames):
                raise ConfigurationError(
                    f"{path} has the columns {reader.fieldnames}; expected seconds,uplink_mbps in its first line"
                )
            rows = [_row(path, reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the rate trace {path} cannot be read: {error}; expected a CSV file") from error
    seconds, mbps = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    return TraceRate(seconds, mbps)


def _row(path: Path, line: int, row: dict[str, str]) -> tuple[float, float]:
    try:
        return float(row["seconds"]), float(row["uplink_mbps"])
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{path}, line {line}: {error}; expected two numbers") from error
