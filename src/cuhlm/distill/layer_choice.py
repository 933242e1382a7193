"""Which layers of the target the student keeps: those whose loss costs most agreement, found by leaving them out.

Greedy: of all layers left, the one without which the law moves least from the target's is dropped, and so on. Layers
that can be spared one by one cannot be spared together, so each is tried again after every choice.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cuhlm.distill.llama import Llama
from cuhlm.distill.losses import tv
from cuhlm.distill.text import Text


def choose_layers(
    target: Llama, text: Text, keep: int, progress: Callable[[int], None] = lambda _: None
) -> tuple[int, ...]:
    """The numbers of the layers to keep, in order.

    Args:
        target: whose layers they are.
        text: of the target's own; few rows are enough.
        keep: how many, 1 to all.
        progress: is told the layers dropped.
    """
    kept = list(range(target.shape.layers))
    while len(kept) > keep:
        kept.pop(_least_missed(target, text, kept))
        progress(target.shape.layers - len(kept))
    return tuple(kept)


def _least_missed(target: Llama, text: Text, kept: Sequence[int]) -> int:
    """The index in `kept` of the layer whose absence costs least."""
    with torch.no_grad():
        stream = target.embedded(text.tokens[:, :-1].to(target.embedding.device))
        costs = []
        for index, layer in enumerate(kept):
            costs.append(_distance(target, target.through(stream, kept[index + 1 :]), text))
            stream = target.through(stream, [layer])
    return min(range(len(kept)), key=costs.__getitem__)


def _distance(target: Llama, stream: Tensor, text: Text) -> float:
    """Mean TV between the law made of `stream` and the target's, over the answers."""
    logits = target.logits(target.normed(stream[text.is_answer.to(stream.device)]))
    return float(tv(logits, text.answer_laws(stream.device)).mean())
