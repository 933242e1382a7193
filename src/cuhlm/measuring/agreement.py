"""How often a draft's token stands, by both rules of verification, on the target's own answers (design 2.2, 2.6)."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from cuhlm.engines.base import Advance, Engine
from cuhlm.errors import ConfigurationError
from cuhlm.messages import Array, Sampling
from cuhlm.theory.distributions import distribution
from cuhlm.theory.quality import total_variation
from cuhlm.theory.race import race


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
    """Adds up positions at one temperature."""

    temperature: float
    _overlaps: list[float] = field(default_factory=list)
    _keyed: int = 0
    _same_argmax: int = 0

    def add(self, draft_logits: Array, target_logits: Array, seed: int, position: int) -> None:
        """Count one position.

        Args:
            draft_logits: raw, shape (|V|,), float32.
            target_logits: likewise.
            seed: keys the race, with
            position: the token's.
        """
        sampling = Sampling(self.temperature)
        x, y = distribution(draft_logits, sampling), distribution(target_logits, sampling)
        self._overlaps.append(1 - total_variation(x, y))
        self._same_argmax += int(draft_logits.argmax() == target_logits.argmax())
        self._keyed += race(x, seed, position).token == race(y, seed, position).token

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
    drafts: Sequence[Engine],
    target: Engine,
    prompts: Sequence[tuple[int, ...]],
    temperatures: Sequence[float],
    *,
    max_tokens: int,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> list[list[Agreement]]:
    """Let the target answer, and compare its law with each draft's at every position of its answers.

    Args:
        drafts: all are measured on the same answers.
        target: writes the answers.
        prompts: tokens of each; those that leave no room for an answer in a context are left out.
        temperatures: each prompt is answered once at each, and compared at the same.
        max_tokens: per answer.
        seed: of draws and races.
        progress: is told the prompts done.

    Returns:
        per draft, one entry per temperature.

    Raises:
        ConfigurationError: no prompt is short enough.
    """
    room = min(engine.card.context_length for engine in (*drafts, target)) - max_tokens
    fitting = [prompt for prompt in prompts if len(prompt) <= room]
    if not fitting:
        raise ConfigurationError(
            f"none of {len(prompts)} prompts leaves room for {max_tokens} tokens; expected one of at most {room}; give "
            "shorter prompts, or a longer context"
        )
    counts = [[AgreementCount(temperature) for temperature in temperatures] for _ in drafts]
    for done, prompt in enumerate(fitting):
        with ExitStack() as stack:
            sequences = [_Reader(engine, prompt, stack) for engine in (target, *drafts)]
            for number, temperature in enumerate(temperatures):
                _count_answer(sequences, temperature, [count[number] for count in counts], max_tokens, seed + done)
        progress(done + 1)
    return [[count.result() for count in per_draft] for per_draft in counts]


class _Reader:
    """A model that has read a prompt, and reads on."""

    def __init__(self, engine: Engine, prompt: tuple[int, ...], stack: ExitStack) -> None:
        self.engine, self._prompt = engine, prompt
        self._sequence = engine.open()
        stack.callback(self._sequence.close)

    def logits(self, answer: Sequence[int]) -> Array:
        """After prompt and answer, shape (|V|,); what was read of another answer is forgotten."""
        history = [*self._prompt, *answer]
        if len(self._sequence) >= len(history):
            self._sequence.drop(len(history) - 1)
        (logits,) = self.engine.advance([Advance(self._sequence, history[len(self._sequence) :])])
        row: Array = logits[0]
        return row


def _count_answer(
    readers: Sequence[_Reader], temperature: float, counts: Sequence[AgreementCount], max_tokens: int, seed: int
) -> None:
    """One answer of the first reader, the target, with every position counted for each of the others."""
    target, *drafts = readers
    vocab_size = min(reader.engine.card.vocab_size for reader in readers)
    answer: list[int] = []
    while len(answer) < max_tokens:
        target_logits = target.logits(answer)[:vocab_size]
        for draft, count in zip(drafts, counts, strict=True):
            count.add(draft.logits(answer)[:vocab_size], target_logits, seed, len(answer))
        law = distribution(target_logits, Sampling(temperature))
        answer.append(race(law, seed, len(answer)).token)
        if answer[-1] in target.engine.tokenizer.end_tokens:
            return
