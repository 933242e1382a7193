"""The student before training: the layers that stay, and the neurons in them, take over the work of those that go.

In closed form, one layer after another: the matrix that leads out of a layer's neurons is fitted by least squares to
what the target has in its residual stream there, so each makes up for what those before it have lost. Where neurons go,
they are those that are missed least. With H their values over a text and W_j the outgoing weights of one, leaving it
out and refitting the others costs ‖W_j‖² / [(HᵀH)⁻¹]_jj (optimal brain surgeon: Hassibi & Stork 1992), so the cheapest
are left out, a few at a time. No gradient is needed, and training begins far nearer the target (experiments/LOG.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from cuhlm.distill.llama import Layer, Llama, by_rows
from cuhlm.distill.text import Text

FITTED = ("ffn_gate", "ffn_up", "ffn_down")
"""The matrices that change."""

_ONE_IN = 96
"""One of so many neurons is left out at a time; one of all left the same error (to 0.1 %), in seven times the time."""
_PENALTY = 0.03
"""Of moving the kept weights, relative to a neuron's mean square: least squares on few tokens would fit their noise."""


def fit_layers(
    target: Llama, layers: Sequence[int], text: Text, neurons: int, progress: Callable[[int], None] = lambda _: None
) -> Llama:
    """The target with only some layers, and only some neurons in each, fitted to do the work of all.

    Args:
        target: in float32.
        layers: to keep, in order.
        text: of the target's own; some ten thousand tokens.
        neurons: to keep in each layer; a multiple of 32, for 4-bit blocks.
        progress: is told the layers done.
    """
    with torch.no_grad():
        theirs = target.embedded(text.tokens[:, :-1].to(target.embedding.device))
        theirs = _through(target, theirs, range(layers[0]))
        ours, kept = theirs, []
        for index, number in enumerate(layers):
            layer = target.layers[number]
            following = layers[index + 1] if index + 1 < len(layers) else target.shape.layers
            theirs = _through(target, theirs, range(number, following))
            ours = by_rows(ours, partial(target.attended, layer))
            fitted, made = _fit_layer(target, layer, ours, theirs, neurons)
            kept.append(fitted)
            ours = ours + made
            progress(index + 1)
    return replace(target, shape=replace(target.shape, layers=len(kept), neurons=neurons), layers=kept)


def _fit_layer(target: Llama, layer: Layer, ours: Tensor, theirs: Tensor, neurons: int) -> tuple[Layer, Tensor]:
    """A layer with fewer neurons, and what they add to the stream `ours`, which is to become `theirs`."""
    values = by_rows(ours, partial(target.neurons, layer)).flatten(0, 1)
    gram = _gram(values, values)
    wanted = _gram(values, (theirs - ours).flatten(0, 1))
    chosen, refitted = choose_neurons(gram, layer.ffn_down.double(), neurons)
    down = _solved(gram[chosen][:, chosen], wanted[chosen], refitted).float()
    fitted = replace(layer, ffn_gate=layer.ffn_gate[chosen], ffn_up=layer.ffn_up[chosen], ffn_down=down.contiguous())
    return fitted, functional.linear(values[:, chosen], down).view_as(ours)


def choose_neurons(gram: Tensor, down: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """The neurons to keep, left over when the cheapest is left out again and again.

    Args:
        gram: HᵀH, shape (neurons, neurons), float64.
        down: outgoing weights, shape (outputs, neurons), float64.
        keep: how many, 1 to all.

    Returns:
        Their numbers, ascending, and their outgoing weights, refitted, shape (outputs, keep).
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(_damped(gram)))
    weights, chosen = down.T, torch.arange(len(gram), device=gram.device)
    while len(chosen) > keep:
        leave_out = min(len(chosen) - keep, 1 + len(chosen) // _ONE_IN)
        order = (weights.square().sum(-1) / inverse.diagonal()).argsort()
        gone, stay = order[:leave_out], order[leave_out:].sort().values
        taken_over = torch.linalg.solve(inverse[gone][:, gone], inverse[gone][:, stay]).T
        weights = weights[stay] - taken_over @ weights[gone]
        inverse = inverse[stay][:, stay] - taken_over @ inverse[gone][:, stay]
        chosen = chosen[stay]
    return chosen, weights.T


def _solved(gram: Tensor, wanted: Tensor, before: Tensor) -> Tensor:
    """Outgoing weights that make the most of the neurons left, shape (outputs, neurons), not far from `before`."""
    penalty = _penalty(gram)
    return torch.cholesky_solve(wanted + penalty * before.T, torch.linalg.cholesky(_damped(gram))).T


def _damped(gram: Tensor) -> Tensor:
    return gram + _penalty(gram) * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)


def _penalty(gram: Tensor) -> float:
    return _PENALTY * float(gram.diagonal().mean())


def _gram(left: Tensor, right: Tensor) -> Tensor:
    return (left.T @ right).double()


def _through(target: Llama, stream: Tensor, layers: Sequence[int]) -> Tensor:
    return by_rows(stream, lambda rows: target.through(rows, layers))
