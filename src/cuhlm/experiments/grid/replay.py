"""Decoded answers billed for every channel and compute table, without decoding again.

None of the methods of `cuhlm.methods` looks at the link: the tokens of an answer are the same on every channel, and
one decoding serves all of them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cuhlm.channel.billing import Bill, bill
from cuhlm.channel.compute import ComputeTable
from cuhlm.channel.presets import Channel
from cuhlm.channel.rates import ShannonRate
from cuhlm.measuring.kept_timeline import bill_kept
from cuhlm.measuring.timeline import bill_streamed
from cuhlm.methods import GateRule, Method
from cuhlm.records import TokenRecord

BilledBy = Callable[[Sequence[TokenRecord], Channel, ComputeTable], Bill]

PARTS = ("draft", "arithmetic", "uplink", "round_trip", "downlink", "target")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of each answer on one channel, with one compute table.

    Attributes:
        channel, compute: by name.
        parts: shape (answers, 6), in the order of `PARTS`.
    """

    channel: str
    compute: str
    parts: np.ndarray[tuple[int, int], np.dtype[np.float64]]

    @property
    def seconds(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The whole time of each answer."""
        return np.asarray(self.parts.sum(axis=1))


def replay(
    answers: Sequence[Sequence[TokenRecord]],
    seeds: Sequence[int],
    channels: Iterable[Channel],
    compute: Iterable[ComputeTable],
    *,
    billed: BilledBy = bill,
) -> list[Cost]:
    """The costs of `answers` on each channel with each table.

    Args:
        answers: their records.
        seeds: of each answer; key its fades, so that answers fade independently, and the methods that are compared
            meet the same fades.
        channels: to bill for.
        compute: to bill with.
        billed: how their method is billed: `bill_of`.
    """
    tables = list(compute)
    costs = []
    for channel in channels:
        faded = [_faded(channel, seed) for seed in seeds]
        for table in tables:
            bills = [billed(records, own, table) for records, own in zip(answers, faded, strict=True)]
            parts = [[float(getattr(each, part).sum()) for part in PARTS] for each in bills]
            costs.append(Cost(channel.name, table.name, np.array(parts).reshape(-1, len(PARTS))))
    return costs


def bill_of(method: Method) -> BilledBy:
    """How answers of `method` are billed: one whose drafts stream ahead works on both sides at once."""
    if not method.streams:
        return bill
    return bill_kept if method.gate is GateRule.RISKY else bill_streamed


def _faded(channel: Channel, seed: int) -> Channel:
    """`channel` with the fades of one answer."""
    if not isinstance(channel.rate, ShannonRate):
        return channel
    return replace(channel, rate=replace(channel.rate, seed=channel.rate.seed + seed))
