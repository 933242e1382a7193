"""The default engine: any GGUF file, run by llama.cpp (design 3).

This file keeps the books, of places and lengths; `llama_context` runs the forward passes.
"""

import threading
from collections import abc
from pathlib import Path
from typing import Self

import numpy as np

from cuhlm.closing import Closing
from cuhlm.engines.base import Advance, Sequence, check_keeps, check_sequence_open
from cuhlm.engines.batch_invariance import RUN_LENGTH, is_batch_invariant
from cuhlm.engines.cores import usable_cores, usable_cpus
from cuhlm.engines.fingerprints import file_fingerprint, vocabulary_fingerprint
from cuhlm.engines.gguf_model import GgufModel
from cuhlm.engines.gguf_tokenizer import GgufTokenizer
from cuhlm.engines.llama_context import LlamaContext, Span
from cuhlm.errors import ConfigurationError, ContextOverflow, ModelBusy, ModelError
from cuhlm.given import as_path, whole
from cuhlm.messages import Array, ModelCard

DEFAULT_CONTEXT_LENGTH = 2048
MAX_SEQUENCES = 256  # llama.cpp's own bound


class LlamaCppEngine(Closing):
    """Implements `engines.base.Engine`. Made by `load`.

    Calls of several threads wait for each other: llama.cpp would crash. Forward passes that could be one are then
    many; `engines.batching` merges them.
    """

    def __init__(self, model: GgufModel, context: LlamaContext, *, context_length: int, sequences: int) -> None:
        self._model = model
        self._context = context
        self._one_at_a_time = threading.Lock()
        self._vocab_size = model.vocab_size
        # The cache is made in units of 256 cells, so the check has room even where sequences are kept shorter.
        self._context_length = max(context_length, RUN_LENGTH)
        self._sequences = sequences
        self._free_places = set(range(sequences))
        self._tokenizer = GgufTokenizer(model)
        self._card = ModelCard(
            name=model.name,
            vocab_size=self._vocab_size,
            vocab_fingerprint=vocabulary_fingerprint(self._tokenizer.vocabulary()),
            context_length=context_length,
            batch_invariant=is_batch_invariant(self, self._vocab_size, sequences=sequences),
            end_tokens=self._tokenizer.end_tokens,
            fingerprint=file_fingerprint(model.path),
            chat=self._tokenizer.chat,
            sampling=model.recommended_sampling,
        )
        self._context_length = context_length

    @classmethod
    def load(
        cls, path: str | Path, *, context_length: int | None = None, sequences: int = 1, threads: int | None = None
    ) -> Self:
        """Load a model and check whether its logits are batch-invariant.

        Args:
            path: a GGUF file.
            context_length: tokens that every sequence can hold; None takes 2048, or what the model was trained for if
                that is less.
            sequences: how many sequences may be open at once.
            threads: threads of a forward pass; None takes one per usable core.

        Raises:
            ConfigurationError: a number is out of range.
            LibraryError: llama.cpp does not load.
            ModelError: the file is missing, holds no model that cuhlm can run, or does not fit into memory.
        """
        threads = usable_cores() if threads is None else whole("threads", threads)
        sequences = whole("sequences", sequences)
        _check_range("threads", threads, 1, len(usable_cpus()), "a thread without a core only slows the others")
        _check_range("sequences", sequences, 1, MAX_SEQUENCES, "llama.cpp holds no more")
        model = GgufModel(as_path("the model", path))
        trained = model.trained_context_length
        length = min(DEFAULT_CONTEXT_LENGTH, trained) if context_length is None else context_length
        length = whole("context_length", length)
        _check_range("context_length", length, 1, trained, f"{model.name} was trained for no more")
        context = LlamaContext(model, context_length=length, sequences=sequences, threads=threads)
        return cls(model, context, context_length=length, sequences=sequences)

    @property
    def card(self) -> ModelCard:
        """Name, vocabulary, context length, numerics."""
        return self._card

    @property
    def tokenizer(self) -> GgufTokenizer:
        """The model's tokenizer; usable as long as the engine is open."""
        return self._tokenizer

    def open(self) -> "LlamaCppSequence":
        """A new, empty sequence.

        Raises:
            ModelBusy: all places are taken.
        """
        with self._one_at_a_time:
            self._check_open()
            if not self._free_places:
                raise ModelBusy(
                    f"all {self._sequences} sequences of {self._card.name} are in use; expected a free one; close one, "
                    "or load the model with more sequences"
                )
            # The lowest place: llama.cpp takes sequences in one pass only if their places follow one another.
            place = min(self._free_places)
            self._free_places.remove(place)
        return LlamaCppSequence(self, place)

    def advance(self, batch: abc.Sequence[Advance]) -> list[Array]:
        """Advance many sequences (each at most once) in as few forward passes as llama.cpp can; logits per entry.

        Raises:
            ContextOverflow: one entry does not fit; no sequence has changed.
            ModelError: a forward pass failed, or a token is not in the vocabulary; no sequence has changed.
        """
        with self._one_at_a_time:
            self._check_open()
            entries = [(self._own(entry.sequence), entry) for entry in batch]
            self._check(entries)
            logits = self._context.evaluate(
                [Span(sequence.place, len(sequence), entry.tokens, entry.rows) for sequence, entry in entries]
            )
            for sequence, entry in entries:
                sequence._length += len(entry.tokens)
        ends = np.cumsum([entry.rows for entry in batch])
        return [logits[end - entry.rows : end] for entry, end in zip(batch, ends, strict=True)]

    def close(self) -> None:
        """Free the model and everything opened from it; closing twice is allowed."""
        with self._one_at_a_time:
            self._context.close()
            self._model.close()

    def _own(self, sequence: Sequence) -> "LlamaCppSequence":
        if not isinstance(sequence, LlamaCppSequence) or sequence._engine is not self:
            raise ValueError(f"{sequence!r} is no sequence of this engine; expected one that its open() returned")
        sequence._check_open()
        return sequence

    def _check_open(self) -> None:
        self._context.check_open()

    def _check(self, entries: "list[tuple[LlamaCppSequence, Advance]]") -> None:
        if len({sequence.place for sequence, _ in entries}) < len(entries):
            raise ValueError("a sequence appears twice in one batch; expected each at most once; join its tokens")
        for sequence, entry in entries:
            if not 0 <= entry.rows <= len(entry.tokens) or len(entry.tokens) == 0:
                raise ValueError(
                    f"{entry.rows} rows of {len(entry.tokens)} tokens; expected a token, and 0 to all rows"
                )
            self._check_room(len(sequence), len(entry.tokens))
            self._check_tokens(entry.tokens)

    def _check_room(self, length: int, added: int) -> None:
        if length + added > self._context_length:
            raise ContextOverflow(
                f"{added} more tokens after {length} do not fit; expected at most {self._context_length} in all; "
                f"shorten the prompt or the answer, or load {self._card.name} with a longer context"
            )

    def _check_tokens(self, tokens: abc.Sequence[int]) -> None:
        # llama.cpp checks too, but names no token.
        lowest, highest = min(tokens), max(tokens)
        if lowest < 0 or highest >= self._vocab_size:
            raise ModelError(
                f"token {lowest if lowest < 0 else highest} is not in the vocabulary; expected ids from 0 to "
                f"{self._vocab_size - 1}; use the tokens of this model's own tokenizer"
            )

    def _drop(self, place: int, length: int) -> None:
        with self._one_at_a_time:
            self._context.drop(place, length)

    def _give_back(self, place: int) -> None:
        with self._one_at_a_time:
            if not self._context.closed:
                self._context.drop(place, 0)
                self._free_places.add(place)


