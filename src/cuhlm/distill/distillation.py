"""A run of training: layers chosen, text written, steps taken on it, round after round.

All that takes time is kept in the run's folder, so the same command goes on where an earlier one stopped:

    plan.json        the run's numbers
    text/            what the target wrote, with its laws
    layers.json      the layers of the target that the student keeps
    fitted.npz       their weights, fitted to take over the work of what was left out
    checkpoint.pt    latent weights, optimiser, step
    history.jsonl    agreement on the held-out prompts
    seconds.json     what all sittings took
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from cuhlm.distill.conversation import TurnTokens
from cuhlm.distill.corpus import Corpus
from cuhlm.distill.fitting import FITTED, fit_layers
from cuhlm.distill.gguf_weights import Weights, keep_layers, layer_name, with_neurons
from cuhlm.distill.held_out import HeldOut
from cuhlm.distill.history import History, Measurement
from cuhlm.distill.layer_choice import choose_layers
from cuhlm.distill.llama import Llama
from cuhlm.distill.plan import Training
from cuhlm.distill.precision import faster_dtype
from cuhlm.distill.student import Student
from cuhlm.distill.text import Text
from cuhlm.distill.training import Schedule, Trainer
from cuhlm.readable import converted, read_json
from cuhlm.writable import write_whole, written_whole

_CHOICE_TOKENS = 6 * 256  # of text that layers are chosen on: about 700 of them are answers
_FITTING_TOKENS = 128 * 256
_ROWS_PER_PASS = {"cpu": 4, "cuda": 64}  # at most; gradients of several passes make a step
_PAIRS_PER_PASS = 64 * 256**2  # of positions: every layer keeps the attention between them for the backward pass
_SAVE_EVERY = 16  # steps; a checkpoint is three times the student in float32


class DistillationListener(Protocol):
    """Is told how a run goes; the command line shows it."""

    def begins(self, work: str, total: int) -> None:
        """A part of the work, `total` units long."""
        ...

    def done(self, units: int) -> None:
        """So much of that part is done."""
        ...

    def trained(self, steps: int, total: int, loss: float) -> None:
        """So many steps of the whole run are done; the last one's mean loss."""
        ...

    def measured(self, measurement: Measurement) -> None:
        """How near the student is now."""
        ...


