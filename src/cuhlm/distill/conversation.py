"""What the target writes: conversations in its own chat template, with the user's part its own too, or from a file.

A target that is given an open user turn writes an instruction, as its training taught it (Xu et al. 2024, Magpie), so
there is no end of text to train on, and none of it needs a data set.
"""

from collections import deque
from dataclasses import dataclass
from typing import Self

from cuhlm.engines.base import Tokenizer
from cuhlm.engines.chat_template import rendered
from cuhlm.engines.prompting import encode_text
from cuhlm.errors import ModelError
from cuhlm.messages import ChatFormat

_MARKS = ("@@first@@", "@@answer@@", "@@second@@")
LONGEST_INSTRUCTION = 64
"""Tokens after which an instruction that the target writes is cut off."""


@dataclass(frozen=True, slots=True)
class TurnTokens:
    """The tokens that a chat template puts around what is said.

    Attributes:
        opening: before the first user message.
        to_answer: between a user message and the answer.
        to_user: between an answer and the next user message.
        ends: tokens that end a turn.
    """

    opening: tuple[int, ...]
    to_answer: tuple[int, ...]
    to_user: tuple[int, ...]
    ends: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Tokenizer, chat: ChatFormat) -> Self:
        """As the model's own template has them.

        Raises:
            ModelError: the template changes what is said, so that its parts cannot be told apart.
        """
        first, answer, second = _MARKS
        text = rendered(chat, [("user", first), ("assistant", answer), ("user", second)])
        try:
            opening, rest = text.split(first)
            to_answer, rest = rest.split(answer)
            to_user, closing = rest.split(second)
        except ValueError:
            raise ModelError(
                "the target's chat template does not give back what is said in it; expected one that does; distil "
                "from a chat model"
            ) from None
        if closing != to_answer or not to_answer or not to_user:
            raise ModelError(
                f"the target's chat template treats the last user message differently ({closing!r} after it, "
                f"{to_answer!r} before); expected one that marks all turns alike; distil from a chat model"
            )
        return cls(
            encode_text(tokenizer, chat, opening),
            tuple(tokenizer.tokenize(to_answer)),
            tuple(tokenizer.tokenize(to_user)),
            frozenset(tokenizer.end_tokens),
        )


class Conversation:
    """One row of text as it grows: says which tokens are given, and which of the target's own count as an answer."""

    def __init__(self, turns: TurnTokens, instruction: tuple[int, ...] = ()) -> None:
        """A conversation that begins with `instruction`, or with one of the target's own where that is empty."""
        self._turns = turns
        self._given = deque(turns.opening + (instruction + turns.to_answer if instruction else ()))
        self._answering = bool(instruction)
        self._said = 0

    def take(self, drawn: int) -> tuple[int, bool]:
        """The next token, and whether it is part of an answer that the target drew.

        Args:
            drawn: what the target would say next.
        """
        if self._given:
            return self._given.popleft(), False
        self._said += 1
        answering = self._answering
        if drawn in self._turns.ends or (not answering and self._said == LONGEST_INSTRUCTION):
            self._change_turn(drawn)
        return drawn, answering

    def _change_turn(self, drawn: int) -> None:
        between = self._turns.to_user if self._answering else self._turns.to_answer
        self._given.extend(between[1:] if between[0] == drawn else between)
        self._answering = not self._answering
        self._said = 0
