"""The student in training: latent weights in float32, and the rounded ones that its forward pass sees."""

from dataclasses import replace

import torch
from torch import Tensor

from cuhlm.distill.gguf_weights import (
    EMBEDDING,
    FINAL_NORM,
    HEAD,
    LAYER_MATRICES,
    LAYER_NORMS,
    Floats,
    Weights,
    layer_name,
)
from cuhlm.distill.llama import Llama
from cuhlm.distill.rounding import round_q4_0, spread_within_bins


class Student:
    """A Llama whose layers are trained; embedding and head stay as they are, rounded once.

    Gradients go to the tensors of the forward pass and are handed to the latent weights by `collect_gradients`: that
    is straight-through rounding and mixed precision in one.
    """

    def __init__(
        self, weights: Weights, *, device: torch.device, dtype: torch.dtype, generator: torch.Generator
    ) -> None:
        """Take over `weights`; matrices read from a 4-bit file are spread within their bins, by `generator`."""
        self.shape = weights.shape
        self._frozen = {name: weights.arrays[name] for name in (EMBEDDING, HEAD) if name in weights.arrays}
        trained = {name: array for name, array in weights.arrays.items() if name not in self._frozen}
        self.latent = {name: _latent(torch.tensor(array, device=device), generator) for name, array in trained.items()}
        rounded = {name: _rounded(array) for name, array in self._frozen.items()}
        self.llama = Llama.of(replace(weights, arrays=trained | rounded), device=device, dtype=dtype)
        self._seen = self._forward_tensors()
        for tensor in self._seen.values():
            tensor.requires_grad_(True)
        self.refresh()

    def refresh(self) -> None:
        """Show the latent weights, rounded, to the forward pass."""
        with torch.no_grad():
            for name, tensor in self._seen.items():
                latent = self.latent[name]
                tensor.copy_(round_q4_0(latent) if _is_matrix(latent) else latent)

    def collect_gradients(self) -> None:
        """Add what the last backward pass left to the latent weights' gradients, in float32."""
        for name, tensor in self._seen.items():
            if tensor.grad is not None:
                latent = self.latent[name]
                latent.grad = tensor.grad.float() if latent.grad is None else latent.grad.add_(tensor.grad)
                tensor.grad = None

    def weights(self) -> Weights:
        """The latent weights and the frozen ones, for a file."""
        trained = {name: tensor.detach().cpu().numpy() for name, tensor in self.latent.items()}
        return Weights(self.shape, self._frozen | trained)

    def _forward_tensors(self) -> dict[str, Tensor]:
        seen = {FINAL_NORM: self.llama.final_norm}
        for index, layer in enumerate(self.llama.layers):
            for part in LAYER_MATRICES + LAYER_NORMS:
                seen[layer_name(index, part)] = getattr(layer, part)
        return seen


def _is_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) == 2


def _latent(tensor: Tensor, generator: torch.Generator) -> Tensor:
    on_the_grid = _is_matrix(tensor) and torch.equal(round_q4_0(tensor), tensor)
    return spread_within_bins(tensor, generator) if on_the_grid else tensor


def _rounded(array: Floats) -> Floats:
    rounded: Floats = round_q4_0(torch.tensor(array)).numpy()
    return rounded
