"""On-policy text: the target's own conversations, with its law at every position, made in batches and kept on disk.

The pass that writes a token knows the law it was drawn from. Kept beside the text (the most probable tokens, and the
mass of all others), training needs no second pass of the target: that would add 60 % to a step of a 16-layer student.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cuhlm.distill.conversation import Conversation
from cuhlm.distill.llama import Cache, Llama
from cuhlm.writable import written_whole

LAW_ENTRIES = 128
"""Most probable tokens kept of each law; the mass of the others is kept as one number."""


@dataclass(frozen=True, slots=True)
class Laws:
    """What is kept of the target's laws at n positions.

    Attributes:
        temperatures: T of each, shape (n, 1), float32.
        tokens: ids, most probable first, shape (n, entries), int64.
        logprobs: ln y of those at T, same shape, float32.
    """

    temperatures: Tensor
    tokens: Tensor
    logprobs: Tensor

    def rows(self, chosen: slice) -> "Laws":
        """Those of some positions."""
        return Laws(self.temperatures[chosen], self.tokens[chosen], self.logprobs[chosen])


@dataclass(frozen=True, slots=True)
class Text:
    """Rows of conversation and the target's laws along them.

    Attributes:
        tokens: ids, shape (rows, length), int64.
        temperatures: T at which each row was drawn, shape (rows,), float32.
        is_answer: whether token t + 1 was drawn by the target as part of an answer, shape (rows, length − 1), bool.
        top_tokens: of the law of token t + 1, most probable first, shape (rows, length − 1, entries), int32.
        top_logprobs: ln y of those at the row's T, same shape, float16.
    """

    tokens: Tensor
    temperatures: Tensor
    is_answer: Tensor
    top_tokens: Tensor
    top_logprobs: Tensor

    def rows(self, chosen: slice | Tensor) -> "Text":
        """Some of the rows."""
        return Text(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def answer_laws(self, device: torch.device) -> Laws:
        """The laws of the answers' tokens, row after row, on `device`."""
        counts = self.is_answer
        heat = self.temperatures[:, None].expand_as(counts)[counts][:, None]
        tokens, logprobs = self.top_tokens[counts].long(), self.top_logprobs[counts].float()
        return Laws(heat.to(device), tokens.to(device), logprobs.to(device))

    @classmethod
    def joined(cls, texts: "Sequence[Text]") -> "Text":
        """The rows of all texts, one after another."""
        return cls(*(torch.cat([getattr(text, field.name) for text in texts]) for field in fields(cls)))

    def save(self, path: Path) -> None:
        """Write to `path`, whole or not at all."""
        with written_whole(path) as partial:
            np.savez(partial, **{field.name: getattr(self, field.name).numpy() for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "Text":
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**{field.name: torch.from_numpy(arrays[field.name]) for field in fields(cls)})


def write_text(
    target: Llama,
    conversations: Sequence[Conversation],
    temperatures: Sequence[float],
    length: int,
    generator: torch.Generator,
    progress: Callable[[int], None] = lambda _: None,
) -> Text:
    """Let the target continue every conversation to `length` tokens.

    Args:
        target: the model whose laws are wanted.
        conversations: one per row.
        temperatures: T of each row's draws and laws, > 0.
        length: tokens per row.
        generator: on the target's device.
        progress: is told the positions done.
    """
    device, rows = target.embedding.device, len(conversations)
    heat = torch.tensor(temperatures, dtype=torch.float32, device=device)
    cache = target.new_cache(rows)
    tokens = torch.zeros(rows, length, dtype=torch.int64)
    is_answer = torch.zeros(rows, length - 1, dtype=torch.bool)
    entries = min(LAW_ENTRIES, target.shape.vocab_size)
    top_tokens = torch.zeros(rows, length - 1, entries, dtype=torch.int32)
    top_logprobs = torch.zeros(rows, length - 1, entries, dtype=torch.float16)
    tokens[:, 0] = torch.tensor([conversation.take(-1)[0] for conversation in conversations])
    for position in range(length - 1):
        logits = _next_logits(target, tokens[:, position : position + 1].to(device), cache)
        logits /= heat[:, None]
        drawn = _draw(logits, generator).tolist()
        taken = [conversation.take(token) for conversation, token in zip(conversations, drawn, strict=True)]
        tokens[:, position + 1] = torch.tensor([token for token, _ in taken])
        is_answer[:, position] = torch.tensor([counts for _, counts in taken])
        top = torch.log_softmax(logits, -1).topk(entries)
        top_tokens[:, position], top_logprobs[:, position] = top.indices.cpu(), top.values.cpu()
        progress(position + 1)
    return Text(tokens, heat.cpu(), is_answer, top_tokens, top_logprobs)


def _next_logits(target: Llama, tokens: Tensor, cache: Cache) -> Tensor:
    with torch.no_grad():
        return target.logits(target.hidden(tokens, cache))[:, 0]


def _draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """A token per row, shape (rows,), by the inverse of the cumulated law: noise on each entry is far slower."""
    cumulated = torch.softmax(logits, -1).cumsum(-1)
    level = torch.rand(len(logits), 1, device=logits.device, generator=generator) * cumulated[:, -1:]
    return torch.searchsorted(cumulated, level).clamp_(max=logits.shape[-1] - 1)[:, 0]
