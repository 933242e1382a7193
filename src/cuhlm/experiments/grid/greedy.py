"""At T = 0 a draft stands iff it is the target's own choice, whatever was sent: one decoding serves several methods.

There x and y are one-hot. `cu-hlm` sends x, which its 8 bits hold exactly, and a rejected draft is replaced by the only
token that y has; `route` gets that token at once. A test decodes both and compares.
"""

from collections.abc import Iterable
from dataclasses import replace

from cuhlm.experiments.grid.jobs import Cell
from cuhlm.experiments.grid.traces import MeasuredAnswer
from cuhlm.messages import Fate
from cuhlm.records import TokenRecord

SENDING, ASKING = "cu-hlm", "route"


def decoded_as(cell: Cell, cells: Iterable[Cell]) -> Cell:
    """The cell whose tokens are also those of `cell`: at T = 0 a `cu-hlm` for `route`; mostly `cell` itself."""
    if cell.temperature > 0 or cell.choice.method.name != ASKING:
        return cell
    for other in cells:
        same = replace(other, choice=replace(cell.choice, method=other.choice.method, vartheta=other.choice.vartheta))
        if other.choice.method.name == SENDING and same == other and replace(cell, choice=other.choice) == other:
            return other
    return cell


def as_route(answer: MeasuredAnswer) -> MeasuredAnswer:
    """A greedy answer of `cu-hlm` as `route` would have made it: nothing sent, nothing judged."""
    return replace(answer, records=tuple(map(_asked, answer.records)))


def _asked(record: TokenRecord) -> TokenRecord:
    if not record.transmitted:
        return record
    stages = replace(record.stages, truncate=0.0, encode=0.0)
    return replace(record, fate=Fate.TARGET, k=0, payload_bits=0, beta=None, stages=stages)
