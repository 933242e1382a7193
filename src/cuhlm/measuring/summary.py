"""A trace as numbers (design 2.8)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cuhlm.measuring.bootstrap import Ratio
from cuhlm.messages import Fate
from cuhlm.records import TokenRecord


class Mean(NamedTuple):
    """A mean over the tokens of a trace, as what each token adds.

    Attributes:
        sum_: to the numerator.
        counts: to the denominator; 0 for a token that has nothing to say.
    """

    sum_: Callable[[TokenRecord], float]
    counts: Callable[[TokenRecord], float] = lambda _: 1


MEANS = {
    "transmitted_share": Mean(lambda record: record.transmitted),
    "target_share": Mean(lambda record: record.fate not in (Fate.SKIPPED, Fate.LOCAL)),
    "mean_k": Mean(lambda record: record.k, lambda record: record.k > 0),
    "uplink_bytes_per_token": Mean(lambda record: record.payload_bits / 8),
    "wire_bytes_per_token": Mean(lambda record: _counted(record.wire_bytes_up)),
    "wire_bytes_down_per_token": Mean(lambda record: _counted(record.wire_bytes_down)),
    "target_passes_per_token": Mean(lambda record: record.target_passes),
    "acceptance": Mean(
        lambda record: record.fate is Fate.ACCEPTED, lambda record: record.fate in (Fate.ACCEPTED, Fate.RESAMPLED)
    ),
    "mean_beta": Mean(lambda record: record.beta or 0.0, lambda record: record.beta is not None),
}


def _counted(count: int | None) -> float:
    return float("nan") if count is None else count


def trace_ratio(name: str, traces: Sequence[Sequence[TokenRecord]]) -> Ratio:
    """One of `MEANS` over several traces, as a ratio of sums with an entry per trace."""
    mean = MEANS[name]
    return Ratio(
        np.array([sum(map(mean.sum_, records)) for records in traces], dtype=np.float64),
        np.array([sum(map(mean.counts, records)) for records in traces], dtype=np.float64),
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over the tokens of a trace; NaN where there is nothing to take a mean of.

    Attributes:
        tokens: how many.
        transmitted_share: tokens for which the device sent something.
        target_share: tokens that the target judged or made.
        mean_k: entries sent, over the tokens for which a distribution was sent.
        vocabulary_compression: 1 − mean_k / |V|.
        uplink_bytes_per_token: the paper's payload, over all tokens.
        wire_bytes_per_token: bytes sent on the socket, over all tokens; NaN where they were not counted for all.
        wire_bytes_down_per_token: bytes received, likewise.
        target_passes_per_token: forward passes of the target.
        acceptance: accepted drafts among those judged.
        mean_beta: rejection probability, over the judged drafts.
    """

    tokens: int
    transmitted_share: float
    target_share: float
    mean_k: float
    vocabulary_compression: float
    uplink_bytes_per_token: float
    wire_bytes_per_token: float
    wire_bytes_down_per_token: float
    target_passes_per_token: float
    acceptance: float
    mean_beta: float


def summarise(records: Sequence[TokenRecord], vocab_size: int) -> Summary:
    """The numbers of a trace.

    Args:
        records: of one or several answers.
        vocab_size: |V|, of the payloads.
    """
    means = {name: _mean(trace_ratio(name, [records])) for name in MEANS}
    return Summary(tokens=len(records), vocabulary_compression=1 - means["mean_k"] / vocab_size, **means)


def _mean(ratio: Ratio) -> float:
    (sum_,), (count,) = ratio
    return float(sum_ / count) if count else float("nan")
