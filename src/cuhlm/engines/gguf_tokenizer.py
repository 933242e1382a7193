"""The tokenizer in a GGUF file, run by llama.cpp."""

import ctypes
from collections.abc import Sequence
from functools import cached_property

from cuhlm.engines import chat_template, libllama
from cuhlm.engines.gguf_model import GgufModel

_PIECE_BYTES = 64


class GgufTokenizer:
    """Implements `engines.base.Tokenizer`; usable as long as its model is open."""

    def __init__(self, model: GgufModel) -> None:
        self._model = model
        self._lib = libllama.library()

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end a turn or a text, as llama.cpp knows them."""
        vocab, is_end = self._model.vocab, self._lib.llama_vocab_is_eog
        return frozenset(token for token in range(self._model.vocab_size) if is_end(vocab, token))

    def vocabulary(self) -> list[bytes]:
        """The bytes that each token id stands for, in order; of a control token, its name."""
        return list(self._vocabulary)

    def tokenize(self, text: str) -> list[int]:
        """Tokens of `text`, special tokens in it recognised; the model's start token in front, once, if it wants one.

        llama.cpp could add the start token itself, but adds a second one to a chat prompt that already begins with it,
        and with some models an end token too, after which there is nothing to continue.
        """
        vocab = self._model.vocab
        tokens = self._tokens(text.encode(errors="replace"))
        start: int = self._lib.llama_vocab_bos(vocab)
        if self._lib.llama_vocab_get_add_bos(vocab) and tokens[:1] != [start]:
            return [start, *tokens]
        return tokens

    def piece(self, token: int) -> bytes:
        """The bytes that `token` adds to the text; empty for control tokens. May be part of a character."""
        return self._bytes_of(token, names_controls=False)

    def render_chat(self, messages: Sequence[tuple[str, str]]) -> str:
        """The prompt text of (role, content) messages; without a chat template, their contents alone.

        Raises:
            ModelError: the template fails on these messages.
        """
        template = self._model.metadata("tokenizer.chat_template")
        if template is None:
            return chat_template.plain(messages)
        start, end = (self._special(function) for function in ("llama_vocab_bos", "llama_vocab_eos"))
        return chat_template.render(template, messages, start=start, end=end)

    @cached_property
    def _vocabulary(self) -> tuple[bytes, ...]:
        return tuple(self._bytes_of(token, names_controls=True) for token in range(self._model.vocab_size))

    def _special(self, function: str) -> str:
        token = getattr(self._lib, function)(self._model.vocab)
        return self._bytes_of(token, names_controls=True).decode(errors="replace") if token >= 0 else ""

    def _bytes_of(self, token: int, *, names_controls: bool) -> bytes:
        size = _PIECE_BYTES
        while True:
            buffer = ctypes.create_string_buffer(size)
            length: int = self._lib.llama_token_to_piece(self._model.vocab, token, buffer, size, 0, names_controls)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def _tokens(self, text: bytes) -> list[int]:
        size = len(text) + 1  # no tokenizer makes more tokens than bytes, but for a space it puts in front
        while True:
            buffer = (ctypes.c_int32 * size)()
            count: int = self._lib.llama_tokenize(self._model.vocab, text, len(text), buffer, size, False, True)
            if count >= 0:
                return buffer[:count]
            size = -count
