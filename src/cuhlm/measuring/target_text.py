"""The target's own generations, with what both models say at every position: what is measured on them is free of
any method's choices (design 2.4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cuhlm.engines.base import Advance, Engine
from cuhlm.messages import Array, Sampling
from cuhlm.theory.distributions import distribution
from cuhlm.theory.race import race


@dataclass(frozen=True, slots=True)
class TextPosition:
    """One position of a text that the target wrote.

    Attributes:
        position: in the sequence.
        draft_logits: raw, shape (|V|,), cut to the shared vocabulary.
        target_logits: likewise.
        token: what the target went on with.
    """

    position: int
    draft_logits: Array
    target_logits: Array
    token: int


def walk(
    draft: Engine, target: Engine, prompt: Sequence[int], sampling: Sampling, seed: int, max_tokens: int
) -> Iterator[TextPosition]:
    """Let the target answer `prompt`, and yield every position, the one of its end token included.

    Args:
        draft: reads along.
        target: writes.
        prompt: tokens, at least one.
        sampling: of the target.
        seed: of the keyed randomness.
        max_tokens: longest answer; it ends earlier where a context is full.
    """
    vocab_size = min(draft.card.vocab_size, target.card.vocab_size)
    room = min(draft.card.context_length, target.card.context_length) - len(prompt)
    history = list(prompt)
    draft_sequence, target_sequence = draft.open(), target.open()
    try:
        for _ in range(min(max_tokens, room)):
            (draft_logits,) = draft.advance([Advance(draft_sequence, history[len(draft_sequence) :])])
            (target_logits,) = target.advance([Advance(target_sequence, history[len(target_sequence) :])])
            row = target_logits[0, :vocab_size]
            token = race(distribution(row, sampling), seed, len(history)).token
            yield TextPosition(len(history), draft_logits[0, :vocab_size], row, token)
            history.append(token)
            if token in target.card.end_tokens:
                return
    finally:
        draft_sequence.close()
        target_sequence.close()
