"""The part of llama.cpp's C API that cuhlm calls, declared for ctypes (design 3).

The library is the extension module of the PyPI package `xllamacpp`, which exports that API; it is opened as a plain
shared library (`libllama_file`), and the package's Python code never runs. Declarations and library must agree to the
byte: `library` checks the values that the library's own default parameters are known to have.
"""

import atexit
import ctypes
import functools
from collections.abc import Mapping
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int32, c_size_t, c_uint8, c_uint32, c_void_p
from pathlib import Path
from types import MappingProxyType

from cuhlm.engines.libllama_file import VERSION, library_file, open_library, reinstall_remedy
from cuhlm.errors import LibraryError

FLASH_ATTENTION_ON = 1
TYPE_BF16 = 30
TOKEN_UNKNOWN, TOKEN_UNUSED, TOKEN_CONTROL, TOKEN_USER_DEFINED = 1 << 0, 1 << 1, 1 << 3, 1 << 4  # of llama_token_attr


class ModelParams(ctypes.Structure):
    """``llama_model_params``."""

    _fields_ = (
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int32),
        ("load_mode", c_int32),
        ("lazy_mode", c_int32),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("vocab_only", c_bool),
        ("check_tensors", c_bool),
        ("use_extra_bufts", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
    )


class ContextParams(ctypes.Structure):
    """``llama_context_params``."""

    _fields_ = (
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("ctx_type", c_int32),
        ("rope_scaling_type", c_int32),
        ("pooling_type", c_int32),
        ("attention_type", c_int32),
        ("flash_attn_type", c_int32),
        ("rope_freq_base", c_float),
        ("rope_freq_scale", c_float),
        ("yarn_ext_factor", c_float),
        ("yarn_attn_factor", c_float),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int32),
        ("type_v", c_int32),
        ("moe_cache_size", c_size_t),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        ("embeddings", c_bool),
        ("offload_kqv", c_bool),
        ("no_perf", c_bool),
        ("op_offload", c_bool),
        ("swa_full", c_bool),
        ("kv_unified", c_bool),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    )


class Batch(ctypes.Structure):
    """``llama_batch``; the pointers are plain addresses, of numpy arrays."""

    _fields_ = (
        ("n_tokens", c_int32),
        ("token", c_void_p),
        ("embd", c_void_p),
        ("pos", c_void_p),
        ("n_seq_id", c_void_p),
        ("seq_id", c_void_p),
        ("logits", c_void_p),
    )


# The library hands over user data, too, which C lets a callee not look at.
_LogCallback = ctypes.CFUNCTYPE(None, c_int32, c_char_p)

# Models, contexts, vocabularies and memories are opaque: c_void_p.
_FUNCTIONS: Mapping[str, tuple[object, tuple[object, ...]]] = MappingProxyType(
    {
        "llama_log_set": (None, (_LogCallback, c_void_p)),
        "llama_backend_init": (None, ()),
        "llama_model_default_params": (ModelParams, ()),
        "llama_context_default_params": (ContextParams, ()),
        "llama_model_load_from_file": (c_void_p, (c_char_p, ModelParams)),
        "llama_model_free": (None, (c_void_p,)),
        "llama_model_get_vocab": (c_void_p, (c_void_p,)),
        "llama_model_n_ctx_train": (c_int32, (c_void_p,)),
        "llama_model_meta_val_str": (c_int32, (c_void_p, c_char_p, c_char_p, c_size_t)),
        "llama_model_has_encoder": (c_bool, (c_void_p,)),
        "llama_model_has_decoder": (c_bool, (c_void_p,)),
        "llama_model_is_recurrent": (c_bool, (c_void_p,)),
        "llama_model_is_hybrid": (c_bool, (c_void_p,)),
        "llama_model_is_diffusion": (c_bool, (c_void_p,)),
        "llama_init_from_model": (c_void_p, (c_void_p, ContextParams)),
        "llama_free": (None, (c_void_p,)),
        "llama_get_memory": (c_void_p, (c_void_p,)),
        "llama_memory_seq_rm": (c_bool, (c_void_p, c_int32, c_int32, c_int32)),
        "llama_decode": (c_int32, (c_void_p, Batch)),
        "llama_get_logits": (c_void_p, (c_void_p,)),
        "llama_vocab_n_tokens": (c_int32, (c_void_p,)),
        "llama_vocab_get_attr": (c_int32, (c_void_p, c_int32)),
        "llama_vocab_get_add_bos": (c_bool, (c_void_p,)),
        "llama_vocab_bos": (c_int32, (c_void_p,)),
        "llama_vocab_eos": (c_int32, (c_void_p,)),
        "llama_vocab_is_eog": (c_bool, (c_void_p, c_int32)),
        "llama_tokenize": (c_int32, (c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool)),
        "llama_token_to_piece": (c_int32, (c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool)),
    }
)

