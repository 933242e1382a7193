"""The seam under which models live: an engine is one loaded model, and opens sequences (design 3).

A generic verifier needs no more than this. Engines: `llama_cpp` (any GGUF file), around others `batching` (for more
than one generation) and `recalling`, and, for tests, `cuhlm.testing.toy_engine`. `cuhlm.testing.check_engine` says what
every engine must do.
"""

from collections import abc
from dataclasses import dataclass
from typing import Protocol

from cuhlm.messages import Array, ModelCard


class Sequence(Protocol):
    """Tokens that a model has read, and the state it keeps of them.

    `append`, `drop` and `close` belong to the engine's one user at a time: engines are not thread-safe.
    """

    def __len__(self) -> int:
        """Tokens read so far."""
        ...

    def append(self, tokens: abc.Sequence[int], rows: int = 1) -> Array:
        """Read `tokens` and return the logits after each of the last `rows` of them.

        Args:
            tokens: ids, at least one.
            rows: how many of the last tokens to return logits for, 0 to len(tokens).

        Returns:
            Raw logits, shape (rows, |V|), float32, owned by the caller.

        Raises:
            ContextOverflow: the tokens do not fit; the sequence is unchanged.
            ModelError: a token is not in the vocabulary; likewise.
            ValueError: there are no tokens, or more rows are asked for than tokens given; or the sequence is closed.
        """
        ...

    def drop(self, length: int) -> None:
        """Forget all but the first `length` tokens (0 ≤ length ≤ len).

        Raises:
            ValueError: the sequence has fewer tokens, or is closed.
        """
        ...

    def close(self) -> None:
        """Give the sequence's place back; closing twice is allowed."""
        ...


def check_keeps(length: int, held: int) -> None:
    """Refuse, with a ValueError, to keep `length` tokens of a sequence that holds `held`."""
    if not 0 <= length <= held:
        raise ValueError(f"{length} tokens to keep of {held}; expected 0 to {held}")


def check_sequence_open(is_open: bool) -> None:
    """Refuse, with a ValueError, to use a closed sequence."""
    if not is_open:
        raise ValueError("the sequence is closed; expected an open one; open another")


@dataclass(frozen=True, slots=True)
class Advance:
    """One sequence's part of a batched forward pass; see `Sequence.append`."""

    sequence: Sequence
    tokens: abc.Sequence[int]
    rows: int = 1


class Tokenizer(Protocol):
    """Text to tokens and back, from the model's own metadata."""

    @property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end a turn or a text."""
        ...

    def vocabulary(self) -> list[bytes]:
        """The bytes that each token id stands for, in order; of a control token, its name.

        They are the same on every engine, whatever its files write for bytes that are no characters (design 2.1).
        """
        ...

    @property
    def control_names(self) -> frozenset[str]:
        """Texts that `tokenize` takes for control tokens, which structure a text and are no part of it."""
        ...

    @property
    def added_names(self) -> frozenset[str]:
        """Texts that it takes for other tokens, added to the vocabulary whole; some models' turns have such."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """Tokens of `text`, with special tokens in it recognised; `engines.prompting` makes prompts of them.

        Raises:
            ConfigurationError: the text is no Unicode: half a surrogate pair is in it.
        """
        ...

    def piece(self, token: int) -> bytes:
        """The bytes that `token` adds to the text; empty for control tokens. May be part of a character."""
        ...


class Engine(Protocol):
    """One loaded model."""

    @property
    def card(self) -> ModelCard:
        """Name, vocabulary, context length, numerics."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        ...

    def open(self) -> Sequence:
        """A new, empty sequence.

        Raises:
            ModelBusy: all places are taken.
            ValueError: the engine is closed.
        """
        ...

    def advance(self, batch: abc.Sequence[Advance]) -> list[Array]:
        """Advance many sequences (each at most once) in as few forward passes as the engine can; logits per entry.

        Raises:
            ContextOverflow: one entry does not fit; no sequence has changed.
            ModelError: a token is not in the vocabulary; likewise.
            ValueError: a sequence is there twice, closed, or another engine's; or as in `Sequence.append`.
        """
        ...

    def close(self) -> None:
        """Free the model and everything opened from it; closing twice is allowed."""
        ...
