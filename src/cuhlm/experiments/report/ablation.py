"""One table of what the paper leaves open (design 2.3 to 2.7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cuhlm.measuring.bootstrap import Estimate

TableRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ablation:
    """One table.

    Attributes:
        name: of its file.
        title: the question.
        note: what was measured, on what, with how many.
        rows: numbers; NAME_low and NAME_high hold the interval of NAME.
    """

    name: str
    title: str
    note: str
    rows: Sequence[TableRow]


def bounded(name: str, found: Estimate) -> TableRow:
    """A number and its interval as three columns."""
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
