"""What one process of a run does: it loads the pair once, then does one job after another.

One sequence at a time and one thread per model. Sequences that share a forward pass would share its time, too: the
stage times of a trace would no longer be those of one user's tokens. Several processes do not disturb them. Where a
spec gives these times up, answers to one prompt share what they have in common.
"""

import multiprocessing
import os
import signal
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.synchronize import Event

from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.engines.base import Engine
from cuhlm.engines.load import load_engine
from cuhlm.engines.prompting import encode_prompt
from cuhlm.engines.recalling import RecallingEngine
from cuhlm.experiments.grid.jobs import AnswerJob, CalibrationJob, Job, Pair, Together, WalkJob
from cuhlm.experiments.grid.positions import measure_walk
from cuhlm.experiments.grid.traces import MeasuredAnswer, write_answer, write_frame
from cuhlm.link.in_process import InProcessLink
from cuhlm.measuring.calibrate import calibrate
from cuhlm.measuring.quality import token_qualities
from cuhlm.messages import Fate, ModelCard
from cuhlm.records import TokenRecord
from cuhlm.verifier.host import Verifier

_ENDED: ContextVar[Event] = ContextVar("ended")


def begin(ended: Event) -> None:
    """Leave an interruption to the parent process: the answer under way is finished and kept. End if it is killed.

    Args:
        ended: set by the parent when no further answer is wanted.
    """
    _ENDED.set(ended)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # nobody is left to hear an exception


@dataclass(frozen=True, slots=True)
class Loaded:
    """The pair in memory."""

    draft: Engine
    target: Engine


@lru_cache(maxsize=1)
def load(pair: Pair) -> Loaded:
    """The models of this process.

    Raises:
        ModelError: one cannot be loaded.
    """
    draft, target = (load_engine(model, context_length=pair.context, threads=1) for model in (pair.draft, pair.target))
    return Loaded(draft, target)


def cards(pair: Pair) -> tuple[ModelCard, ModelCard]:
    """The models' cards, once it is known that the two fit.

    Raises:
        ModelError: one cannot be loaded, or their vocabularies differ.
    """
    loaded = load(pair)
    with Verifier(loaded.target) as verifier:
        Device(loaded.draft, InProcessLink(verifier))
    return loaded.draft.card, loaded.target.card


def do(jobs: Together, pair: Pair) -> None:
    """Do `jobs`, and write the file of each as soon as it is done.

    Raises:
        CuhlmError: the models cannot be loaded or do not fit, or a prompt does not fit.
    """
    loaded = load(pair)
    if len(jobs) == 1:
        _do(jobs[0], loaded)
        return
    ahead = any(isinstance(job, AnswerJob) and job.measures_quality for job in jobs)
    with (
        RecallingEngine(loaded.draft, ahead=ahead) as draft,
        RecallingEngine(loaded.target, ahead=ahead) as target,
    ):
        for job in jobs:
            _do(job, Loaded(draft, target))


class _RunEnded(Exception):
    """The run has ended; nobody wants the rest of this job."""


def _check_wanted(*_: int) -> None:
    """Leave a job between two answers, once the run has ended."""
    if _ENDED.get().is_set():
        raise _RunEnded


def _do(job: Job, loaded: Loaded) -> None:
    _check_wanted()
    job.path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(job, CalibrationJob):
        profile, _ = calibrate(loaded.draft, loaded.target, job.prompts, job.plan, _check_wanted)
        profile.save(job.path)
    elif isinstance(job, WalkJob):
        write_frame(job.path, measure_walk(job, loaded.draft, loaded.target))
    else:
        write_answer(job.path, decode(job, loaded))


def decode(job: AnswerJob, loaded: Loaded) -> MeasuredAnswer:
    """One answer, with the quality of its path where it is asked for."""
    prompt = encode_prompt(loaded.draft.tokenizer, loaded.target.card.chat, job.prompt.text, system=job.system)
    request = Request(prompt, job.sampling, job.seed, Limits(job.max_tokens))
    # The verifier's thread must be gone before the target reads the answer again below.
    with Verifier(loaded.target) as verifier:
        device = Device(loaded.draft, InProcessLink(verifier))
        records, texts = _generated(device, job, request)
    if not job.measures_quality:
        return MeasuredAnswer(tuple(records), (), tuple(texts))
    tokens = [record.token for record in records]
    qualities = token_qualities(
        prompt,
        tokens,
        loaded.draft,
        loaded.target,
        job.settings,
        job.sampling,
        device.vocab_size,
        kept=[record.fate is Fate.SKIPPED for record in records],
    )
    return MeasuredAnswer(tuple(records), tuple(qualities), tuple(texts))


def _generated(device: Device, job: AnswerJob, request: Request) -> tuple[list[TokenRecord], list[str]]:
    """The records, and the text that each adds; what is held back to the end belongs to the last."""
    records: list[TokenRecord] = []
    texts: list[str] = []
    generation = device.generate_path(job.settings, request)
    while True:
        try:
            emit = next(generation)
        except StopIteration as end:
            texts[-1] += end.value.text
            return records, texts
        records.append(emit.record)
        texts.append(emit.text)
