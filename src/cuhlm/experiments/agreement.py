"""How often a draft's token stands, by both rules of verification, on the target's own answers (design 2.2, 2.6)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cuhlm.engines.base import Advance, Engine
from cuhlm.messages import Array, Sampling
from cuhlm.theory.distributions import distribution
from cuhlm.theory.quality import total_variation
from cuhlm.theory.randomness import Purpose, exponentials, uniform
from cuhlm.theory.verification import draw


@dataclass(frozen=True, slots=True)
class Agreement:
    """Means over positions.

    Attributes:
        temperature: of both laws.
        positions: how many, n.
        one_minus_tv: chance that a draft drawn from its own law stands (rule 2.2).
        keyed: share of positions where both win the race with the same token (rule 2.6).
        same_argmax: share of positions with the same most probable token.
        error: standard error of `one_minus_tv`, positions taken as independent.
    """

    temperature: float
    positions: int
    one_minus_tv: float
    keyed: float
    same_argmax: float
    error: float

    def as_json(self) -> dict[str, float]:
        """The numbers, for a file."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class AgreementCount:
    """Adds up positions; made for one temperature and one seed."""

    temperature: float
    seed: int = 0
    _overlaps: list[float] = field(default_factory=list)
    _keyed: int = 0
    _same_argmax: int = 0

    def add(self, draft_logits: Array, target_logits: Array, position: int) -> None:
        """Count one position.

        Args:
            draft_logits, target_logits: raw, shape (|V|,), float32.
            position: keys the race.
        """
        sampling = Sampling(self.temperature)
        x, y = distribution(draft_logits, sampling), distribution(target_logits, sampling)
        self._overlaps.append(1 - total_variation(x, y))
        self._same_argmax += int(draft_logits.argmax() == target_logits.argmax())
        race = exponentials(self.seed, position, len(x))
        with np.errstate(divide="ignore"):  # what has no probability never wins
            self._keyed += int((race / x).argmin() == (race / y).argmin())

    def result(self) -> Agreement:
        """The means so far; at least one position."""
        overlaps = np.array(self._overlaps)
        n = len(overlaps)
        return Agreement(
            self.temperature,
            n,
            float(overlaps.mean()),
            self._keyed / n,
            self._same_argmax / n,
            float(overlaps.std() / np.sqrt(n)),
        )


def measure_agreement(
    draft: Engine,
    target: Engine,
    prompts: Sequence[tuple[int, ...]],
    temperature: float,
    *,
    max_tokens: int,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Agreement:
    """Let the target answer at `temperature`, and compare the two laws at every position of its answers.

    Args:
        draft: of the pair.
        target: of the pair; writes the answers.
        prompts: tokens of each; those that leave no room for an answer in either context are left out.
        temperature: of the answers and of both laws.
        max_tokens: per answer.
        seed: of draws and races.
        progress: is told the prompts done.
    """
    count = AgreementCount(temperature, seed)
    room = min(draft.card.context_length, target.card.context_length) - max_tokens
    for done, prompt in enumerate(prompts):
        if len(prompt) <= room:
            _count_answer(draft, target, prompt, count, max_tokens, seed + done)
        progress(done + 1)
    return count.result()


def _count_answer(
    draft: Engine, target: Engine, prompt: tuple[int, ...], count: AgreementCount, max_tokens: int, seed: int
) -> None:
    vocab_size = min(draft.card.vocab_size, target.card.vocab_size)
    history = list(prompt)
    draft_sequence, target_sequence = draft.open(), target.open()
    try:
        for _ in range(max_tokens):
            (draft_logits,) = draft.advance([Advance(draft_sequence, history[len(draft_sequence) :])])
            (target_logits,) = target.advance([Advance(target_sequence, history[len(target_sequence) :])])
            draft_row, target_row = draft_logits[0, :vocab_size], target_logits[0, :vocab_size]
            count.add(draft_row, target_row, len(history))
            law = distribution(target_row, Sampling(count.temperature))
            history.append(draw(law, uniform(seed, len(history), Purpose.TARGET)).token)
            if history[-1] in target.tokenizer.end_tokens:
                return
    finally:
        draft_sequence.close()
        target_sequence.close()
