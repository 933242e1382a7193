"""What a run has measured so far: one line a measurement, kept in its folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cuhlm.measuring.agreement import Agreement


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
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.measurements = [_measurement(line) for line in lines]

    @property
    def seconds(self) -> float:
        """Spent up to the last measurement."""
        return self.measurements[-1].seconds if self.measurements else 0.0

    def add(self, measurement: Measurement) -> None:
        """Keep a measurement."""
        self.measurements.append(measurement)
        fields = {
            "tokens": measurement.tokens,
            "seconds": round(measurement.seconds, 1),
            "agreements": [agreement.as_json() for agreement in measurement.agreements],
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")


def _measurement(line: str) -> Measurement:
    fields = json.loads(line)
    agreements = [Agreement(**agreement) for agreement in fields["agreements"]]
    return Measurement(fields["tokens"], fields["seconds"], agreements)
