"""What there is to do for a spec: one job per answer, per text to walk along, and per calibration.

A job's file name ends in a digest of everything its result depends on. So a file that is there is the result, a
changed spec decodes only what it changes, and a new channel decodes nothing.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from cuhlm.experiments.grid.spec import MethodChoice, Spec, Walk
from cuhlm.measuring.calibrate import CalibrationPlan
from cuhlm.measuring.prompts import Prompt, read_prompts
from cuhlm.messages import Sampling
from cuhlm.methods import GateRule
from cuhlm.profiles import Profile
from cuhlm.settings import Settings

SEEDS_APART = 2**20
"""Between the grid's seeds lie the seeds of their prompts, one each."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The models of a run.

    Attributes:
        draft, target: model references.
        context: tokens that a sequence can hold.
        fingerprints: of the two files.
    """

    draft: str
    target: str
    context: int
    fingerprints: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of the grid: a method with its numbers, on one prompt set, under one sampling.

    Attributes:
        choice: the method.
        prompts: the set's name.
        temperature: T.
        seed: of the grid.
        max_tokens: per answer.
        shares_prefixes: whether its answers are decoded together with those of other methods to the same prompt.
        measures_quality: whether their distance from the target's law is taken.
    """

    choice: MethodChoice
    prompts: str
    temperature: float
    seed: int
    max_tokens: int
    shares_prefixes: bool = False
    measures_quality: bool = True

    @property
    def label(self) -> str:
        """Names the cell's folder."""
        kind = ("-shared" if self.shares_prefixes else "") + ("" if self.measures_quality else "-tokens")
        return f"{self.choice.label}-T{self.temperature:g}-s{self.seed}-{self.prompts}{kind}"


@dataclass(frozen=True, slots=True)
class AnswerJob:
    """Decode one answer, and measure its quality.

    Attributes:
        path: where the trace goes.
        settings: the method, ready to run.
        sampling: of both models.
        seed: of this answer.
        max_tokens: its longest length.
        prompt: what is asked.
        system: system message before it.
        measures_quality: not part of the digest: the folder tells.
    """

    path: Path
    settings: Settings
    sampling: Sampling
    seed: int
    max_tokens: int
    prompt: Prompt
    system: str | None
    measures_quality: bool = True


@dataclass(frozen=True, slots=True)
class WalkJob:
    """Measure every position of one text of the target's own; attributes as those of `AnswerJob`.

    Attributes:
        profile: whose uncertainty and rejection model are measured.
    """

    path: Path
    profile: Profile
    sampling: Sampling
    seed: int
    max_tokens: int
    prompt: Prompt
    system: str | None


@dataclass(frozen=True, slots=True)
class CalibrationJob:
    """Calibrate the pair.

    Attributes:
        path: where the profile goes.
        plan: how.
        prompts: on what.
    """

    path: Path
    plan: CalibrationPlan
    prompts: tuple[Prompt, ...]


Job = AnswerJob | WalkJob | CalibrationJob
Together = tuple[Job, ...]
"""Jobs that one process does after another; several are answers to one prompt that share their prefixes."""

PlacedJob = TypeVar("PlacedJob", AnswerJob, WalkJob)


def prompts_of(spec: Spec, name: str) -> list[Prompt]:
    """The prompts of one of the spec's sets."""
    chosen = spec.prompts[name]
    return read_prompts(chosen.file, chosen.limit)[: chosen.first]


def cells(spec: Spec) -> list[Cell]:
    """The grid."""
    return [
        Cell(choice, prompts, temperature, seed, part.max_tokens, part.shares_prefixes, part.measures_quality)
        for part in spec.grid
        for prompts in part.prompts
        for temperature in part.temperatures
        for seed in part.seeds
        for choice in part.choices
    ]


