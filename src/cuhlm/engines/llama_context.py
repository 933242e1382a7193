"""A llama.cpp context: the key and value cache of a model's sequences, and the forward pass that fills it.

Bits decide three settings here (design 3, Numerics). Flash attention is forced on and keys and values are cached as
BF16, since with llama.cpp's defaults a position's logits depend on the rest of the forward pass. And every sequence
has a stretch of the cache of its own (``kv_unified`` off): in a shared cache, a sequence that goes on in cells which
another left free has its cells out of order, attention adds up in another order, and logits move by up to 0.9.
"""

import ctypes
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cuhlm.engines import libllama
from cuhlm.engines.gguf_model import GgufModel
from cuhlm.errors import ModelError
from cuhlm.messages import Array

PASS_TOKENS = 256
"""Tokens in one forward pass. More is no faster (measured up to 512) and takes memory for as many logit rows."""

_FLOATS = ctypes.POINTER(ctypes.c_float)
_CELLS = 256  # llama.cpp makes a sequence's stretch of the cache a multiple of this
_MEMORY_INFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens that one sequence reads next.

    Attributes:
        place: the sequence's number in the context.
        position: of the first of the tokens.
        tokens: ids, at least one.
        rows: how many of the last tokens to return logits for.
    """

    place: int
    position: int
    tokens: Sequence[int]
    rows: int


class LlamaContext:
    """Room for `sequences` sequences of `context_length` tokens; knows places and positions, not who uses them."""

    def __init__(self, model: GgufModel, *, context_length: int, sequences: int, threads: int) -> None:
        """Make a context.

        Raises:
            ModelError: the cache does not fit into memory, or llama.cpp refuses the model.
        """
        _check_memory(model, context_length, sequences)
        self._lib: Any = libllama.library()
        self._handle = _new_context(self._lib, model, context_length, sequences, threads)
        self._in_use = threading.RLock()
        # Holding the model keeps it alive until the context, which points into it, is freed. That may be at the
        # program's end, while a thread that nobody waited for is in a forward pass.
        self._free = weakref.finalize(self, _free, self._lib, self._handle, model, self._in_use)
        self._memory: int | None = self._lib.llama_get_memory(self._handle)
        self._vocab_size, self._row_length = model.vocab_size, model.row_length
        self._place_ids = np.arange(sequences, dtype=np.int32)
        if self._memory is None:
            self.close()
            raise ModelError(
                f"{model.path} holds a model without a cache, so one that only embeds text; expected one that "
                "continues it; use another model"
            )

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return not self._free.alive

    def evaluate(self, spans: Sequence[Span]) -> Array:
        """Read all spans; the logits asked for, span after span.

        Returns:
            Raw logits, shape (sum of rows, |V|), float32, owned by the caller.

        Raises:
            ModelError: a forward pass failed; the cache is as it was before the call.
        """
        with self._in_use:
            self.check_open()
            try:
                return self._evaluate(_flattened(spans))
            except BaseException:  # an interrupt, too, must leave the cache as its user believes it to be
                for span in spans:
                    self.drop(span.place, span.position)
                raise

    def drop(self, place: int, length: int) -> None:
        """Forget all but the first `length` tokens of the sequence at `place`."""
        with self._in_use:
            self.check_open()
            self._lib.llama_memory_seq_rm(self._memory, place, length, -1)

    def close(self) -> None:
        """Free the cache; closing twice is allowed."""
        self._free()

    def check_open(self) -> None:
        """Raise ValueError if the context is closed."""
        if self.closed:
            raise ValueError("the engine is closed; expected an open one; load the model again")

    def _evaluate(self, flat: "_Flat") -> Array:
        logits = np.empty((np.count_nonzero(flat.wanted), self._vocab_size), np.float32)
        done = 0
        for part in flat.parts(PASS_TOKENS):
            self._forward(part)
            rows = int(np.count_nonzero(part.wanted))
            if rows:
                logits[done : done + rows] = self._last_logits(rows)
            done += rows
        return logits

    def _last_logits(self, rows: int) -> Array:
        """What the last forward pass left, without what fills its rows; the library's own memory."""
        address = self._lib.llama_get_logits(self._handle)
        held: Array = np.ctypeslib.as_array(ctypes.cast(address, _FLOATS), (rows, self._row_length))
        return held[:, : self._vocab_size]

    def _forward(self, flat: "_Flat") -> None:
        # Every token belongs to one sequence: a count of 1, and the address of that sequence's number.
        counts = np.ones_like(flat.tokens)
        numbers = (self._place_ids.ctypes.data + flat.places * self._place_ids.itemsize).astype(np.uintp)
        batch = libllama.Batch(
            n_tokens=len(flat.tokens),
            token=flat.tokens.ctypes.data,
            pos=flat.positions.ctypes.data,
            n_seq_id=counts.ctypes.data,
            seq_id=numbers.ctypes.data,
            logits=flat.wanted.ctypes.data,
        )
        libllama.forget_errors()
        status = self._lib.llama_decode(self._handle, batch)
        if status:
            raise ModelError(
                f"llama.cpp's forward pass over {len(flat.tokens)} tokens ends with status {status} "
                f"({libllama.reason()}); expected 0; load the model again"
            )


