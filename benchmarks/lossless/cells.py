"""The cells of the grid: who is how fast, and what lies between."""

from dataclasses import dataclass
from itertools import product

from cuhlm.channel.presets import Channel
from cuhlm.channel.rates import FixedRate
from cuhlm.measuring.timeline import Costs
from cuhlm.theory.pacing import PassTime

ROW = 0.01
"""What a row adds to a pass of the target, over the pass: bound by memory, as one stream of a large model is."""
DOWN_BITS_PER_SECOND = 10e6
_DRAFT_PROMPT_TOKENS = 8
"""Tokens of a prompt that a device reads in the time of one draft pass."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination.

    Attributes:
        draft_ms: a pass of the draft, with the device's arithmetic.
        target_ms: a pass of the target that makes one token.
        round_trip_ms: of the link.
        up_kbps: its rate up; down it is `DOWN_BITS_PER_SECOND`, or as little.
        live: on sockets the built-in pair decodes, padded to these times; otherwise recorded answers are replayed.
    """

    draft_ms: float
    target_ms: float
    round_trip_ms: float
    up_kbps: float = 1000.0
    live: bool = False

    @property
    def name(self) -> str:
        """For tables."""
        pair = ", built-in pair" if self.live else ""
        return f"{self.draft_ms:g}/{self.target_ms:g} ms, {self.round_trip_ms:g} ms, {self.up_kbps:g} kbit/s{pair}"

    @property
    def channel(self) -> Channel:
        """The link."""
        up = self.up_kbps * 1e3
        down = DOWN_BITS_PER_SECOND if self.up_kbps > 100 else up
        return Channel(self.name, FixedRate(up), self.round_trip_ms / 1e3, "a cell of the benchmark", down)

    def costs(self, prompt_tokens: int) -> Costs:
        """Both models, the device's reading of a prompt included."""
        target = self.target_ms / 1e3
        reading = prompt_tokens / _DRAFT_PROMPT_TOKENS * self.draft_ms / 1e3
        return Costs(self.draft_ms / 1e3, PassTime(target, ROW * target), reading)


GRID = tuple(Cell(*numbers) for numbers in product((5, 15, 25, 45), (15, 40, 80), (5, 50, 100, 200), (64, 1000)))
CHOSEN = (
    Cell(5, 40, 5),
    Cell(5, 40, 50),
    Cell(5, 40, 100),
    Cell(5, 40, 200),
    Cell(5, 40, 50, 64),
    Cell(15, 40, 50),
    Cell(25, 15, 50),
    Cell(15, 80, 100),
    Cell(8, 40, 5, live=True),
    Cell(8, 40, 50, live=True),
    Cell(8, 40, 200, live=True),
)
"""The cells that are run on real sockets."""