def calibration_jobs(spec: Spec, pair: Pair, out: Path) -> dict[float, CalibrationJob]:
    """One job per temperature at which the pair is calibrated."""
    asked = spec.calibration
    prompts = tuple(prompts_of(spec, asked.prompts))
    found = {}
    for temperature in spec.calibration_temperatures:
        plan = CalibrationPlan(
            prompts_name=spec.prompts[asked.prompts].file.name,
            max_tokens=asked.max_tokens,
            sampling=Sampling(temperature),
            vartheta=asked.vartheta,
            system=spec.prompts[asked.prompts].system,
        )
        path = out / "profiles" / f"T{temperature:g}-{_digest(pair, plan, prompts)}.json"
        found[temperature] = CalibrationJob(path, plan, prompts)
    return found


def answer_jobs(spec: Spec, pair: Pair, out: Path, cell: Cell, profile: Profile | None) -> list[AnswerJob]:
    """One job per prompt of `cell`."""
    settings, sampling = cell.choice.settings(profile), Sampling(cell.temperature)
    system = spec.prompts[cell.prompts].system
    return [
        _placed(
            out / "traces" / cell.label,
            pair,
            AnswerJob(Path(), settings, sampling, seed, cell.max_tokens, prompt, system, cell.measures_quality),
        )
        for seed, prompt in _seeded(prompts_of(spec, cell.prompts), cell.seed)
    ]


def together(answers: Mapping[Cell, Sequence[AnswerJob]]) -> list[Together]:
    """The jobs of all cells, with those together that share prefixes.

    Each such prompt goes by rising thresholds, so that an answer mostly branches off the one before it, and what was
    read last can be gone on from.
    """
    found: list[Together] = []
    sharing: dict[tuple[str, float, int, int], list[Cell]] = {}
    for cell, jobs in answers.items():
        if cell.shares_prefixes:
            sharing.setdefault((cell.prompts, cell.temperature, cell.seed, cell.max_tokens), []).append(cell)
        else:
            found += [(job,) for job in jobs]
    for cells_of_prompt in sharing.values():
        for jobs_of_prompt in zip(*(answers[cell] for cell in cells_of_prompt), strict=True):
            by_share: list[AnswerJob] = sorted(jobs_of_prompt, key=_kept_share)
            found.append(tuple(by_share))
    return found


def _kept_share(job: AnswerJob) -> float:
    """Orders methods by how much they keep of the draft's text."""
    gate = job.settings.method.gate
    if gate is GateRule.NEVER:
        return math.inf
    return job.settings.threshold if gate is GateRule.UNCERTAIN else -math.inf


def walk_jobs(spec: Spec, pair: Pair, out: Path, walk: Walk, temperature: float, profile: Profile) -> list[WalkJob]:
    """One job per prompt of `walk`."""
    sampling, system = Sampling(temperature), spec.prompts[walk.prompts].system
    folder = out / "walks" / f"{walk.prompts}-T{temperature:g}-n{walk.max_tokens}"
    return [
        _placed(folder, pair, WalkJob(Path(), profile, sampling, seed, walk.max_tokens, prompt, system))
        for seed, prompt in _seeded(prompts_of(spec, walk.prompts), spec.grid[0].seeds[0])
    ]


def _seeded(prompts: list[Prompt], seed: int) -> Iterator[tuple[int, Prompt]]:
    """Each prompt with a seed of its own, so that answers (and their fades) are independent."""
    return ((seed * SEEDS_APART + number, prompt) for number, prompt in enumerate(prompts))


def _placed(folder: Path, pair: Pair, job: PlacedJob) -> PlacedJob:
    name = "".join(letter if letter.isalnum() else "-" for letter in job.prompt.id[:40])  # the digest tells them apart
    return dataclasses.replace(job, path=folder / f"{name}-{_digest(pair, job)}.parquet")


def _digest(pair: Pair, *values: Any) -> str:
    """Of everything that a result depends on."""
    parts = [version("cuhlm"), pair.fingerprints, pair.context, *(_plain(value) for value in values)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    fields = dataclasses.asdict(value)
    for name in ("path", "measures_quality"):
        fields.pop(name, None)
    return {name: _plain_profile(field) if name == "profile" else field for name, field in fields.items()}


def _plain_profile(fields: dict[str, Any]) -> dict[str, Any]:
    """A profile without the day it was made."""
    return {name: value for name, value in fields.items() if name != "provenance"}