@dataclass(frozen=True, slots=True)
class _Flat:
    """Spans laid end to end: four contiguous arrays of shape (tokens,)."""

    tokens: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]
    places: npt.NDArray[np.int64]
    wanted: npt.NDArray[np.int8]

    def parts(self, size: int) -> Iterator["_Flat"]:
        """Pieces of at most `size` tokens."""
        for start in range(0, len(self.tokens), size):
            part = slice(start, start + size)
            yield _Flat(self.tokens[part], self.positions[part], self.places[part], self.wanted[part])


def _flattened(spans: Sequence[Span]) -> _Flat:
    size = sum(len(span.tokens) for span in spans)
    flat = _Flat(np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int64), np.zeros(size, np.int8))
    start = 0
    for span in spans:
        end = start + len(span.tokens)
        flat.tokens[start:end] = span.tokens
        flat.positions[start:end] = np.arange(span.position, span.position + len(span.tokens))
        flat.places[start:end] = span.place
        flat.wanted[end - span.rows : end] = 1
        start = end
    return flat


def _new_context(lib: Any, model: GgufModel, context_length: int, sequences: int, threads: int) -> int:
    params = lib.llama_context_default_params()
    params.n_ctx = _padded(context_length) * sequences
    params.n_batch = params.n_ubatch = PASS_TOKENS
    params.n_seq_max = sequences
    params.n_threads = params.n_threads_batch = threads
    params.flash_attn_type = libllama.FLASH_ATTENTION_ON
    params.type_k = params.type_v = libllama.TYPE_BF16
    params.kv_unified = False
    libllama.forget_errors()
    handle = lib.llama_init_from_model(model.handle, params)
    if not handle:
        raise ModelError(
            f"llama.cpp makes no context of {sequences} × {context_length} tokens for {model.path} "
            f"({libllama.reason()}); expected a model that runs with flash attention and a BF16 cache, and enough "
            "memory; ask for a shorter context or fewer sequences, or use another model"
        )
    return int(handle)


def _check_memory(model: GgufModel, context_length: int, sequences: int) -> None:
    """Refuse what the system would grant at first and then kill the process for."""
    wanted = model.cache_bytes_per_token * _padded(context_length) * sequences
    available = _available_bytes()
    if available is not None and wanted > available:
        raise ModelError(
            f"a cache of {sequences} × {context_length} tokens takes {wanted / 1e9:.1f} GB for {model.name}; expected "
            f"at most the {available / 1e9:.1f} GB that are free; ask for a shorter context or fewer sequences"
        )


def _available_bytes() -> int | None:
    try:
        fields = dict(line.split(":", 1) for line in _MEMORY_INFO.read_text().splitlines())
        return int(fields["MemAvailable"].removesuffix("kB")) * 1024
    except (OSError, KeyError, ValueError):  # no Linux
        return None


def _padded(context_length: int) -> int:
    return -(-context_length // _CELLS) * _CELLS


def _free(lib: Any, handle: int, _model: GgufModel, in_use: threading.RLock) -> None:
    with in_use:
        lib.llama_free(handle)
