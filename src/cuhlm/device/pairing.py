"""Whether draft and target can work together (design 2.1)."""

import reprlib
from collections.abc import Callable, Sequence

from cuhlm.engines.base import Engine
from cuhlm.errors import IncompatibleModels
from cuhlm.messages import ModelCard


def shared_vocabulary(draft: Engine, target: ModelCard, target_vocabulary: Callable[[], Sequence[bytes]]) -> int:
    """How many token ids draft and target share, counted from 0.

    One may have more than the other; ids beyond the shorter vocabulary have probability 0.

    Args:
        draft: the draft model.
        target: the target's card.
        target_vocabulary: asked for only where the cards differ.

    Raises:
        IncompatibleModels: a token stands for other bytes; names the first.
    """
    if draft.card.vocab_fingerprint == target.vocab_fingerprint:
        return draft.card.vocab_size
    ours, theirs = draft.tokenizer.vocabulary(), target_vocabulary()
    shared = min(len(ours), len(theirs))
    for token, (our, their) in enumerate(zip(ours[:shared], theirs[:shared], strict=True)):
        if our != their:
            raise IncompatibleModels(
                f"token {token} is {_shown(our)} in the draft {draft.card.name!r} and {_shown(their)} in the target "
                f"{target.name!r}; expected the same vocabulary; use two models of one family"
            )
    return shared


def differences(draft: ModelCard, target: ModelCard) -> list[str]:
    """What of a draft is not as its target's, and does not count: how it is spoken to, and how it ends."""
    notes = []
    if draft.chat != target.chat:
        notes.append(f"the chat template of the draft {draft.name!r} is not that of the target, which is used")
    if draft.end_tokens != target.end_tokens:
        ours, theirs = (reprlib.repr(sorted(card.end_tokens)) for card in (draft, target))
        notes.append(f"the draft {draft.name!r} ends with the tokens {ours}, the target with {theirs}, which count")
    return notes


def _shown(piece: bytes) -> str:
    return repr(piece.decode(errors="backslashreplace"))
