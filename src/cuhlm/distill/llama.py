"""A Llama in plain PyTorch: the forward pass of the target and of the student, on weights in GGUF's layout."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from cuhlm.distill.gguf_weights import (
    EMBEDDING,
    FINAL_NORM,
    HEAD,
    LAYER_MATRICES,
    LAYER_NORMS,
    Shape,
    Weights,
    layer_name,
)

_CACHE_STEP = 64
_ROWS_PER_PASS = 4


@dataclass(slots=True)
class Layer:
    """One layer's weights: matrices of shape (outputs, inputs) in the compute dtype, norms in float32."""

    attn_norm: Tensor
    attn_q: Tensor
    attn_k: Tensor
    attn_v: Tensor
    attn_output: Tensor
    ffn_norm: Tensor
    ffn_gate: Tensor
    ffn_up: Tensor
    ffn_down: Tensor


@dataclass(slots=True)
class Cache:
    """Keys and values of the positions read so far, for rows that are all equally long.

    It grows in steps of 64 positions and is always used whole, the unused end masked: a product with a part of it
    copies that part first, on a CPU a third of the time of a step.

    Attributes:
        keys, values: per layer, shape (rows · kv heads, room for positions, head width).
        length: positions read.
    """

    keys: list[Tensor]
    values: list[Tensor]
    length: int = 0


@dataclass(frozen=True, slots=True)
class Llama:
    """Weights as tensors, and what they mean.

    Attributes:
        shape: the numbers of the forward pass; `shape.layers == len(layers)`.
        embedding: shape (|V|, width).
        layers: first to last.
        final_norm: shape (width,), float32.
        head: shape (|V|, width); the embedding itself where the two are tied.
    """

    shape: Shape
    embedding: Tensor
    layers: Sequence[Layer]
    final_norm: Tensor
    head: Tensor

    @classmethod
    def of(cls, weights: Weights, *, device: torch.device, dtype: torch.dtype) -> Self:
        """The model with these weights, on `device`; norms stay in float32."""

        def tensor(name: str, kind: torch.dtype) -> Tensor:
            return torch.tensor(weights.arrays[name], device=device, dtype=kind)

        layers = [
            Layer(
                **{part: tensor(layer_name(index, part), dtype) for part in LAYER_MATRICES},
                **{part: tensor(layer_name(index, part), torch.float32) for part in LAYER_NORMS},
            )
            for index in range(weights.shape.layers)
        ]
        embedding = tensor(EMBEDDING, dtype)
        head = tensor(HEAD, dtype) if HEAD in weights.arrays else embedding
        return cls(weights.shape, embedding, layers, tensor(FINAL_NORM, torch.float32), head)

    def keeping(self, layers: Sequence[int]) -> "Llama":
        """The same model with only the layers numbered `layers`."""
        return replace(
            self, shape=replace(self.shape, layers=len(layers)), layers=[self.layers[index] for index in layers]
        )

    def new_cache(self, rows: int) -> Cache:
        """An empty cache for `rows` rows."""
        size = (rows * self.shape.kv_heads, 0, self.shape.head_width)
        keys, values = ([self.embedding.new_zeros(size) for _ in self.layers] for _ in range(2))
        return Cache(keys, values)

    def hidden(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """The residual stream after the last norm; `logits` makes logits of it.

        Args:
            tokens: ids, shape (rows, positions); with a cache, one position.
            cache: of the positions before; is grown. None reads from position 0 and remembers nothing.

        Returns:
            shape (rows, positions, width), in the compute dtype.
        """
        return self.normed(self.through(self.embedded(tokens), range(self.shape.layers), cache))

    def embedded(self, tokens: Tensor) -> Tensor:
        """The residual stream before the first layer, shape (rows, positions, width)."""
        return functional.embedding(tokens, self.embedding)

    def through(self, stream: Tensor, layers: Sequence[int], cache: Cache | None = None) -> Tensor:
        """The stream after the layers numbered `layers`, same shape."""
        start = cache.length if cache else 0
        rotation = _rotation(self.shape, start, stream.shape[1], stream.device)
        for index in layers:
            stream = self._layer(self.layers[index], stream, rotation, cache, index)
        if cache:
            cache.length += stream.shape[1]
        return stream

    def attended(self, layer: Layer, stream: Tensor) -> Tensor:
        """The stream after a layer's attention, from position 0, same shape."""
        return self._attended(layer, stream, _rotation(self.shape, 0, stream.shape[1], stream.device), None, 0)

    def neurons(self, layer: Layer, stream: Tensor) -> Tensor:
        """The values of a layer's neurons, given the stream after its attention; shape (rows, positions, neurons)."""
        normed = _norm(stream, layer.ffn_norm, self.shape.norm_epsilon)
        return functional.silu(functional.linear(normed, layer.ffn_gate)) * functional.linear(normed, layer.ffn_up)

    def normed(self, stream: Tensor) -> Tensor:
        """The stream after the last norm, same shape."""
        return _norm(stream, self.final_norm, self.shape.norm_epsilon)

    def logits(self, hidden: Tensor) -> Tensor:
        """Raw logits, shape (…, |V|), float32."""
        return functional.linear(hidden, self.head).float()

    def _layer(
        self, layer: Layer, stream: Tensor, rotation: tuple[Tensor, Tensor], cache: Cache | None, index: int
    ) -> Tensor:
        stream = self._attended(layer, stream, rotation, cache, index)
        return stream + functional.linear(self.neurons(layer, stream), layer.ffn_down)

    def _attended(
        self, layer: Layer, stream: Tensor, rotation: tuple[Tensor, Tensor], cache: Cache | None, index: int
    ) -> Tensor:
        normed = _norm(stream, layer.attn_norm, self.shape.norm_epsilon)
        return stream + self._attention(layer, normed, rotation, cache, index)

    def _attention(
        self, layer: Layer, normed: Tensor, rotation: tuple[Tensor, Tensor], cache: Cache | None, index: int
    ) -> Tensor:
        rows, positions, _ = normed.shape
        heads, kv_heads, width = self.shape.heads, self.shape.kv_heads, self.shape.head_width
        queries = functional.linear(normed, layer.attn_q).view(rows, positions, heads, width)
        keys = functional.linear(normed, layer.attn_k).view(rows, positions, kv_heads, width)
        values = functional.linear(normed, layer.attn_v).view(rows, positions, kv_heads, width).transpose(1, 2)
        queries, keys = _rotate(queries, rotation).transpose(1, 2), _rotate(keys, rotation).transpose(1, 2)
        if cache:
            attended = _attend_one(queries, *_remember(cache, index, keys, values), cache.length + 1)
        else:
            attended = _attend_all(queries, keys.flatten(0, 1), values.flatten(0, 1))
        return functional.linear(attended.reshape(rows, positions, heads * width), layer.attn_output)


def by_rows(rows: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
    """`make` of a few rows at a time, joined: what it holds meanwhile is several times as large as what it makes."""
    starts = range(0, len(rows), _ROWS_PER_PASS)
    return torch.cat([make(rows[start : start + _ROWS_PER_PASS]) for start in starts])


def _norm(stream: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    wide = stream.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon) * weight).to(stream.dtype)


def _rotation(shape: Shape, start: int, positions: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines, shape (positions, 1, head width / 2), float32."""
    exponents = torch.arange(0, shape.head_width, 2, device=device, dtype=torch.float32) / shape.head_width
    angles = torch.outer(
        torch.arange(start, start + positions, device=device, dtype=torch.float32), shape.rope_base**-exponents
    )
    return angles.cos()[:, None], angles.sin()[:, None]


def _rotate(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions on neighbouring pairs, which is how GGUF files of Llamas lay out queries and keys."""
    cosines, sines = rotation
    even, odd = heads.float().view(*heads.shape[:-1], -1, 2).unbind(-1)
    turned = torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), -1)
    return turned.flatten(-2).to(heads.dtype)


