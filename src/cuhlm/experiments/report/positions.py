"""The walks of a grid, read for tables and figures: one row per position of the target's own texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from cuhlm.experiments.grid.jobs import WalkJob
from cuhlm.experiments.grid.run import Grid
from cuhlm.experiments.grid.spec import Walk
from cuhlm.experiments.grid.traces import read_frame
from cuhlm.measuring.bootstrap import Counts, Estimate, resample_counts, weighted_estimate
from cuhlm.profiles import Profile

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Positions:
    """Positions of one walk at one temperature.

    Attributes:
        frame: one row each, see `cuhlm.experiments.grid.positions`.
        temperature: of the target, and of both laws.
        profile: of that temperature, from other texts.
        unit: which text each row is of.
        counts: resamples of the texts.
    """

    frame: pl.DataFrame
    temperature: float
    profile: Profile
    unit: npt.NDArray[np.intp]
    counts: Counts

    def column(self, name: str) -> Floats:
        """A column of numbers, shape (n,)."""
        return self.frame[name].to_numpy().astype(np.float64)

    def lists(self, name: str) -> Floats:
        """A column of lists of one length, shape (n, length); rows without a list are left out."""
        return np.array(self.frame[name].drop_nulls().to_list(), dtype=np.float64)

    def mean(self, values: Floats, chosen: npt.NDArray[np.bool_] | None = None) -> Estimate:
        """Mean of a number per row, over the `chosen` rows, with its interval over texts."""
        rows = np.ones(len(values), bool) if chosen is None else chosen

        def weighted(weights: Floats) -> float:
            weights = weights * rows
            total = weights.sum()
            return float(weights @ values / total) if total > 0 else float("nan")

        return weighted_estimate(weighted, self.unit, self.counts)

    @property
    def described(self) -> str:
        """What a table of them was taken from."""
        return (
            f"Teacher-forced on {self.n} positions of {self.texts} texts that the target wrote at "
            f"T = {self.temperature:g}; in brackets: 95 % bootstrap over texts."
        )

    @property
    def n(self) -> int:
        """Positions."""
        return len(self.frame)

    @property
    def texts(self) -> int:
        """Texts."""
        return len(self.counts[0])


def read_positions(grid: Grid, walk: Walk | None) -> list[Positions]:
    """The positions of `walk`, at each of its temperatures."""
    if walk is None:
        return []
    return [
        _positions(jobs, temperature)
        for (each, temperature), jobs in grid.walks.items()
        if each is walk or each == walk
    ]


def _positions(jobs: Sequence[WalkJob], temperature: float) -> Positions:
    frames = [read_frame(job.path) for job in jobs]
    unit = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    counts = resample_counts(len(frames), resamples=400)
    return Positions(pl.concat(frames, how="vertical_relaxed"), temperature, jobs[0].profile, unit, counts)
