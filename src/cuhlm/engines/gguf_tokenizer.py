"""The tokenizer in a GGUF file, run by llama.cpp."""

import ctypes
from functools import cached_property

from cuhlm.engines import libllama
from cuhlm.engines.gguf_model import GgufModel
from cuhlm.errors import ConfigurationError
from cuhlm.messages import ChatFormat

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

    @cached_property
    def control_names(self) -> frozenset[str]:
        """Texts that `tokenize` takes for control tokens."""
        return self._names(libllama.TOKEN_CONTROL | libllama.TOKEN_UNKNOWN)

    @cached_property
    def added_names(self) -> frozenset[str]:
        """Texts that it takes for other tokens that were added whole."""
        return self._names(libllama.TOKEN_USER_DEFINED)

    @cached_property
    def chat(self) -> ChatFormat:
        """The file's chat template, and the tokens that a prompt begins and ends with."""
        return ChatFormat(
            self._model.metadata("tokenizer.chat_template") or "",
            self._special("llama_vocab_bos"),
            self._special("llama_vocab_eos"),
            bool(self._lib.llama_vocab_get_add_bos(self._model.vocab)),
        )

    def tokenize(self, text: str) -> list[int]:
        """Tokens of `text`, special tokens in it recognised.

        llama.cpp could add the start token, but adds a second one to a chat prompt that already begins with it, and
        with some models an end token too, after which there is nothing to continue.

        Raises:
            ConfigurationError: half a surrogate pair is in it, which stands for no character.
        """
        return self._tokens(utf8(text))

    def piece(self, token: int) -> bytes:
        """The bytes that `token` adds to the text; empty for control tokens. May be part of a character."""
        return self._bytes_of(token, names_controls=False)

    @cached_property
    def _vocabulary(self) -> tuple[bytes, ...]:
        return tuple(self._bytes_of(token, names_controls=True) for token in range(self._model.vocab_size))

    @cached_property
    def _attributes(self) -> tuple[int, ...]:
        """``llama_token_attr`` of each token; a tenth of a second for 150 000."""
        vocab, attributes_of = self._model.vocab, self._lib.llama_vocab_get_attr
        return tuple(attributes_of(vocab, token) for token in range(self._model.vocab_size))

    def _names(self, attributes: int) -> frozenset[str]:
        found = (token for token, has in enumerate(self._attributes) if has & attributes)
        names = (self._bytes_of(token, names_controls=True).decode(errors="replace") for token in found)
        return frozenset(name for name in names if name)

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


def utf8(text: str) -> bytes:
    """`text` as bytes.

    Raises:
        ConfigurationError: it cannot be: half a surrogate pair is in it, as from a command line that is no UTF-8.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"the text holds {text[error.start]!r}, which is no character; expected Unicode; "
            "is it in another encoding than UTF-8?"
        ) from error
