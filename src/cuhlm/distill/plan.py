"""What to distil, and how: every number of a run in one place, kept beside its checkpoints."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from cuhlm.errors import ConfigurationError
from cuhlm.readable import converted, read_json
from cuhlm.writable import check_writable, write_whole

_FILE = "plan.json"
_GROWING = "tokens"  # a finished run goes on where it is given more of these


class Objective(StrEnum):
    """What training lowers: a distance of the student's law from the target's.

    TV is the one that counts, but has next to no gradient where the laws are far apart. KL leads there, and from there
    on gains less (experiments/LOG.md): so both, in turn.
    """

    KL = "kl"
    TV = "tv"
    KL_THEN_TV = "kl-tv"  # the first half of the run, the second half

    def at(self, step: int, steps: int) -> "Objective":
        """The one distance to lower at `step` of `steps`."""
        if self is Objective.KL_THEN_TV:
            return Objective.KL if step < steps // 2 else Objective.TV
        return self


@dataclass(frozen=True, slots=True)
class Training:
    """The numbers of a training.

    Attributes:
        layers: of the student.
        neurons: of each layer's feed-forward part; None keeps all.
        tokens: to train on, repetitions and prompts included.
        objective: the loss.
        learning_rate: at its highest.
        passes: how many texts are trained on for each new one: itself, and earlier ones at random.
        temperatures: the target's draws take them in turn.
        held_out: prompts kept from training; agreement is measured on their answers.
        length: tokens in a row of text.
        rows_per_text: rows that the target writes at a time.
        rows_per_step: rows of one optimiser step.
        warmup_steps: over which the learning rate rises; then it falls as a cosine.
        seed: of prompts, draws and order.
    """

    layers: int
    tokens: int
    objective: Objective = Objective.KL_THEN_TV
    learning_rate: float = 6e-4
    passes: int = 1
    temperatures: tuple[float, ...] = (0.7, 1.0)
    held_out: int = 20
    length: int = 256
    rows_per_text: int = 128
    rows_per_step: int = 8
    warmup_steps: int = 20
    seed: int = 0
    neurons: int | None = None

    def __post_init__(self) -> None:
        for name, value, holds, expected in (
            ("layers", self.layers, self.layers >= 1, "1 or more"),
            ("neurons", self.neurons, self.neurons is None or self.neurons % 32 == 0 < self.neurons, "32, 64, 96, …"),
            ("tokens", self.tokens, self.tokens >= 1, "1 or more"),
            ("learning rate", self.learning_rate, 0 < self.learning_rate < 1, "a number above 0 and below 1"),
            ("passes", self.passes, self.passes >= 1, "1 or more"),
            ("held-out prompts", self.held_out, self.held_out >= 1, "1 or more"),
            ("length", self.length, self.length >= 8, "8 tokens or more"),
            ("rows", self.rows_per_text, self.rows_per_text >= 1, "1 or more"),
            ("rows per step", self.rows_per_step, self._steps_fill_a_text, f"a divisor of {self.rows_per_text}"),
            ("temperatures", self.temperatures, all(0 < t <= 100 for t in self.temperatures), "numbers above 0"),
        ):
            if not holds:
                raise ConfigurationError(f"{name}: {value}; expected {expected}; choose another value")

    @property
    def _steps_fill_a_text(self) -> bool:
        return self.rows_per_step >= 1 and self.rows_per_text % self.rows_per_step == 0

    @property
    def measured_at(self) -> tuple[float, ...]:
        """Temperatures at which agreement is measured, each once."""
        return tuple(dict.fromkeys(self.temperatures))

    @property
    def steps_per_round(self) -> int:
        """Optimiser steps for each new text."""
        return self.passes * self.rows_per_text // self.rows_per_step

    @property
    def rounds(self) -> int:
        """New texts in all."""
        return -(-self.tokens // (self.passes * self.rows_per_text * self.length))

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.rounds * self.steps_per_round

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimiser step."""
        return self.rows_per_step * self.length


@dataclass(frozen=True, slots=True)
class Plan:
    """What a folder holds: a training, and the files it is about.

    Attributes:
        target: fingerprint of the target's file.
        start: fingerprint of the student to go on from; empty where layers of the target are taken.
        prompts: fingerprint of the prompts.
        training: its numbers.
    """

    target: str
    start: str
    prompts: str
    training: Training


def check_plan(plan: Plan, folder: Path) -> None:
    """Make `folder`, or check that what it holds is this run; only `tokens` may differ.

    Raises:
        ConfigurationError: the folder holds another run, or cannot be made.
    """
    path = folder / _FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be used ({error.strerror}); expected a folder; give another --out"
        ) from error
    check_writable(path, "the plan")
    if path.exists():
        _check_same(plan, _kept(path), folder)


def keep_plan(plan: Plan, folder: Path) -> None:
    """Write `plan` into `folder`, for `check_plan` of a later run."""
    write_whole(folder / _FILE, json.dumps(asdict(plan), indent=1), "the plan")


def _kept(path: Path) -> Plan:
    try:
        return converted(read_json(path, "the plan"), Plan, str(path))
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; expected a plan that cuhlm distill wrote; give another --out") from error


def _check_same(plan: Plan, kept: Plan, folder: Path) -> None:
    before = _numbers(kept)
    for name, value in _numbers(plan).items():
        if name != _GROWING and value != before[name]:
            raise ConfigurationError(
                f"{folder} holds a distillation with {name} {before[name]!r}, not {value!r}; expected the same but for "
                f"{_GROWING}; give what it was begun with, or another --out"
            )


def _numbers(plan: Plan) -> dict[str, object]:
    """Everything that a plan says, by name."""
    said = msgspec.to_builtins(plan)
    return {**said.pop("training"), **said}
