"""Rounding to the 4-bit type the student runs in, exactly as GGUF's Q4_0 rounds, for training against it.

A block of 32 neighbours along a row shares a scale d = (entry of largest magnitude) / −8, kept as float16; each entry
becomes d·(q − 8) with q in 0 … 15. Straight-through: the forward pass sees the rounded weights, and the gradient
passes to the latent weights as if nothing had been rounded (Bengio et al. 2013; Jacob et al. 2018).
"""

import torch
from torch import Tensor

BLOCK = 32


def round_q4_0(weights: Tensor) -> Tensor:
    """The values that a Q4_0 file holds for `weights`.

    Args:
        weights: shape (…, n) with n a multiple of 32, float32.

    Returns:
        same shape, float32, a new tensor.
    """
    blocks = weights.view(-1, BLOCK)
    scale = _scales(blocks)
    inverse = torch.where(scale == 0, 0, 1 / scale)
    codes = (blocks * inverse).add_(8.5).floor_().clamp_(0, 15)
    return codes.sub_(8).mul_(scale.half().float()).view_as(weights)


def spread_within_bins(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Latent weights that round to what `weights` round to, spread evenly over their bins.

    Weights read from a 4-bit file lie in the middle of their bins, where small steps change no code and training would
    lose its first hundreds of steps. Spread out, a step of a tenth of a bin changes one code in ten.

    Args:
        weights: on the grid of `round_q4_0`, shape (…, n), n a multiple of 32, float32.
        generator: of the noise.

    Returns:
        same shape, float32, a new tensor.
    """
    blocks = weights.view(-1, BLOCK)
    scale = _scales(blocks)
    noise = torch.rand(blocks.shape, generator=generator).sub_(0.5).to(weights.device)
    spread = blocks + 0.98 * noise * scale
    # What sets a block's scale stays, and nothing may outgrow it.
    largest = blocks.abs().amax(-1, keepdim=True)
    spread = spread.clamp(-0.999 * largest, 0.999 * largest)
    spread = torch.where(blocks.abs() == largest, blocks, spread)
    return spread.view_as(weights)


def _scales(blocks: Tensor) -> Tensor:
    """d of each block, shape (blocks, 1), float32, before it is kept as float16."""
    index = blocks.abs().argmax(-1, keepdim=True)
    return blocks.gather(-1, index) / -8
