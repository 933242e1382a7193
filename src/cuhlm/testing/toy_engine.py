"""A tiny deterministic engine in numpy, for tests of everything above the engine.

Use it where a law is tested (a vocabulary of a dozen tokens makes 10⁴ draws conclusive), or where the model does not
matter and loading one would only cost time. A target and its imperfect draft are a pair that differs in ``noise``:

    target = ToyEngine(vocab_size=16, seed=1)
    draft = ToyEngine(vocab_size=16, seed=1, noise=0.7)
"""

import hashlib
import threading
from collections import abc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

from cuhlm.closing import Closing
from cuhlm.engines.base import Advance, Sequence, check_keeps, check_sequence_open
from cuhlm.engines.fingerprints import vocabulary_fingerprint
from cuhlm.errors import ConfigurationError, ContextOverflow, ModelBusy, ModelError
from cuhlm.messages import Array, ModelCard

MAX_VOCAB_SIZE = 50_000

_FIRST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_REST = 0x100  # code point from which the other tokens' characters are taken
_END = "<end>"
_TABLE_KEY = 0x746F7920656E6769  # sets the tables apart from every stream of theory.randomness
_CACHED_ROWS = 4096


class ToyTokenizer:
    """One character per token: a, b, … Implements `engines.base.Tokenizer`."""

    def __init__(self, vocab_size: int, end_token: int | None) -> None:
        self._strings = [_FIRST[i] if i < len(_FIRST) else chr(_REST + i) for i in range(vocab_size)]
        if end_token is not None:
            self._strings[end_token] = _END
        self._end_token = end_token

    @property
    def end_tokens(self) -> frozenset[int]:
        """The end token, if there is one."""
        return frozenset() if self._end_token is None else frozenset({self._end_token})

    @property
    def control_names(self) -> frozenset[str]:
        """None: every character of a text is one."""
        return frozenset()

    @property
    def added_names(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def vocabulary(self) -> list[bytes]:
        """The characters, and the end token's name."""
        return [string.encode() for string in self._strings]

    def tokenize(self, text: str) -> list[int]:
        """One token per character; a character of no token becomes some token, always the same."""
        ids = {string: token for token, string in enumerate(self._strings)}
        return [ids.get(character, ord(character) % len(self._strings)) for character in text]

    def piece(self, token: int) -> bytes:
        """The token's character in UTF-8; nothing for the end token."""
        return b"" if token == self._end_token else self._strings[token].encode()


class ToyEngine(Closing):
    """A model whose logits are a fixed function of the last two tokens. Implements `engines.base.Engine`.

    Two threads at once are refused, as no engine promises to bear them.
    """

    def __init__(
        self,
        *,
        vocab_size: int = 16,
        seed: int = 0,
        sharpness: float = 1.0,
        noise: float = 0.0,
        end_token: int | None = None,
        context_length: int = 512,
        sequences: int = 8,
    ) -> None:
        """Make an engine; equal arguments make equal engines, on every machine (but for the last bit of a logarithm).

        Args:
            vocab_size: |V|, from 2 to 50 000.
            seed: chooses the model; 0 ≤ seed < 2^64.
            sharpness: the logits are logistic numbers (standard deviation 1.8) times this.
            noise: how far a draft is from the target of the same seed: so much times another set of such logits is
                added; 0 is the target itself.
            end_token: the id that ends a text, if any.
            context_length: tokens a sequence can hold.
            sequences: how many may be open at once.

        Raises:
            ConfigurationError: vocab_size or end_token is out of range.
        """
        if not 2 <= vocab_size <= MAX_VOCAB_SIZE:
            raise ConfigurationError(
                f"vocab_size is {vocab_size}; expected 2 to {MAX_VOCAB_SIZE}; choose another value"
            )
        if end_token is not None and not 0 <= end_token < vocab_size:
            raise ConfigurationError(
                f"end_token is {end_token}; expected an id below {vocab_size}; choose another value"
            )
        self._vocab_size, self._seed, self._sharpness, self._noise = vocab_size, seed, sharpness, noise
        self._places = sequences
        self._in_use = 0
        self._closed = False
        self._used = threading.Lock()
        self._row = lru_cache(_CACHED_ROWS)(self._made_row)
        self._tokenizer = ToyTokenizer(vocab_size, end_token)
        weights = f"{vocab_size} {seed} {sharpness} {noise}".encode()
        self._card = ModelCard(
            name=f"toy-{vocab_size}-{seed}" + (f"-noise-{noise:g}" if noise else ""),
            vocab_size=vocab_size,
            vocab_fingerprint=vocabulary_fingerprint(self._tokenizer.vocabulary()),
            context_length=context_length,
            batch_invariant=True,
            end_tokens=self._tokenizer.end_tokens,
            fingerprint=hashlib.sha256(weights).hexdigest(),
        )

    @property
    def card(self) -> ModelCard:
        """Name, vocabulary, context length, numerics."""
        return self._card

    @property
    def tokenizer(self) -> ToyTokenizer:
        """The tokenizer."""
        return self._tokenizer

    def logits(self, tokens: abc.Sequence[int]) -> Array:
        """The logits after `tokens`, without a sequence; shape (|V|,), float32, owned by the caller."""
        return self._row(*self._context(tokens, len(tokens))).copy()

    def open(self) -> "ToySequence":
        """A new, empty sequence.

        Raises:
            ModelBusy: all places are taken.
        """
        with self.used_alone():
            self._check_open()
            if self._in_use == self._places:
                raise ModelBusy(f"all {self._places} sequences are in use; expected a free one; close one")
            self._in_use += 1
        return ToySequence(self)

    def advance(self, batch: abc.Sequence[Advance]) -> list[Array]:
        """Advance many sequences (each at most once); logits per entry.

        Raises:
            ContextOverflow: one entry does not fit; no sequence has changed.
            ModelError: a token is not in the vocabulary; no sequence has changed.
        """
        with self.used_alone():
            self._check_open()
            entries = [(self._own(entry.sequence), entry) for entry in batch]
            if len({id(sequence) for sequence, _ in entries}) < len(entries):
                raise ValueError("a sequence appears twice in one batch; expected each at most once; join its tokens")
            for sequence, entry in entries:
                self._check(len(sequence), entry)
            return [self._read(sequence, entry) for sequence, entry in entries]

    def close(self) -> None:
        """Refuse everything from now on; closing twice is allowed."""
        self._closed = True

    @contextmanager
    def used_alone(self) -> Iterator[None]:
        """Refuse a second thread meanwhile, with a RuntimeError."""
        if not self._used.acquire(blocking=False):
            raise RuntimeError("two threads use one engine at once; expected one; use `engines.batching.Batcher`")
        try:
            yield
        finally:
            self._used.release()

    def _read(self, sequence: "ToySequence", entry: Advance) -> Array:
        sequence.tokens.extend(entry.tokens)
        first = len(sequence.tokens) - entry.rows + 1
        logits = np.empty((entry.rows, self._vocab_size), np.float32)
        for row, length in enumerate(range(first, len(sequence.tokens) + 1)):
            logits[row] = self._row(*self._context(sequence.tokens, length))
        return logits

    @staticmethod
    def _context(tokens: abc.Sequence[int], length: int) -> tuple[int, int]:
        """The last two of the first `length` tokens, counted from 1; 0 is the start of the text."""
        return (tokens[length - 2] + 1 if length > 1 else 0), (tokens[length - 1] + 1 if length else 0)

    def _made_row(self, before: int, last: int) -> Array:
        context = before << 32 | last
        row = self._sharpness * self._logistic(context)
        if self._noise:
            row += self._sharpness * self._noise * self._logistic(context | 1 << 63)
        return row.astype(np.float32)

    def _logistic(self, stream: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        key = np.array([self._seed ^ _TABLE_KEY, stream], np.uint64)
        uniform = ((np.random.Philox(key=key).random_raw(self._vocab_size) >> np.uint64(12)) + 0.5) * 2.0**-52
        return np.log(uniform / (1 - uniform))

    def _own(self, sequence: Sequence) -> "ToySequence":
        if not isinstance(sequence, ToySequence) or sequence.engine is not self:
            raise ValueError(f"{sequence!r} is no sequence of this engine; expected one that its open() returned")
        sequence.check_open()
        return sequence

    def _check(self, length: int, entry: Advance) -> None:
        if not 0 <= entry.rows <= len(entry.tokens) or len(entry.tokens) == 0:
            raise ValueError(f"{entry.rows} rows of {len(entry.tokens)} tokens; expected a token, and 0 to all rows")
        if length + len(entry.tokens) > self._card.context_length:
            raise ContextOverflow(
                f"{len(entry.tokens)} more tokens after {length} do not fit; expected at most "
                f"{self._card.context_length} in all; make a ToyEngine with a longer context"
            )
        if min(entry.tokens) < 0 or max(entry.tokens) >= self._vocab_size:
            raise ModelError(f"{list(entry.tokens)} has unknown tokens; expected ids below {self._vocab_size}")

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the engine is closed; expected an open one; make another")


class ToySequence:
    """Implements `engines.base.Sequence`.

    Attributes:
        engine: that opened it.
        tokens: read so far.
    """

    def __init__(self, engine: ToyEngine) -> None:
        self.engine = engine
        self.tokens: list[int] = []
        self._open = True

    def __len__(self) -> int:
        """Tokens read so far."""
        return len(self.tokens)

    def append(self, tokens: abc.Sequence[int], rows: int = 1) -> Array:
        """Read `tokens`; the logits after each of the last `rows`, shape (rows, |V|), float32, owned by the caller.

        Raises:
            ContextOverflow: the tokens do not fit; the sequence is unchanged.
        """
        return self.engine.advance([Advance(self, tokens, rows)])[0]

    def drop(self, length: int) -> None:
        """Forget all but the first `length` tokens (0 ≤ length ≤ len)."""
        self.check_open()
        check_keeps(length, len(self.tokens))
        del self.tokens[length:]

    def close(self) -> None:
        """Give the sequence's place back; closing twice is allowed."""
        if self._open:
            self._open = False
            with self.engine.used_alone():
                self.engine._in_use -= 1

    def check_open(self) -> None:
        """Raise ValueError if the sequence or its engine is closed."""
        self.engine._check_open()
        check_sequence_open(self._open)
