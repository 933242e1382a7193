"""Which number format the forward pass computes in: the one that is faster on the device at hand."""

import time

import torch

_SHAPE = (1024, 576, 1536)  # positions, inputs, outputs: a small Llama's feed-forward
_TRIES = 5


def faster_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where a matrix product in it is faster than in float32, else float32.

    Weights and gradients are float32 in either case. Processors with AVX-512 BF16 or AMX take half the time; without,
    bfloat16 is emulated and takes a multiple.
    """
    if device.type == "cuda":
        return torch.bfloat16
    return min((torch.float32, torch.bfloat16), key=_seconds)


def _seconds(dtype: torch.dtype) -> float:
    rows, inputs, outputs = _SHAPE
    left, right = torch.ones(rows, inputs, dtype=dtype), torch.ones(inputs, outputs, dtype=dtype)
    times = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - started)
    return min(times)
