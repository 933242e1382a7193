"""What a run has measured so far, one line a measurement, and how long it has taken; kept in its folder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from cuhlm.measuring.agreement import Agreement
from cuhlm.readable import converted, read_json, read_json_lines
from cuhlm.writable import write_whole


@dataclass(frozen=True, slots=True)
class Measurement:
    """Agreement at one point of a run.

    Attributes:
        tokens: trained on so far.
        seconds: spent on writing and training so far, over all sittings.
        agreements: on the held-out prompts, one per temperature.
    """

    tokens: int
    seconds: float
    agreements: Sequence[Agreement]


class History:
    """The measurements of a run."""

    def __init__(self, path: Path) -> None:
        """Those in `path`, if it is there.

        Raises:
            ConfigurationError: a line of it is no measurement.
        """
        self._path, self._seconds_path = path, path.with_name("seconds.json")
        lines = read_json_lines(path, "the history") if path.exists() else ()
        self.measurements = [converted(values, Measurement, where) for _, where, values in lines]

    @property
    def seconds(self) -> float:
        """Spent so far, over all sittings that ended or measured something."""
        kept = 0.0
        if self._seconds_path.exists():
            kept = converted(read_json(self._seconds_path, "the time spent"), float, str(self._seconds_path))
        return max(kept, self.measurements[-1].seconds if self.measurements else 0.0)

    def keep_seconds(self, seconds: float) -> None:
        """Keep the time spent so far, for a sitting that ends before it measures."""
        write_whole(self._seconds_path, f"{seconds:.1f}\n", "the time spent")

    def add(self, measurement: Measurement) -> None:
        """Keep a measurement."""
        self.measurements.append(replace(measurement, seconds=round(measurement.seconds, 1)))
        lines = (msgspec.json.encode(each).decode() + "\n" for each in self.measurements)
        write_whole(self._path, "".join(lines), "the history")
