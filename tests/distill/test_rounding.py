import gguf
import numpy as np
import torch

from cuhlm.distill.rounding import round_q4_0, spread_within_bins


def weights(rows: int = 64) -> torch.Tensor:
    return torch.randn(rows, 96, generator=torch.Generator().manual_seed(0)) * 0.1


def as_in_a_file(tensor: torch.Tensor) -> np.ndarray:
    kind = gguf.GGMLQuantizationType.Q4_0
    return gguf.quants.dequantize(gguf.quants.quantize(tensor.numpy(), kind), kind)


def test_rounding_is_that_of_a_file_to_the_bit() -> None:
    tensor = weights(2000)
    tensor[0, :32] = 0  # a block without a scale
    assert np.array_equal(round_q4_0(tensor).numpy(), as_in_a_file(tensor))


def test_what_is_rounded_stays_as_it_is() -> None:
    rounded = round_q4_0(weights())
    assert torch.equal(round_q4_0(rounded), rounded)


def test_spread_weights_round_to_what_they_were_but_fill_their_bins() -> None:
    rounded = round_q4_0(weights())
    spread = spread_within_bins(rounded, torch.Generator().manual_seed(1))
    assert torch.equal(round_q4_0(spread), rounded)
    bins = rounded.view(-1, 32).abs().amax(-1, keepdim=True) / 8
    moved = ((spread - rounded).view(-1, 32) / bins).abs()
    assert 0.2 < moved.mean() < 0.26, "evenly over ±0.49 bins, and the largest of each block not at all"


def test_a_small_step_changes_codes_of_spread_weights_only() -> None:
    rounded = round_q4_0(weights())
    spread = spread_within_bins(rounded, torch.Generator().manual_seed(1))
    step = 0.001  # a tenth of a typical bin
    changed = [
        float((round_q4_0(each + step) - each_rounded).abs().gt(0.005).float().mean())
        for each, each_rounded in ((spread, rounded), (rounded, rounded))
    ]
    assert changed[0] > 0.02
    assert changed[1] == 0
