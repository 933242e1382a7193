"""GGUF files to and from arrays: the target's and a student's weights, dequantised; metadata copied when writing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ModelError

Floats = npt.NDArray[np.float32]

ARCHITECTURE = "llama"
EMBEDDING = "token_embd.weight"
HEAD = "output.weight"
FINAL_NORM = "output_norm.weight"
LAYER_MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
LAYER_NORMS = ("attn_norm", "ffn_norm")
_UNKNOWN_TENSORS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers that the forward pass of a Llama needs.

    Attributes:
        layers: how many there are.
        width: of the residual stream.
        neurons: of each layer's feed-forward part.
        heads: of the queries.
        kv_heads: of keys and values.
        head_width: entries of one head.
        vocab_size: |V|.
        rope_base: θ of the rotary positions.
        norm_epsilon: added under the root of the RMS norm.
    """

    layers: int
    width: int
    neurons: int
    heads: int
    kv_heads: int
    head_width: int
    vocab_size: int
    rope_base: float
    norm_epsilon: float


@dataclass(frozen=True, slots=True)
class Weights:
    """One model's weights in float32, under the names that GGUF files give them.

    Attributes:
        shape: of the model.
        arrays: name → array; matrices have shape (outputs, inputs).
    """

    shape: Shape
    arrays: Mapping[str, Floats]


def keep_layers(weights: Weights, layers: Sequence[int]) -> Weights:
    """The same model with only the layers numbered `layers`, renumbered from 0."""
    arrays = {name: array for name, array in weights.arrays.items() if not name.startswith("blk.")}
    for new, old in enumerate(layers):
        for part in LAYER_MATRICES + LAYER_NORMS:
            arrays[layer_name(new, part)] = weights.arrays[layer_name(old, part)]
    return Weights(replace(weights.shape, layers=len(layers)), arrays)


def with_neurons(weights: Weights, neurons: int, arrays: Mapping[str, Floats]) -> Weights:
    """The same model with other feed-forward matrices, of so many neurons."""
    return Weights(replace(weights.shape, neurons=neurons), dict(weights.arrays) | dict(arrays))


def layer_name(layer: int, part: str) -> str:
    """The name of a layer's weight in a GGUF file."""
    return f"blk.{layer}.{part}.weight"


def read_shape(path: Path) -> Shape:
    """The numbers of a Llama, without its weights.

    Raises:
        ModelError: the file is no GGUF file, or holds another architecture.
    """
    return _shape(path, _open(path))


def read_weights(path: Path) -> Weights:
    """Read and dequantise all weights of a Llama.

    Raises:
        ModelError: the file is no GGUF file, holds another architecture, or tensors that the forward pass lacks.
    """
    reader = _open(path)
    shape = _shape(path, reader)
    arrays = {tensor.name: _dequantised(tensor) for tensor in reader.tensors}
    expected = set(_expected_names(shape.layers))
    if missing := sorted(expected - set(arrays)):
        raise ModelError(f"{path} lacks {', '.join(missing[:_UNKNOWN_TENSORS_NAMED])}; expected a complete Llama")
    if unknown := sorted(set(arrays) - expected - {HEAD}):
        raise ModelError(
            f"{path} holds {', '.join(unknown[:_UNKNOWN_TENSORS_NAMED])}, which distillation does not know; expected a "
            "plain Llama (no biases, no scaled rotary positions); use another target"
        )
    return Weights(shape, arrays)


def _open(path: Path) -> Any:
    from gguf import GGUFReader  # noqa: PLC0415 - an optional extra

    try:
        return GGUFReader(path)
    except (OSError, ValueError, LookupError) as error:  # the last where a file ends within its metadata
        raise ModelError(f"{path} is no readable GGUF file ({error}); expected one; check the path") from error


def _expected_names(layers: int) -> Iterator[str]:
    yield EMBEDDING
    yield FINAL_NORM
    for layer in range(layers):
        for part in LAYER_MATRICES + LAYER_NORMS:
            yield layer_name(layer, part)


def _dequantised(tensor: Any) -> Floats:
    from gguf.quants import dequantize  # noqa: PLC0415

    return np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)


def _shape(path: Path, reader: Any) -> Shape:
    def value(key: str, default: Any = None) -> Any:
        field = reader.get_field(key)
        if field is None and default is None:
            raise ModelError(f"{path} does not say its {key}; expected a complete GGUF file of a Llama")
        return default if field is None else field.contents()

    architecture = value("general.architecture")
    if architecture != ARCHITECTURE:
        raise ModelError(
            f"{path} holds a model of the architecture {architecture!r}; expected {ARCHITECTURE!r}, the only one that "
            "distillation trains; use a target of that kind"
        )
    scale = float(value("llama.rope.scaling.factor", value("llama.rope.scale_linear", 1.0)))
    if value("llama.rope.scaling.type", "linear") != "none" and scale not in (0.0, 1.0):  # 0 means none, too
        raise ModelError(
            f"{path} scales its rotary positions (by {scale:g}); expected a plain Llama; use another target"
        )
    width, heads = int(value("llama.embedding_length")), int(value("llama.attention.head_count"))
    return Shape(
        layers=int(value("llama.block_count")),
        width=width,
        neurons=int(value("llama.feed_forward_length")),
        heads=heads,
        kv_heads=int(value("llama.attention.head_count_kv", heads)),
        head_width=int(value("llama.rope.dimension_count", width // heads)),
        vocab_size=len(value("tokenizer.ggml.tokens")),
        rope_base=float(value("llama.rope.freq_base", 10000.0)),
        norm_epsilon=float(value("llama.attention.layer_norm_rms_epsilon")),
    )
