"""Whether draft and target can work together (design 2.1)."""

from collections.abc import Callable, Sequence

from cuhlm.engines.base import Engine
from cuhlm.errors import IncompatibleModels
from cuhlm.messages import ModelCard


def shared_vocabulary(draft: Engine, target: ModelCard, target_strings: Callable[[], Sequence[str]]) -> int:
    """How many token ids draft and target share, counted from 0.

    Models of one family may pad their logits to different lengths; ids beyond the shorter one have probability 0.

    Args:
        draft: the draft model.
        target: the target's card.
        target_strings: the target's vocabulary, asked for only where the cards differ.

    Raises:
        IncompatibleModels: a token string differs; names the first.
    """
    if draft.card.vocab_fingerprint == target.vocab_fingerprint:
        return draft.card.vocab_size
    ours, theirs = draft.tokenizer.token_strings(), target_strings()
    shared = min(len(ours), len(theirs))
    for token, (our, their) in enumerate(zip(ours[:shared], theirs[:shared], strict=True)):
        if our != their:
            raise IncompatibleModels(
                f"token {token} is {our!r} in the draft {draft.card.name!r} and {their!r} in the target "
                f"{target.name!r}; expected the same vocabulary; use two models of one family"
            )
    return shared
