"""Every cell in simulated time, and what else one could do there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from benchmarks.lossless.baselines import (
    BESIDE_SECONDS,
    BLOCKS,
    ahead_with_one_wait,
    beside_the_target,
    fixed_block,
    looked_up,
    two_targets,
)
from benchmarks.lossless.cells import Cell
from benchmarks.lossless.recorded import Recorded

from cuhlm.measuring.timeline import Timeline, replay, replay_remote

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Simulated:
    """A cell over all answers.

    Attributes:
        cell: which.
        remote_tokens_per_s: streaming from the target alone.
        gain: tokens/s of `lossless` over it, with the 95 % interval of a bootstrap over prompts.
        worst_lateness_ms: of an answer's last token as delivered, behind `remote`; negative where all were earlier.
        late_share: answers that were later at all.
        increment_ms: what the law allows.
        passes, rows: of the target, per token.
        draft_passes: of the device, per token.
        stood, fell, late: shares of the drafts that were made: saved a pass; were judged or dead; came too late.
        bytes_up: of chunks, per token.
        gaps_ms: between tokens as delivered, median and 95th percentile; those that come together have 0.
        remote_gaps_ms: likewise for `remote`.
        baselines: tokens/s over `remote`, by name.
    """

    cell: Cell
    remote_tokens_per_s: float
    gain: tuple[float, float, float]
    worst_lateness_ms: float
    late_share: float
    increment_ms: float
    passes: float
    rows: float
    draft_passes: float
    stood: float
    fell: float
    late: float
    bytes_up: float
    gaps_ms: tuple[float, float]
    remote_gaps_ms: tuple[float, float]
    baselines: dict[str, float]


def simulate(cell: Cell, answers: Sequence[Recorded]) -> Simulated:
    """One cell."""
    ours = [replay(each.agrees, cell.channel, cell.costs(len(each.prompt_tokens)), each.gaps) for each in answers]
    remote = [replay_remote(len(each.tokens), cell.channel, cell.costs(0)) for each in answers]
    tokens = sum(len(each.tokens) for each in answers)
    theirs, seconds = np.array([each.seconds for each in remote]), np.array([each.seconds for each in ours])
    lateness = 1e3 * (seconds - theirs)
    drafts = max(1, sum(len(each.drafts) for each in ours))
    stood, late = sum(each.stood for each in ours), sum(each.late for each in ours)
    return Simulated(
        cell,
        tokens / theirs.sum(),
        _ratio(theirs, seconds),
        float(lateness.max()),
        float((lateness > 1e-6).mean()),
        1e3 * cell.costs(0).target.allowance,
        sum(len(each.passes) for each in ours) / tokens,
        sum(each.rows for each in ours) / tokens,
        drafts / tokens,
        stood / drafts,
        1 - (stood + late) / drafts,
        late / drafts,
        sum(each.bits_up for each in ours) / 8 / tokens,
        _gaps(ours),
        _gaps(remote),
        {name: float(theirs.sum() / sum(each)) for name, each in _baselines(cell, answers)},
    )


def _baselines(cell: Cell, answers: Sequence[Recorded]) -> Iterator[tuple[str, list[float]]]:
    """The seconds of each answer; block lengths are the best for all answers together."""
    trip, costs = cell.round_trip_ms / 1e3, cell.costs(0)
    agrees = [each.agrees for each in answers]
    yield "best fixed block, then wait", _each(lambda n: [fixed_block(of, trip, costs, n) for of in agrees])
    yield "drafting ahead, one wait", _each(lambda n: [ahead_with_one_wait(of, trip, costs, n) for of in agrees])
    yield (
        "prompt lookup at the verifier",
        _each(lambda n: [looked_up(of, trip, costs, n) for of in answers]),
    )
    for draft in BESIDE_SECONDS:
        name = f"draft of {1e3 * draft:g} ms beside the target"
        yield name, _each(lambda n, draft=draft: [beside_the_target(of, trip, costs, n, draft) for of in agrees])
    yield "two targets, ideal", [two_targets(of, trip, costs, BESIDE_SECONDS[0]) for of in agrees]


def _each(of: Callable[[int], list[float]]) -> list[float]:
    return min((of(block) for block in BLOCKS), key=sum)


def _ratio(theirs: np.ndarray, ours: np.ndarray) -> tuple[float, float, float]:
    picks = np.random.default_rng(0).integers(len(ours), size=(RESAMPLES, len(ours)))
    ratios = theirs[picks].sum(axis=1) / ours[picks].sum(axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(theirs.sum() / ours.sum()), float(low), float(high)


def _gaps(timelines: Sequence[Timeline]) -> tuple[float, float]:
    gaps = np.concatenate([np.diff(each.delivered_at) for each in timelines])
    return float(1e3 * np.quantile(gaps, 0.5)), float(1e3 * np.quantile(gaps, 0.95))
