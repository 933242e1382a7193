"""A trace as numbers (design 2.8)."""

from collections.abc import Sequence
from dataclasses import dataclass

from cuhlm.messages import Fate
from cuhlm.records import TokenRecord


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over the tokens of a trace; NaN where there is nothing to take a mean of.

    Attributes:
        tokens: how many.
        transmitted_share: tokens for which the device sent something.
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
    sent = [record.k for record in records if record.k > 0]
    fates = [record.fate for record in records]
    accepted, resampled = fates.count(Fate.ACCEPTED), fates.count(Fate.RESAMPLED)
    betas = [record.beta for record in records if record.beta is not None]
    mean_k = _mean(sent)
    return Summary(
        tokens=len(records),
        transmitted_share=_mean([record.transmitted for record in records]),
        mean_k=mean_k,
        vocabulary_compression=1 - mean_k / vocab_size,
        uplink_bytes_per_token=_mean([record.payload_bits / 8 for record in records]),
        wire_bytes_per_token=_mean([_counted(record.wire_bytes_up) for record in records]),
        wire_bytes_down_per_token=_mean([_counted(record.wire_bytes_down) for record in records]),
        target_passes_per_token=_mean([record.target_passes for record in records]),
        acceptance=accepted / (accepted + resampled) if accepted + resampled else float("nan"),
        mean_beta=_mean(betas),
    )


def _counted(count: int | None) -> float:
    return float("nan") if count is None else count


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
