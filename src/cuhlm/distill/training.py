"""The training loop: on-policy text in, a student nearer to its target out; can stop anywhere and go on."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from cuhlm.distill.losses import LOSSES
from cuhlm.distill.plan import Objective
from cuhlm.distill.student import Student
from cuhlm.distill.text import Text
from cuhlm.writable import written_whole

_LOGIT_ROWS = 256
"""Positions whose logits exist at a time: |V| floats each, several times over in a backward pass."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate over a run: a linear rise, then a cosine to a tenth.

    Attributes:
        peak: highest rate.
        warmup_steps: of the rise.
        steps: of the run.
    """

    peak: float
    warmup_steps: int
    steps: int

    def rate(self, step: int) -> float:
        """At `step`, from 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        done = min(1.0, (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps))
        return self.peak * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


class Trainer:
    """A student, its optimiser and its place in the run."""

    def __init__(self, student: Student, schedule: Schedule, objective: Objective) -> None:
        """Begin at step 0; the student is trained in place."""
        self._student, self._schedule, self._objective = student, schedule, objective
        self._parameters = list(student.latent.values())
        self._optimiser = torch.optim.AdamW(
            self._parameters, lr=schedule.peak, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )
        self.step = 0

    def train(self, text: Text, *, rows_per_pass: int) -> float:
        """One optimiser step on all rows of `text`; the mean loss per answer token."""
        answers = max(1, int(text.is_answer.sum()))
        loss = sum(
            self._pass(text.rows(slice(start, start + rows_per_pass)), answers)
            for start in range(0, len(text.tokens), rows_per_pass)
        )
        for group in self._optimiser.param_groups:
            group["lr"] = self._schedule.rate(self.step)
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=False)
        self.step += 1
        self._student.refresh()
        return loss

    def save(self, path: Path) -> None:
        """Write a checkpoint to `path`, whole or not at all."""
        latent, optimiser = self._student.latent, self._optimiser.state_dict()
        with written_whole(path) as partial:
            torch.save({"latent": latent, "optimiser": optimiser, "step": self.step}, partial)

    def load(self, path: Path) -> None:
        """Go on from the checkpoint at `path`."""
        state = torch.load(path, map_location=self._parameters[0].device, weights_only=True)
        with torch.no_grad():
            for name, tensor in self._student.latent.items():
                tensor.copy_(state["latent"][name])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        self._student.refresh()

    def _pass(self, text: Text, answers: int) -> float:
        """Forward and backward over some rows; their share of the step's mean loss."""
        llama = self._student.llama
        hidden = llama.hidden(text.tokens[:, :-1].to(llama.embedding.device))[text.is_answer]
        leaf = hidden.detach().requires_grad_()
        distance, loss = LOSSES[self._objective.at(self.step, self._schedule.steps)], 0.0
        laws = text.answer_laws(leaf.device)
        for start in range(0, len(leaf), _LOGIT_ROWS):
            some = slice(start, start + _LOGIT_ROWS)
            part = distance(llama.logits(leaf[some]), laws.rows(some)).sum() / answers
            torch.autograd.backward(part)
            loss += float(part.detach())
        if leaf.grad is not None:
            torch.autograd.backward(hidden, leaf.grad)
            self._student.collect_gradients()
        return loss
