"""How far the student's law is from the target's, from what is kept of the latter: its top entries and the rest's mass.

The rest counts as one outcome, so both are lower bounds of the distance over the whole vocabulary, and equal it where
the two laws agree on how to share out the rest.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from cuhlm.distill.plan import Objective

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
_LEAST = 1e-6  # of a mass, before its logarithm is taken


def kl(logits: Tensor, top_tokens: Tensor, top_logprobs: Tensor) -> Tensor:
    """KL(y ‖ x) in nats.

    Args:
        logits: the student's, shape (n, |V|), float32.
        top_tokens: ids, shape (n, entries).
        top_logprobs: ln y of those, same shape, float32.

    Returns:
        shape (n,).
    """
    log_x, rest_x, y, rest_y = _outcomes(logits, top_tokens, top_logprobs)
    return (y * (top_logprobs - log_x)).sum(-1) + rest_y * (rest_y.log() - rest_x.log())


def tv(logits: Tensor, top_tokens: Tensor, top_logprobs: Tensor) -> Tensor:
    """TV(y, x), in [0, 1]: one minus the chance that a drafted token stands; arguments as for `kl`."""
    log_x, rest_x, y, rest_y = _outcomes(logits, top_tokens, top_logprobs)
    return 0.5 * ((y - log_x.exp()).abs().sum(-1) + (rest_y - rest_x).abs())


LOSSES: dict[Objective, Loss] = {Objective.KL: kl, Objective.TV: tv}


def _outcomes(logits: Tensor, top_tokens: Tensor, top_logprobs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """ln x of the top entries, x's mass outside, y of the top entries, y's mass outside."""
    log_x = logits.gather(-1, top_tokens) - torch.logsumexp(logits, -1, keepdim=True)
    y = top_logprobs.exp()
    rest_x = (1 - log_x.exp().sum(-1)).clamp_min(_LEAST)
    rest_y = (1 - y.sum(-1)).clamp_min(_LEAST)
    return log_x, rest_x, y, rest_y
