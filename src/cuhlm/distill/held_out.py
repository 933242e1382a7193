"""How near the student is, on the target's answers to prompts that it is not trained on; measured during training."""

import numpy as np
import torch
from torch import Tensor

from cuhlm.distill.llama import Llama, by_rows
from cuhlm.distill.text import Text
from cuhlm.measuring.agreement import Agreement, AgreementCount

POSITIONS = 512
"""Positions that a measurement takes, spread evenly over the answers: a standard error of about 0.013."""

_LOGIT_ROWS = 128


class HeldOut:
    """Answers, and what the target thinks at some of their positions."""

    def __init__(self, target: Llama, text: Text) -> None:
        """Read `text` once with the target."""
        self._target, self._text = target, text
        positions = text.is_answer.flatten().nonzero()[:, 0]
        chosen = torch.linspace(0, len(positions) - 1, min(POSITIONS, len(positions))).round().long()
        self._positions = positions[chosen].to(target.embedding.device)
        self._target_hidden = self._hidden(target)

    def measure(self, student: Llama, temperature: float) -> Agreement:
        """Agreement of the student as it is, on the target's own text."""
        count = AgreementCount(temperature)
        hidden = self._hidden(student)
        for start in range(0, len(hidden), _LOGIT_ROWS):
            some = slice(start, start + _LOGIT_ROWS)
            drafts, targets = _rows(student, hidden[some]), _rows(self._target, self._target_hidden[some])
            for position, (draft, target) in enumerate(zip(drafts, targets, strict=True), start):
                count.add(draft, target, 0, position)
        return count.result()

    def _hidden(self, llama: Llama) -> Tensor:
        """At the chosen positions, shape (positions, width)."""
        read = self._text.tokens[:, :-1].to(self._positions.device)
        with torch.no_grad():
            return by_rows(read, llama.hidden).flatten(0, 1)[self._positions]


def _rows(llama: Llama, hidden: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    with torch.no_grad():
        rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = llama.logits(hidden).cpu().numpy()
    return rows
