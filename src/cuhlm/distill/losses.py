"""How far the student's law is from the target's, from what is kept of the latter: its top entries and the rest's mass.

Both at the temperature at which the text was drawn: a draft is to agree at those that users decode with.

The rest counts as one outcome, so both are lower bounds of the distance over the whole vocabulary, and equal it where
the two laws agree on how to share out the rest.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from cuhlm.distill.plan import Objective
from cuhlm.distill.text import Laws

Loss = Callable[[Tensor, Laws], Tensor]
_LEAST = 1e-6  # of a mass, before its logarithm is taken


def kl(logits: Tensor, laws: Laws) -> Tensor:
    """KL(y ‖ x) in nats.

    Args:
        logits: the student's, raw, shape (n, |V|), float32.
        laws: the target's, n of them.

    Returns:
        shape (n,).
    """
    log_x, rest_x, y, rest_y = _outcomes(logits, laws)
    return (y * (laws.logprobs - log_x)).sum(-1) + rest_y * (rest_y.log() - rest_x.log())


def tv(logits: Tensor, laws: Laws) -> Tensor:
    """TV(y, x), in [0, 1]: one minus the chance that a drafted token stands; arguments as for `kl`."""
    log_x, rest_x, y, rest_y = _outcomes(logits, laws)
    return 0.5 * ((y - log_x.exp()).abs().sum(-1) + (rest_y - rest_x).abs())


LOSSES: dict[Objective, Loss] = {Objective.KL: kl, Objective.TV: tv}


def _outcomes(logits: Tensor, laws: Laws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """ln x of the top entries, x's mass outside, y of the top entries, y's mass outside."""
    logits = logits / laws.temperatures
    log_x = logits.gather(-1, laws.tokens) - torch.logsumexp(logits, -1, keepdim=True)
    y = laws.logprobs.exp()
    rest_x = (1 - log_x.exp().sum(-1)).clamp_min(_LEAST)
    rest_y = (1 - y.sum(-1)).clamp_min(_LEAST)
    return log_x, rest_x, y, rest_y
