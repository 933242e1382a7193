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
        kept: of each, whether the device keeps it without asking.
    """

    def __init__(self, agreement: RunningAgreement) -> None:
        self.drafts: list[int] = []
        self.kept: list[bool] = []
        self._agreement = agreement
        self._fell_at = -1  # position of the last draft that fell
        self._seen = -1  # of the last chunk
        self._ends_at = -1  # where the next chunk of this branch begins; −1 where one is missing
        self._compared_to = 0  # each position counts once

    def take(self, chunk: Chunk, history: abc.Sequence[int]) -> bool:
        """Add the drafts of `chunk` that are live behind `history`; whether its branch is.

        Those of positions that are decided are compared with it; what is there already is dropped. A chunk continues
        the one before it, or begins where the device's knowledge ends: behind one that was lost it is dropped, as it
        may belong to drafts that are not those held here.
        """
        if chunk.seen <= self._fell_at or not self._seen <= chunk.seen <= len(history):
            return False
        self._seen = chunk.seen
        if chunk.position not in (chunk.seen, self._ends_at):
            self._ends_at = -1
            return True
        begin = max(chunk.position, self._compared_to)
        kept = chunk.kept or (False,) * len(chunk.drafted)
        for position, token in enumerate(chunk.drafted[begin - chunk.position :], begin):
            if position < len(history):
                self._compare(token, history[position], position)
                if self._fell_at == position:
                    return False
            elif position == len(history) + len(self.drafts) and len(self.drafts) < _MOST_HELD:
                self.drafts.append(token)
                self.kept.append(kept[position - chunk.position])
        self._ends_at = chunk.position + len(chunk.drafted)
        if self._ends_at > len(history) + len(self.drafts):
            self._ends_at = -1  # what was cut off is missing
        return True

    def decide(self, tokens: abc.Sequence[int], position: int) -> None:
        """The target has decided `tokens`, the first of them at `position`, right behind the text so far."""
        for at, token in enumerate(tokens, position):
            if not self.drafts:
                return
            del self.kept[0]
            self._compare(self.drafts.pop(0), token, at)

    def _compare(self, draft: int, token: int, position: int) -> None:
        self._agreement.note(draft == token)
        self._compared_to = position + 1
        if draft != token:
            self._fell_at, self._ends_at = position, -1
            self.drafts.clear()
            self.kept.clear()
