"""A GGUF file loaded by llama.cpp: weights, vocabulary and metadata, and the reasons to refuse it."""

import ctypes
import os
import stat
import weakref
from functools import cached_property
from pathlib import Path
from typing import Any

from cuhlm.engines import libllama
from cuhlm.engines.libllama_file import VERSION
from cuhlm.errors import ModelError

_MAGIC = b"GGUF"
_REMEDY = "use a GGUF file of a decoder-only transformer (Llama, Qwen, Gemma, …)"


class GgufModel:
    """One model in memory; freed by `close`, or when nobody refers to it any more."""

    def __init__(self, path: Path) -> None:
        """Load the file at `path`.

        Raises:
            LibraryError: llama.cpp does not load.
            ModelError: the file is missing, is no GGUF file, or holds a model that cuhlm cannot run.
        """
        _check_file(path)
        self.path = path
        self._lib = libllama.library()
        handle = _load(self._lib, path)
        self._free = weakref.finalize(self, self._lib.llama_model_free, handle)
        self._handle: int = handle
        self._vocab: int = self._lib.llama_model_get_vocab(handle)
        if fault := self._fault():
            self.close()
            raise ModelError(f"{path} holds {fault}; {_REMEDY}")

    @property
    def handle(self) -> int:
        """Address of the ``llama_model``.

        Raises:
            ValueError: the model is closed.
        """
        self._check_open()
        return self._handle

    @property
    def vocab(self) -> int:
        """Address of the ``llama_vocab``.

        Raises:
            ValueError: the model is closed.
        """
        self._check_open()
        return self._vocab

    @property
    def row_length(self) -> int:
        """Logits that a forward pass gives for a position."""
        return int(self._lib.llama_vocab_n_tokens(self.vocab))

    @cached_property
    def vocab_size(self) -> int:
        """Tokens that there are, |V|: without those at the end that a file invents to fill its rows."""
        size = self.row_length
        while size > 1 and self._lib.llama_vocab_get_attr(self.vocab, size - 1) & libllama.TOKEN_UNUSED:
            size -= 1
        return size

    @property
    def trained_context_length(self) -> int:
        """Tokens of context that the model was trained for."""
        return int(self._lib.llama_model_n_ctx_train(self.handle))

    @property
    def name(self) -> str:
        """The model's own name, or its file's."""
        return self.metadata("general.name") or self.path.stem

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes that a BF16 key and value cache takes per token; 0 where the metadata do not say."""
        architecture = self.metadata("general.architecture")

        def number(key: str) -> int:
            value = self.metadata(f"{architecture}.{key}") or ""
            return int(value) if value.isdecimal() else 0

        heads = number("attention.head_count") or 1
        key_length = number("attention.key_length") or number("embedding_length") // heads
        value_length = number("attention.value_length") or key_length
        return 2 * number("block_count") * number("attention.head_count_kv") * (key_length + value_length)

    def metadata(self, key: str) -> str | None:
        """The metadata value under `key` as text; None where the file has none, or a list."""
        length = self._lib.llama_model_meta_val_str(self.handle, key.encode(), None, 0)
        if length < 0:
            return None
        buffer = ctypes.create_string_buffer(length + 1)
        self._lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, length + 1)
        return buffer.value.decode(errors="replace")

    def close(self) -> None:
        """Free the memory; closing twice is allowed."""
        self._free()

    def _check_open(self) -> None:
        if not self._free.alive:
            raise ValueError(f"the model {self.path.name} is closed; expected an open one; load it again")

    def _fault(self) -> str | None:
        lib, handle = self._lib, self._handle
        if lib.llama_model_has_encoder(handle) or not lib.llama_model_has_decoder(handle):
            return "a model with an encoder; expected one that only decodes"
        if lib.llama_model_is_recurrent(handle) or lib.llama_model_is_hybrid(handle):
            return "a recurrent model; expected one that can forget its last tokens, as a rejected draft demands"
        if lib.llama_model_is_diffusion(handle):
            return "a diffusion model; expected one that decodes token after token"
        return None


def _check_file(path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise ModelError(f"the model {path} is no file; expected a GGUF file; check the path")
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ModelError(
            f"the model file {path} cannot be read ({error.strerror}); expected a GGUF file; check the path"
        ) from error
    if magic != _MAGIC:
        raise ModelError(f"{path} begins with {magic!r}; expected a GGUF file, which begins with {_MAGIC!r}; {_REMEDY}")


def _load(lib: Any, path: Path) -> int:
    libllama.take_errors()
    handle = lib.llama_model_load_from_file(os.fsencode(path), lib.llama_model_default_params())
    if not handle:
        raise ModelError(
            f"{path} does not load ({libllama.reason()}); expected a complete GGUF file of a kind that llama.cpp "
            f"{VERSION} knows; download it again, or use another"
        )
    return int(handle)
