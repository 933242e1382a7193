"""A finished grid as numbers: one point per method, prompt set and temperature, seeds together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from cuhlm.experiments.grid.greedy import ASKING, SENDING, as_route
from cuhlm.experiments.grid.jobs import AnswerJob, Cell, prompts_of
from cuhlm.experiments.grid.replay import PARTS, Cost, bill_of, replay
from cuhlm.experiments.grid.run import Grid
from cuhlm.experiments.grid.spec import MethodChoice, Spec
from cuhlm.experiments.grid.traces import MeasuredAnswer, read_answer
from cuhlm.experiments.report.measures import measure_cell, merged
from cuhlm.measuring.bootstrap import Counts, Estimate, Ratio, estimate, resample_counts
from cuhlm.measuring.prompts import Prompt
from cuhlm.measuring.similarity import Embedder
from cuhlm.settings import Settings


@dataclass(frozen=True, slots=True)
class Point:
    """One method under one sampling, over the prompts of a set.

    Attributes:
        choice: the method as the spec names it.
        settings: with all its numbers.
        prompts: the set's name.
        temperature: T.
        ratios: measures, channel apart.
        costs: by (channel, compute).
        counts: resamples of the prompts.
        n_answers: over all seeds.
        n_tokens: likewise.
    """

    choice: MethodChoice
    settings: Settings
    prompts: str
    temperature: float
    ratios: dict[str, Ratio]
    costs: dict[tuple[str, str], Cost]
    counts: Counts
    n_answers: int
    n_tokens: int

    def estimate(self, name: str) -> Estimate:
        """A measure with its interval; NaN where it was not taken."""
        if name not in self.ratios:
            return Estimate(float("nan"), float("nan"), float("nan"))
        return estimate(self.ratios[name], self.counts)

    def speed(self, channel: str, compute: str) -> Ratio:
        """Tokens over billed seconds."""
        return Ratio(self.ratios["tokens_per_answer"].numerator, self.costs[channel, compute].seconds)

    def seconds_per_token(self, channel: str, compute: str) -> dict[str, float]:
        """Where the time of a token goes."""
        sums = self.costs[channel, compute].parts.sum(axis=0) / self.n_tokens
        return dict(zip(PARTS, map(float, sums), strict=True))


@dataclass(frozen=True, slots=True)
class Results:
    """All points of a grid.

    Attributes:
        points: in the grid's order.
        vocab_size: |V|.
        has_similarity: whether embeddings could be made.
    """

    points: tuple[Point, ...]
    vocab_size: int
    has_similarity: bool

    def find(
        self, method: str, prompts: str, temperature: float, threshold: str | float | None = None, **numbers: Any
    ) -> Point | None:
        """The point of `method`, with the usual numbers where none are given; None where the grid has none."""
        for point in self.points:
            choice = point.choice
            usual = {"draft_from": "x", "vartheta": None, "k": None, "b_prob": 8} | numbers
            if (
                choice.method.name == method
                and (point.prompts, point.temperature) == (prompts, temperature)
                and (threshold is None or choice.threshold == threshold)
                and all(getattr(choice, name) == value for name, value in usual.items())
            ):
                return point
        return None

    @property
    def conditions(self) -> list[tuple[str, float]]:
        """Every prompt set with every temperature that it was run at."""
        return list(dict.fromkeys((point.prompts, point.temperature) for point in self.points))

    def at(self, prompts: str, temperature: float) -> list[Point]:
        """The points on one prompt set at one temperature."""
        return [point for point in self.points if (point.prompts, point.temperature) == (prompts, temperature)]


def collect_results(spec: Spec, grid: Grid, embedder: Embedder | None) -> Results:
    """Read the traces, measure and bill them."""
    groups: dict[tuple[MethodChoice, str, float], list[Cell]] = {}
    for cell in grid.answers:
        groups.setdefault((cell.choice, cell.prompts, cell.temperature), []).append(cell)
    prompts = {name: prompts_of(spec, name) for name in dict.fromkeys(cell.prompts for cell in grid.answers)}
    remote = {
        (cell.prompts, cell.temperature, cell.seed): _read(jobs)
        for cell, jobs in grid.answers.items()
        if cell.choice.method.name == "remote"
    }
    points = [
        _point(spec, [(cell, grid.answers[cell]) for cell in cells], prompts[cells[0].prompts], remote, embedder)
        for cells in groups.values()
    ]
    return Results(tuple(points), grid.vocab_size, embedder is not None)


def _point(
    spec: Spec,
    cells: Sequence[tuple[Cell, list[AnswerJob]]],
    prompts: Sequence[Prompt],
    remote: dict[tuple[str, float, int], list[MeasuredAnswer]],
    embedder: Embedder | None,
) -> Point:
    ratios, costs, tokens = [], [], 0
    for cell, jobs in cells:
        answers = _read(jobs)
        if cell.choice.method.name == ASKING and jobs[0].settings.method.name == SENDING:
            answers = [as_route(answer) for answer in answers]
        own_remote = remote.get((cell.prompts, cell.temperature, cell.seed))
        ratios.append(measure_cell(answers, own_remote, prompts, embedder))
        records = [answer.records for answer in answers]
        seeds = [job.seed for job in jobs]
        costs.append(
            replay(
                records,
                seeds,
                spec.billing.all_channels(),
                spec.billing.all_compute(),
                billed=bill_of(cell.choice.method),
            )
        )
        tokens += sum(map(len, records))
    first, jobs = cells[0]
    return Point(
        first.choice,
        jobs[0].settings,
        first.prompts,
        first.temperature,
        merged(ratios),
        {(each[0].channel, each[0].compute): _sum(each) for each in zip(*costs, strict=True)},
        resample_counts(len(prompts)),
        len(prompts) * len(cells),
        tokens,
    )


def _read(jobs: Iterable[AnswerJob]) -> list[MeasuredAnswer]:
    return [read_answer(job.path) for job in jobs]


def _sum(costs: Sequence[Cost]) -> Cost:
    """The costs of the same prompts under several seeds."""
    return Cost(costs[0].channel, costs[0].compute, np.sum([cost.parts for cost in costs], axis=0))


def tidy(results: Results) -> pl.DataFrame:
    """Every number of every point: one row each, with its interval and what it was taken from."""
    return pl.DataFrame(list(_rows(results)), infer_schema_length=None)


def _rows(results: Results) -> Iterator[dict[str, Any]]:
    for point in results.points:
        for name in point.ratios:
            yield (
                _identity(point) | {"channel": None, "compute": None, "measure": name} | _numbers(point.estimate(name))
            )
        if "mean_k" in point.ratios:
            k = point.estimate("mean_k")
            left_out = Estimate(*(1 - value / results.vocab_size for value in (k.value, k.high, k.low)))
            extra = {"channel": None, "compute": None, "measure": "vocabulary_compression"}
            yield _identity(point) | extra | _numbers(left_out)
        for channel, compute in point.costs:
            where = {"channel": channel, "compute": compute, "measure": "tokens_per_s"}
            yield _identity(point) | where | _numbers(estimate(point.speed(channel, compute), point.counts))


def _identity(point: Point) -> dict[str, Any]:
    choice, settings = point.choice, point.settings
    return {
        "method": choice.method.name,
        "threshold": str(choice.threshold) if choice.is_gated else None,
        "u_th": settings.threshold if choice.is_gated else None,
        "draft_from": str(choice.draft_from),
        "vartheta": settings.vartheta,
        "k": settings.k,
        "b_prob": settings.b_prob,
        "temperature": point.temperature,
        "prompts": point.prompts,
        "answers": point.n_answers,
        "tokens": point.n_tokens,
    }


def _numbers(found: Estimate) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}
