"""Runs the jobs that have no file yet, in several processes; everything is there to be read when it returns."""

import multiprocessing
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Protocol

from cuhlm.engines.fingerprints import file_fingerprint
from cuhlm.engines.locate import model_files
from cuhlm.errors import ModelError
from cuhlm.experiments.grid import worker
from cuhlm.experiments.grid.greedy import decoded_as
from cuhlm.experiments.grid.jobs import (
    AnswerJob,
    Cell,
    Pair,
    Together,
    WalkJob,
    answer_jobs,
    calibration_jobs,
    cells,
    together,
    walk_jobs,
)
from cuhlm.experiments.grid.spec import Spec, Walk
from cuhlm.messages import ModelCard
from cuhlm.profiles import Profile, load_profile


class GridListener(Protocol):
    """Is told how a run goes."""

    def begins(self, what: str, total: int, done: int) -> None:
        """A phase of `total` jobs, of which `done` have their files from an earlier run."""
        ...

    def advances(self) -> None:
        """One more job is done."""
        ...


@dataclass(frozen=True, slots=True)
class Grid:
    """A finished run.

    Attributes:
        pair: the models.
        cards: the draft's and the target's.
        profiles: by calibration temperature.
        answers: the jobs of each cell, whose files hold its traces.
        walks: by (walk, temperature), likewise.
    """

    pair: Pair
    cards: tuple[ModelCard, ModelCard]
    profiles: dict[float, Profile]
    answers: dict[Cell, list[AnswerJob]]
    walks: dict[tuple[Walk, float], list[WalkJob]]

    @property
    def vocab_size(self) -> int:
        """|V|: tokens that both models share."""
        return min(card.vocab_size for card in self.cards)


def pair_of(spec: Spec) -> Pair:
    """The models that `spec` names; errors as those of `model_files`."""
    draft, target = map(file_fingerprint, model_files(spec.draft, spec.target))
    return Pair(spec.draft, spec.target, spec.context, (draft, target))


def run_grid(spec: Spec, out: Path, *, processes: int, listener: GridListener) -> Grid:
    """Do what `spec` asks for and what has no file in `out` yet.

    Args:
        spec: checked.
        out: the folder of the run.
        processes: each loads the pair; more than there are cores only slows them.
        listener: is told of every job.

    Raises:
        CuhlmError: a model cannot be loaded, or a prompt does not fit. What is done stays done.
    """
    pair = pair_of(spec)
    calibrations = calibration_jobs(spec, pair, out)
    free = {cell: answer_jobs(spec, pair, out, cell, None) for cell in _free_cells(spec)}
    context = multiprocessing.get_context("spawn")  # llama.cpp's threads do not survive a fork
    ended = context.Event()
    with _pool(processes, ended, context) as pool:
        try:
            with _interrupts_held():  # inherited by the processes, which would die of one while they begin
                asked = pool.submit(worker.cards, pair)
            cards = asked.result()
            # Calibrations first: everything that waits for them comes later, and the others fill the cores meanwhile.
            first: list[Together] = [(job,) for job in calibrations.values()]
            _do(first + together(free), "calibrating, and decoding what needs no profile", pair, pool, listener)
            profiles = {temperature: load_profile(job.path) for temperature, job in calibrations.items()}
            grid = _planned(spec, out, pair, cards, profiles, free)
            rest: list[Together] = [(job,) for walked in grid.walks.values() for job in walked]
            _do(rest + together(grid.answers), "decoding and measuring", pair, pool, listener)
        except BaseException:
            ended.set()
            raise
    return grid


@contextmanager
def _pool(processes: int, ended: Event, context: SpawnContext) -> Generator[ProcessPoolExecutor, None, None]:
    """Processes for the run. Interrupted, they finish the answers under way; interrupted again, they are killed."""
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=worker.begin, initargs=(ended,))
    try:
        yield pool
    finally:
        try:
            pool.shutdown(cancel_futures=True)
        except BaseException:
            for process in multiprocessing.active_children():
                process.kill()
            raise


@contextmanager
def _interrupts_held() -> Generator[None, None, None]:
    """Ctrl-C meanwhile comes afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _free_cells(spec: Spec) -> list[Cell]:
    """Those that need no profile, nor wait for others that do."""
    return [cell for cell in cells(spec) if not (cell.choice.needs_profile or cell.shares_prefixes)]


def _planned(
    spec: Spec,
    out: Path,
    pair: Pair,
    cards: tuple[ModelCard, ModelCard],
    profiles: dict[float, Profile],
    free: dict[Cell, list[AnswerJob]],
) -> Grid:
    def profile(temperature: float) -> Profile:
        return profiles[spec.calibrated_at(temperature)]

    all_cells = cells(spec)
    answers = {
        cell: free[cell]
        if cell in free
        else answer_jobs(spec, pair, out, decoded_as(cell, all_cells), profile(cell.temperature))
        for cell in all_cells
    }
    walks = {
        (walk, temperature): walk_jobs(spec, pair, out, walk, temperature, profile(temperature))
        for walk in (spec.walk, spec.long_walk)
        if walk is not None
        for temperature in walk.temperatures
    }
    return Grid(pair, cards, profiles, answers, walks)


def _do(jobs: Sequence[Together], what: str, pair: Pair, pool: ProcessPoolExecutor, listener: GridListener) -> None:
    """Do those of `jobs` that have no file."""
    paths: set[Path] = set()
    left: list[Together] = []
    for each in jobs:
        new = {job.path: job for job in each if job.path not in paths}  # two cells may share a decoding
        paths |= new.keys()
        left.append(tuple(job for job in new.values() if not job.path.exists()))
    listener.begins(what, len(paths), len(paths) - sum(map(len, left)))
    futures = {pool.submit(worker.do, each, pair): len(each) for each in left if each}
    try:
        for future in as_completed(futures):
            future.result()
            for _ in range(futures[future]):
                listener.advances()
    except BrokenProcessPool as error:
        raise ModelError(
            "a process of the run was killed, perhaps for want of memory; what is done is kept: run again, with fewer "
            "--processes"
        ) from error
