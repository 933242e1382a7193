"""What a run hands over: the student's files, measured as they run in llama.cpp, and their model card."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cuhlm.distill.gguf_student import FOUR_BIT, WeightType, write_student
from cuhlm.distill.gguf_weights import Weights
from cuhlm.engines.base import Advance, Engine
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.measuring.agreement import Agreement, measure_agreement

Progress = Callable[[int], None]

TEMPERATURES = (0.0, 0.7, 1.0)
MEASUREMENTS = len(FOUR_BIT) + 1
ANSWER_TOKENS = 64
_SPEED_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Shipped:
    """A student's 4-bit file as it runs.

    Attributes:
        path: of the file.
        tried: agreement at T = 1 in each 4-bit type; the file's own is the best.
        megabytes: its size, 10⁶ bytes.
        batch_invariant: whether its logits are, in llama.cpp on this machine.
        tokens_per_second: it decodes.
        target_tokens_per_second: its target decodes, measured next to it.
        agreements: on the target's own answers, one per temperature.
    """

    path: Path
    tried: Mapping[WeightType, float]
    megabytes: float
    batch_invariant: bool
    tokens_per_second: float
    target_tokens_per_second: float
    agreements: Sequence[Agreement]

    def as_json(self) -> dict[str, Any]:
        """The numbers, for programs."""
        return {
            "file": str(self.path),
            "megabytes": self.megabytes,
            "batch_invariant": self.batch_invariant,
            "tokens_per_second": self.tokens_per_second,
            "target_tokens_per_second": self.target_tokens_per_second,
            "one_minus_tv_by_type": {kind.value: value for kind, value in self.tried.items()},
            "agreements": [agreement.as_json() for agreement in self.agreements],
        }


@dataclass(frozen=True, slots=True)
class Trial:
    """What students are measured against.

    Attributes:
        target: writes the answers.
        prompts: held-out ones, whole, as tokens.
        threads: of llama.cpp; None takes all cores.
    """

    target: Engine
    prompts: Sequence[tuple[int, ...]]
    threads: int | None = None

    def agreements(self, path: Path, temperatures: Sequence[float]) -> list[Agreement]:
        """Of the student at `path`, as it runs."""
        with self._load(path) as draft:
            (agreements,) = measure_agreement(
                [draft], self.target, self.prompts, temperatures, max_tokens=ANSWER_TOKENS
            )
        return agreements

    def speeds(self, path: Path) -> tuple[float, float, bool]:
        """Tokens per second of the student at `path` and of the target; whether the student is batch-invariant."""
        with self._load(path) as draft:
            return self._speed(draft), self._speed(self.target), draft.card.batch_invariant

    def _load(self, path: Path) -> LlamaCppEngine:
        return LlamaCppEngine.load(path, context_length=self.target.card.context_length, threads=self.threads)

    def _speed(self, engine: Engine) -> float:
        """Of greedy decoding after the first prompt."""
        with closing(engine.open()) as sequence:
            (logits,) = engine.advance([Advance(sequence, self.prompts[0])])
            started = time.perf_counter()
            for _ in range(_SPEED_TOKENS):
                (logits,) = engine.advance([Advance(sequence, [int(logits[0].argmax())])])
            return _SPEED_TOKENS / (time.perf_counter() - started)


def write_files(weights: Weights, folder: Path, *, target: Path, name: str) -> dict[WeightType, Path]:
    """The student as F16, to go on from, and in every 4-bit type; their paths."""
    paths = {kind: folder / f"{name}-{kind.value.lower()}.gguf" for kind in WeightType}
    for kind, path in paths.items():
        write_student(path, weights, kind, target=target, name=name)
    return paths


def choose_file(paths: Mapping[WeightType, Path], trial: Trial, progress: Progress = lambda _: None) -> Shipped:
    """Measure the 4-bit files, keep the one that agrees best at T = 1, and delete the others.

    Args:
        paths: from `write_files`.
        trial: what they are measured against.
        progress: is told the measurements done, of `MEASUREMENTS`.
    """
    tried = {}
    for kind in FOUR_BIT:
        tried[kind] = trial.agreements(paths[kind], [1.0])[0].one_minus_tv
        progress(len(tried))
    best = max(FOUR_BIT, key=tried.__getitem__)
    for kind in FOUR_BIT:
        if kind is not best:
            paths[kind].unlink()
    path = paths[best]
    agreements = trial.agreements(path, TEMPERATURES)
    progress(MEASUREMENTS)
    speed, target_speed, invariant = trial.speeds(path)
    return Shipped(path, tried, path.stat().st_size / 1e6, invariant, speed, target_speed, agreements)