class Distillation:
    """A run in its folder.

    Attributes:
        corpus: its texts.
        history: what it has measured.
        layers: of the target that the student keeps; empty until `run` has chosen, or where it goes on from a student.
    """

    def __init__(
        self,
        training: Training,
        folder: Path,
        target: Weights,
        turns: TurnTokens,
        prompts: Sequence[tuple[int, ...]],
        listener: DistillationListener,
    ) -> None:
        """Load the target for writing; nothing long is done yet.

        Args:
            training: its numbers.
            folder: where everything is kept.
            target: its weights.
            turns: of its chat template.
            prompts: tokens of each, without the template's.
            listener: is told how it goes.

        Raises:
            ConfigurationError: there are too few prompts, or more layers are wanted than the target has.
        """
        self._training, self._folder, self._listener = training, folder, listener
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = faster_dtype(self._device)
        self._target_weights = target
        self._target = Llama.of(target, device=self._device, dtype=self._dtype)
        self.corpus = Corpus(training, folder, self._target, turns, prompts)
        self.history = History(folder / "history.jsonl")
        self.layers: tuple[int, ...] = ()
        self._started = time.monotonic()
        self._seconds_before = self.history.seconds

    def run(self, start: Weights | None) -> Weights:
        """Train to the end.

        Args:
            start: a student to go on from; None takes layers of the target.

        Returns:
            the student's weights.
        """
        try:
            return self._run(start)
        finally:
            self.history.keep_seconds(self._seconds)

    def _run(self, start: Weights | None) -> Weights:
        held_out = HeldOut(self._target, self._writing("held-out answers", self.corpus.held_out))
        generator = torch.Generator().manual_seed(self._training.seed)
        weights = start or self._begun()
        student = Student(weights, device=self._device, dtype=self._dtype, generator=generator)
        schedule = Schedule(self._training.learning_rate, self._training.warmup_steps, self._training.steps)
        trainer = Trainer(student, schedule, self._training.objective)
        checkpoint = self._folder / "checkpoint.pt"
        if checkpoint.exists():
            trainer.load(checkpoint)
        if not self._is_measured(trainer.step):
            self._measure(held_out, student, trainer.step)
        while trainer.step < self._training.steps:
            self._round(trainer, checkpoint)
            self._measure(held_out, student, trainer.step)
        return student.weights()

    def _begun(self) -> Weights:
        """A student that has not been trained."""
        self.layers = self._chosen_layers()
        weights = keep_layers(self._target_weights, self.layers)
        return self._fitted(weights, self._training.neurons or weights.shape.neurons)

    def _fitted(self, weights: Weights, neurons: int) -> Weights:
        """With so many neurons in each layer, chosen and fitted once."""
        path = self._folder / "fitted.npz"
        if not path.exists():
            text = self._beginning(_FITTING_TOKENS)
            self._listener.begins("fitting layers", len(self.layers))
            # Least squares is done in float32, whatever the training computes in.
            target = self._target
            if self._dtype != torch.float32:
                target = Llama.of(self._target_weights, device=self._device, dtype=torch.float32)
            fitted = fit_layers(target, self.layers, text, neurons, self._listener.done)
            layers = enumerate(fitted.layers)
            arrays = {layer_name(n, part): getattr(layer, part).cpu() for n, layer in layers for part in FITTED}
            with written_whole(path) as partial:
                np.savez(partial, **arrays)
        with np.load(path) as arrays:
            return with_neurons(weights, neurons, dict(arrays))

    def _chosen_layers(self) -> tuple[int, ...]:
        """The layers that the student keeps, chosen once."""
        path = self._folder / "layers.json"
        if not path.exists():
            text = self._beginning(_CHOICE_TOKENS)
            self._listener.begins("choosing layers", self._target.shape.layers - self._training.layers)
            layers = choose_layers(self._target, text, self._training.layers, self._listener.done)
            write_whole(path, json.dumps(layers))
        return converted(read_json(path, "the layers"), tuple[int, ...], str(path))

    def _round(self, trainer: Trainer, checkpoint: Path) -> None:
        """The steps that are left of a round; a checkpoint is left behind, however it ends."""
        number, first = divmod(trainer.step, self._training.steps_per_round)
        self._round_text(number)
        texts = self.corpus.steps(number)
        try:
            for step in range(first, self._training.steps_per_round):
                loss = trainer.train(texts.step(step), rows_per_pass=self._rows_per_pass)
                self._listener.trained(trainer.step, self._training.steps, loss)
                if trainer.step % _SAVE_EVERY == 0 and step + 1 < self._training.steps_per_round:
                    self._keep(trainer, checkpoint)
        finally:
            self._keep(trainer, checkpoint)

    def _keep(self, trainer: Trainer, checkpoint: Path) -> None:
        trainer.save(checkpoint)
        self.history.keep_seconds(self._seconds)

    @property
    def _seconds(self) -> float:
        """Spent so far, over all sittings."""
        return self._seconds_before + time.monotonic() - self._started

    def _is_measured(self, steps: int) -> bool:
        measurements = self.history.measurements
        return bool(measurements) and measurements[-1].tokens == steps * self._training.tokens_per_step

    @property
    def _rows_per_pass(self) -> int:
        return max(1, min(_ROWS_PER_PASS[self._device.type], _PAIRS_PER_PASS // self._training.length**2))

    def _beginning(self, tokens: int) -> Text:
        """Rows of the first text, about so many tokens."""
        return self._round_text(0).rows(slice(max(1, tokens // self._training.length)))

    def _round_text(self, number: int) -> Text:
        name = f"text {number + 1} of {self._training.rounds}"
        return self._writing(name, lambda progress: self.corpus.text(number, progress))

    def _measure(self, held_out: HeldOut, student: Student, steps: int) -> None:
        agreements = [held_out.measure(student.llama, temperature) for temperature in self._training.measured_at]
        self.history.add(Measurement(steps * self._training.tokens_per_step, self._seconds, agreements))
        self._listener.measured(self.history.measurements[-1])

    def _writing(self, work: str, write: Callable[[Callable[[int], None]], Text]) -> Text:
        """A text, its writing shown."""
        self._listener.begins(f"writing {work}", self._training.length - 1)
        return write(self._listener.done)
