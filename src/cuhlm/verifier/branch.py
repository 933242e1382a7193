"""Drafts that were streamed ahead of the target, as the verifier holds them (design 2.10); no I/O."""

from collections import abc

from cuhlm.messages import Chunk
from cuhlm.theory.pacing import RunningAgreement

_MOST_HELD = 256  # far more than any device streams ahead


class Branch:
    """The live drafts behind a decided text.

    A draft that the target decides otherwise ends its branch: what was drafted behind it is dead, also what is still on
    its way, since the device could not know.

    Args:
        agreement: is told of each draft whether it stood.

    Attributes:
        drafts: live ones, for the positions right behind the text.
    """

    def __init__(self, agreement: RunningAgreement) -> None:
        self.drafts: list[int] = []
        self._agreement = agreement
        self._fell_at = -1  # position of the last draft that fell

    def take(self, chunk: Chunk, history: abc.Sequence[int]) -> bool:
        """Add the drafts of `chunk` that are live behind `history`; whether its branch is.

        Those of positions that are decided are compared with it; what leaves a gap, or is there already, is dropped.
        """
        if chunk.seen <= self._fell_at:
            return False
        for position, token in enumerate(chunk.drafted, chunk.position):
            if position < len(history):
                self._compare(token, history[position], position)
                if self._fell_at == position:
                    return False
            elif position == len(history) + len(self.drafts) and len(self.drafts) < _MOST_HELD:
                self.drafts.append(token)
        return True

    def decide(self, tokens: abc.Sequence[int], position: int) -> None:
        """The target has decided `tokens`, the first of them at `position`, right behind the text so far."""
        for at, token in enumerate(tokens, position):
            if not self.drafts:
                return
            self._compare(self.drafts.pop(0), token, at)

    def _compare(self, draft: int, token: int, position: int) -> None:
        self._agreement.note(draft == token)
        if draft != token:
            self._fell_at = position
            self.drafts.clear()