_KNOWN_DEFAULTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "llama_context_default_params": {
            "n_ctx": 512,
            "n_batch": 2048,
            "n_ubatch": 512,
            "n_seq_max": 1,
            "rope_scaling_type": -1,
            "pooling_type": -1,
            "attention_type": -1,
            "flash_attn_type": -1,
            "yarn_orig_ctx": 0,
            "defrag_thold": -1.0,
            "type_k": 1,
            "type_v": 1,
            "moe_cache_size": 0,
            "embeddings": False,
            "offload_kqv": True,
            "no_perf": True,
            "op_offload": True,
            "swa_full": True,
            "kv_unified": False,
            "n_samplers": 0,
            "ctx_other": None,
        },
        "llama_model_default_params": {
            "n_gpu_layers": -1,
            "split_mode": 1,
            "load_mode": -1,
            "lazy_mode": 1,
            "main_gpu": 0,
            "kv_overrides": None,
            "vocab_only": False,
            "check_tensors": False,
            "use_extra_bufts": True,
            "no_host": False,
            "no_alloc": False,
            "load_mtp": False,
        },
    }
)

_LOG_LEVEL_ERROR = 4
_FIRST_LINES: dict[int, bytes] = {}
"""The first line that llama.cpp logged at each level since they were last forgotten."""

# No function of ours: while a model loads, Python would handle signals in it, and what a handler raises in a callback
# is lost, so that an interrupt did nothing. The library holds only its address: it has to live as long as the process.
_KEEP_FIRST = _LogCallback(_FIRST_LINES.setdefault)


def forget_errors() -> None:
    """Begin to listen for errors."""
    _FIRST_LINES.clear()


def reason() -> str:
    """The first error that llama.cpp has logged since errors were forgotten; those that follow it are less exact."""
    return _FIRST_LINES.get(_LOG_LEVEL_ERROR, b"llama.cpp gives no reason").decode(errors="replace").strip()


@functools.cache
def library() -> ctypes.CDLL:
    """The llama.cpp library, opened, checked and silenced on the first call.

    Raises:
        LibraryError: it is missing, does not load, or has another layout than the one declared here.
    """
    path = library_file()
    opened = open_library(path)
    _declare(opened, path)
    _check_defaults(opened, path)
    opened.llama_log_set(_KEEP_FIRST, None)
    # A callback into Python must not outlive the interpreter: a library may log while the process ends.
    atexit.register(opened.llama_log_set, _LogCallback(), None)
    opened.llama_backend_init()
    return opened


def _declare(opened: ctypes.CDLL, path: Path) -> None:
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            function = getattr(opened, name)
        except AttributeError as error:
            raise LibraryError(
                f"{path} lacks {name}; expected the llama.cpp of xllamacpp {VERSION}; {reinstall_remedy()}"
            ) from error
        function.restype, function.argtypes = result, arguments


def _check_defaults(opened: ctypes.CDLL, path: Path) -> None:
    for name, expected in _KNOWN_DEFAULTS.items():
        # A library of another layout may return a longer struct than declared, and must not write past its end.
        function = opened[name]
        function.restype = _with_reserve(getattr(opened, name).restype)
        params = function()
        differing = [
            f"{field} is {getattr(params, field)} instead of {value}"
            for field, value in expected.items()
            if getattr(params, field) != value
        ]
        if differing:
            raise LibraryError(
                f"{name}() of {path} differs: {', '.join(differing)}; expected the defaults of xllamacpp {VERSION}, "
                f"so the library has another layout; {reinstall_remedy()}"
            )


def _with_reserve(struct: type[ctypes.Structure]) -> type[ctypes.Structure]:
    class WithReserve(struct):  # type: ignore[misc, valid-type]
        _fields_ = (("reserve", c_uint8 * 512),)

    return WithReserve
