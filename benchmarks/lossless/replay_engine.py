"""Recorded answers as an engine: a pair's agreements and vocabulary, without its weights."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from benchmarks.lossless.recorded import Recorded

from cuhlm.engines.base import Advance
from cuhlm.messages import Array, ModelCard

VOCAB = 151_936
"""Of the Qwen pair."""
_FAR = np.float32(-200.0)

Says = Literal["tokens", "drafts"]


def replayed_prompt(index: int, answer: Recorded) -> tuple[int, ...]:
    """The prompt under which answer `index` is replayed: its own but for the first token, the index."""
    return (index, *answer.prompt_tokens[1:])


class ReplayEngine:
    """Says at each position of an answer what was recorded there, and something else beside it; implements `Engine`.

    Args:
        answers: found by their prompts.
        says: the target's tokens, or the draft's.
        vocab_size: above all of them; what is done per row costs by it.
    """

    def __init__(self, answers: Sequence[Recorded], says: Says, vocab_size: int = VOCAB) -> None:
        self._answers = answers
        self._says = says
        self.vocab_size = vocab_size
        self.tokenizer = _Tokenizer(vocab_size)
        self.card = ModelCard(
            f"replayed {says}", vocab_size, "replayed", 4096, batch_invariant=True, fingerprint=f"replayed {says}"
        )

    def open(self) -> "_Sequence":
        """A new, empty sequence."""
        return _Sequence(self)

    def advance(self, batch: Sequence[Advance]) -> list[Array]:
        """The rows of each entry."""
        return [entry.sequence.append(entry.tokens, entry.rows) for entry in batch]

    def next_token(self, tokens: Sequence[int]) -> int:
        """What comes after `tokens`."""
        answer = self._answers[tokens[0]]
        made = list(tokens[len(answer.prompt_tokens) :])
        said: list[int] = getattr(answer, self._says)
        if len(tokens) >= len(answer.prompt_tokens) and len(made) < len(said) and made == answer.tokens[: len(made)]:
            return said[len(made)]
        return 1

    def close(self) -> None:
        """Nothing to free."""


class _Sequence:
    def __init__(self, engine: ReplayEngine) -> None:
        self._engine = engine
        self._tokens: list[int] = []

    def __len__(self) -> int:
        return len(self._tokens)

    def append(self, tokens: Sequence[int], rows: int = 1) -> Array:
        self._tokens += tokens
        logits = np.full((rows, self._engine.vocab_size), _FAR, np.float32)
        for row in range(rows):
            end = len(self._tokens) - rows + 1 + row
            logits[row, self._engine.next_token(self._tokens[:end])] = 0
        return logits

    def drop(self, length: int) -> None:
        del self._tokens[length:]

    def close(self) -> None:
        self._tokens = []


class _Tokenizer:
    """No text: tokens are all that is compared."""

    end_tokens: frozenset[int] = frozenset()
    control_names: frozenset[str] = frozenset()
    added_names: frozenset[str] = frozenset()

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size

    def vocabulary(self) -> list[bytes]:
        return [b""] * self._vocab_size

    def tokenize(self, text: str) -> list[int]:
        raise NotImplementedError(text)

    def piece(self, token: int) -> bytes:  # noqa: ARG002
        return b""
