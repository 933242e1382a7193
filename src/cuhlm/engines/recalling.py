"""An engine that makes each forward pass once: what was read after a prefix is remembered for all who come there again.

Answers to one prompt begin alike under many thresholds, and their quality is read off the same rows. Decoded
after one another on such an engine, they cost only what no earlier one has read. Their forward passes then have no
times of their own (`Part.shares_prefixes`).
"""

from collections import abc

import numpy as np

from cuhlm.closing import Closing
from cuhlm.engines.base import Advance, Engine, Sequence, Tokenizer, check_keeps, check_sequence_open
from cuhlm.errors import ContextOverflow, ModelBusy
from cuhlm.messages import Array, ModelCard

MAX_SEQUENCES = 64

Node = int
_ROOT: Node = 0


class RecallingEngine(Closing):
    """Implements `engines.base.Engine` over one sequence of another; not thread-safe.

    Memory: 4·|V| bytes per row of logits that was ever taken.

    Args:
        engine: stays the caller's.
        ahead: whether to take every row that a forward pass can give, for one who asks later; else only those wanted.

    Raises:
        ModelBusy: all places of `engine` are taken.
    """

    def __init__(self, engine: Engine, *, ahead: bool) -> None:
        self._engine = engine
        self._ahead = ahead
        self._read: Sequence = engine.open()
        self._read_nodes: list[Node] = []
        self._children: dict[tuple[Node, int], Node] = {}
        self._rows: dict[Node, Array] = {}
        self._free_places = MAX_SEQUENCES
        self._open = True

    @property
    def card(self) -> ModelCard:
        """The other engine's."""
        return self._engine.card

    @property
    def tokenizer(self) -> Tokenizer:
        """The other engine's."""
        return self._engine.tokenizer

    def open(self) -> "RecallingSequence":
        """A new, empty sequence.

        Raises:
            ModelBusy: `MAX_SEQUENCES` are open.
        """
        if not self._open:
            raise ValueError("the engine is closed; expected an open one; make another")
        if not self._free_places:
            raise ModelBusy(f"all {MAX_SEQUENCES} sequences are in use; expected a free one; close one")
        self._free_places -= 1
        return RecallingSequence(self)

    def give_back(self) -> None:
        """A sequence of this engine has been closed."""
        self._free_places += 1

    def advance(self, batch: abc.Sequence[Advance]) -> list[Array]:
        """Advance the sequences of `batch`, one after another.

        Raises:
            ContextOverflow: one entry does not fit; no sequence has changed.
        """
        if len({id(entry.sequence) for entry in batch}) < len(batch):
            raise ValueError("a sequence appears twice in one batch; expected each at most once; join its tokens")
        for entry in batch:
            self.check_room(len(entry.sequence), len(entry.tokens))
        return [entry.sequence.append(entry.tokens, entry.rows) for entry in batch]

    def close(self) -> None:
        """Forget everything; closing twice is allowed."""
        self._open = False
        self._read.close()
        self._rows.clear()

    def check_room(self, length: int, added: int) -> None:
        """Refuse what the other engine would refuse once it has to read it.

        Raises:
            ContextOverflow: saying so.
        """
        if length + added > self.card.context_length:
            raise ContextOverflow(
                f"{added} more tokens after {length} do not fit; expected at most {self.card.context_length} in all; "
                "shorten the prompt or the answer"
            )

    def descend(self, node: Node, tokens: abc.Sequence[int]) -> list[Node]:
        """The nodes of `tokens` after `node`."""
        nodes = []
        for token in tokens:
            node = self._children.setdefault((node, token), len(self._children) + 1)
            nodes.append(node)
        return nodes

    def rows(self, tokens: abc.Sequence[int], nodes: abc.Sequence[Node], count: int) -> Array:
        """The logits after each of the last `count` of `tokens`, shape (count, |V|), read only where they are new."""
        missing = [index for index in range(len(nodes) - count, len(nodes)) if nodes[index] not in self._rows]
        if missing:
            self._read_through(tokens[: missing[-1] + 1], nodes[: missing[-1] + 1], missing[0])
        if not count:
            return np.empty((0, self.card.vocab_size), np.float32)
        return np.stack([self._rows[node] for node in nodes[len(nodes) - count :]])

    def _read_through(self, tokens: abc.Sequence[int], nodes: abc.Sequence[Node], first_missing: int) -> None:
        """Let the sequence hold `tokens`, and remember the rows from the first missing one on, or all that come by."""
        common = 0
        while common < min(first_missing, len(self._read_nodes)) and self._read_nodes[common] == nodes[common]:
            common += 1
        self._read.drop(common)
        del self._read_nodes[common:]
        begin = common if self._ahead else first_missing
        while nodes[begin] in self._rows:
            begin += 1
        rows = self._read.append(tokens[common:], len(nodes) - begin)
        self._read_nodes += nodes[common:]
        self._rows.update(zip(nodes[begin:], rows, strict=True))


class RecallingSequence:
    """Implements `engines.base.Sequence`."""

    def __init__(self, engine: RecallingEngine) -> None:
        self._engine = engine
        self._tokens: list[int] = []
        self._nodes: list[Node] = []
        self._open = True

    def __len__(self) -> int:
        """Tokens read so far."""
        return len(self._tokens)

    def append(self, tokens: abc.Sequence[int], rows: int = 1) -> Array:
        """Read `tokens`, those that are new, and return the logits after each of the last `rows`.

        Raises:
            ContextOverflow: the tokens do not fit; the sequence is unchanged.
            ModelError: the forward pass failed, or a token is not in the vocabulary; the sequence is unchanged.
        """
        self._check_open()
        if not 0 <= rows <= len(tokens) or len(tokens) == 0:
            raise ValueError(f"{rows} rows of {len(tokens)} tokens; expected a token, and 0 to all rows")
        self._engine.check_room(len(self), len(tokens))
        nodes = self._nodes + self._engine.descend(self._nodes[-1] if self._nodes else _ROOT, tokens)
        found = self._engine.rows([*self._tokens, *tokens], nodes, rows)
        self._tokens += tokens
        self._nodes = nodes
        return found

    def drop(self, length: int) -> None:
        """Forget all but the first `length` tokens (0 ≤ length ≤ len)."""
        self._check_open()
        check_keeps(length, len(self))
        del self._tokens[length:], self._nodes[length:]

    def close(self) -> None:
        """Give the sequence's place back; closing twice is allowed."""
        if self._open:
            self._open = False
            self._engine.give_back()

    def _check_open(self) -> None:
        check_sequence_open(self._open)