def _remember(cache: Cache, index: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Add one position to the cache; all that it then holds of the layer, unused room included."""
    if cache.length == cache.keys[index].shape[1]:
        room = (0, 0, 0, _CACHE_STEP)
        cache.keys[index] = functional.pad(cache.keys[index], room)
        cache.values[index] = functional.pad(cache.values[index], room)
    cache.keys[index][:, cache.length] = keys.flatten(0, 2)
    cache.values[index][:, cache.length] = values.flatten(0, 2)
    return cache.keys[index], cache.values[index]


def _attend_one(queries: Tensor, keys: Tensor, values: Tensor, length: int) -> Tensor:
    """Attention of one new position per row to the first `length`; shape (rows, 1, heads, head width)."""
    rows, heads, _, width = queries.shape
    grouped = queries.reshape(keys.shape[0], -1, width)
    scores = torch.bmm(grouped, keys.transpose(-1, -2)).float() * width**-0.5
    scores[:, :, length:] = -torch.inf
    return torch.bmm(scores.softmax(-1).to(values.dtype), values).view(rows, 1, heads, width)


def _attend_all(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of every position to itself and those before; shape (rows, positions, heads, head width).

    Plain products: on a CPU, forward and backward take half the time of PyTorch's fused attention.
    """
    rows, heads, positions, width = queries.shape
    grouped = queries.reshape(keys.shape[0], -1, width)
    later = queries.new_full((positions, positions), -torch.inf).triu(1).repeat(grouped.shape[1] // positions, 1)
    scores = torch.baddbmm(later, grouped, keys.transpose(-1, -2), alpha=width**-0.5)
    return torch.bmm(scores.softmax(-1), values).view(rows, heads, positions, width).transpose(1, 2)
