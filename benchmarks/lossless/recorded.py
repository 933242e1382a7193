"""What a pair says along its target's own answers: all that the timing of `lossless` depends on (design 2.12)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cuhlm.device.gate import make_measurement
from cuhlm.engines.base import Engine
from cuhlm.measuring.target_text import walk
from cuhlm.messages import Sampling
from cuhlm.profiles import UncertaintySettings
from cuhlm.theory.distributions import LogitRow, law_of
from cuhlm.theory.race import race

QWEN = Path(__file__).parent / "qwen.jsonl"
"""Qwen2.5-Coder-Instruct 0.5B and 1.5B (Q4_K_M) on GSM8K, HumanEval and AlpacaEval prompts, relabelled."""

BUILT_IN = Path(__file__).parent / "built_in.jsonl"
"""The built-in pair on the evaluation prompts of the experiments."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One answer of the target.

    Attributes:
        prompt: its id.
        temperature: of both laws.
        seed: of the shared randomness.
        prompt_tokens: the prompt's.
        tokens: of the answer.
        drafts: what the draft drew at each position, by the same race on the target's own history.
        runner_ups: what the draft's race would have drawn without its winner; −1 where nothing.
        us: uncertainty of each draft, to three digits.
        gaps: race gap of each, likewise; 99 where no other token was possible.
    """

    prompt: str
    temperature: float
    seed: int
    prompt_tokens: list[int]
    tokens: list[int]
    drafts: list[int]
    runner_ups: list[int]
    us: list[float]
    gaps: list[float]

    @property
    def agrees(self) -> list[bool]:
        """Per position, whether the draft is the target's token."""
        return [draft == token for draft, token in zip(self.drafts, self.tokens, strict=True)]


def recorded(path: Path = QWEN) -> Iterator[Recorded]:
    """The answers of a file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        yield msgspec.json.decode(line, type=Recorded)


def record(
    draft: Engine, target: Engine, name: str, prompt: tuple[int, ...], temperature: float, seed: int, max_tokens: int
) -> Recorded:
    """Let the target answer, and the draft read along."""
    sampling = Sampling(temperature)
    measure = make_measurement(UncertaintySettings(), seed)
    answer = Recorded(name, temperature, seed, list(prompt), [], [], [], [], [])
    for at in walk(draft, target, prompt, sampling, seed, max_tokens):
        row = LogitRow.of(at.draft_logits)
        outcome = race(law_of(row, sampling), seed, at.position)
        answer.tokens.append(at.token)
        answer.drafts.append(outcome.token)
        answer.runner_ups.append(-1 if outcome.runner_up is None else outcome.runner_up)
        answer.us.append(round(measure(row, outcome.token, at.position), 3))
        answer.gaps.append(round(min(outcome.gap, 99.0), 3))
    return answer