class LlamaCppSequence:
    """Implements `engines.base.Sequence`."""

    def __init__(self, engine: LlamaCppEngine, place: int) -> None:
        self._engine = engine
        self._length = 0
        self._open = True
        self.place = place

    def __len__(self) -> int:
        """Tokens read so far."""
        return self._length

    def append(self, tokens: abc.Sequence[int], rows: int = 1) -> Array:
        """Read `tokens`; the logits after each of the last `rows`, shape (rows, |V|), float32, owned by the caller.

        Raises:
            ContextOverflow: the tokens do not fit; the sequence is unchanged.
            ModelError: the forward pass failed, or a token is not in the vocabulary; the sequence is unchanged.
        """
        return self._engine.advance([Advance(self, tokens, rows)])[0]

    def drop(self, length: int) -> None:
        """Forget all but the first `length` tokens (0 ≤ length ≤ len)."""
        self._check_open()
        check_keeps(length, self._length)
        self._engine._drop(self.place, length)
        self._length = length

    def close(self) -> None:
        """Give the sequence's place back; closing twice is allowed."""
        if self._open:
            self._open = False
            self._engine._give_back(self.place)

    def _check_open(self) -> None:
        self._engine._check_open()
        check_sequence_open(self._open)


def _check_range(name: str, value: int, lowest: int, highest: int, why: str) -> None:
    if not lowest <= value <= highest:
        raise ConfigurationError(f"{name} is {value}; expected {lowest} to {highest} ({why}); choose another value")
