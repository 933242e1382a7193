"""One record per token; nothing else counts (design 3, Trace).

Statistics, plots, the demo's table and the tests read records. A record holds what was decided and what each
stage cost on the machine that ran it, so that a trace can be billed for another link without decoding again.
"""

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import msgspec

from cuhlm.messages import Fate
from cuhlm.readable import converted, read_json_lines
from cuhlm.writable import check_writable, unwritable


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds that one token cost, stage by stage, in the order of its path.

    Attributes:
        draft: the draft model's forward pass.
        sample: making x of the logits and drawing d.
        gate: uncertainty and decision.
        truncate: choosing k and the k largest entries.
        encode: entries to payload.
        link: from handing the block over to having the verdict, as the device saw it.
        target: the target's forward pass, as the verifier measured it.
        verify: the verifier's other work.
    """

    draft: float = 0.0
    sample: float = 0.0
    gate: float = 0.0
    truncate: float = 0.0
    encode: float = 0.0
    link: float = 0.0
    target: float = 0.0
    verify: float = 0.0

    @property
    def arithmetic(self) -> float:
        """Seconds the device spent beside its forward pass."""
        return self.sample + self.gate + self.truncate + self.encode


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What became of one token.

    Attributes:
        position: its index in the sequence.
        token: its id.
        fate: how it came to be.
        draft_token: what was judged, or kept; None where the draft model proposed nothing. With ``draft_from`` x̂ it is
            drawn anew from x̂ once the gate has decided.
        u: uncertainty of the draft that the gate looked at; None where it was not computed.
        gap: of the race that drew the draft (`theory.race.Race`); None where none did, or nobody else ran.
        k: vocabulary entries sent; 0 where none were.
        payload_bits: the paper's size of the payload.
        law_bits: size of y, where it came down.
        wire_bytes_up: bytes this token sent on the socket; None where they were not counted.
        wire_bytes_down: bytes it received, likewise.
        beta: rejection probability of the draft token; None where nobody judged it.
        draft_passes: forward passes of the draft model.
        target_passes: forward passes of the target model.
        target_rows: positions that they judged: one each, and one for each draft.
        transmitted: whether the device sent a block for this token.
        stages: seconds per stage.
    """

    position: int
    token: int
    fate: Fate
    draft_token: int | None = None
    u: float | None = None
    gap: float | None = None
    k: int = 0
    payload_bits: int = 0
    law_bits: int = 0
    wire_bytes_up: int | None = 0
    wire_bytes_down: int | None = 0
    beta: float | None = None
    draft_passes: int = 0
    target_passes: int = 0
    target_rows: int = 0
    transmitted: bool = False
    stages: Stages = Stages()


def recorded_gap(gap: float | None) -> float | None:
    """As a record holds it."""
    return None if gap is None or math.isinf(gap) else gap


@contextmanager
def trace_file(path: str | Path) -> Generator[Callable[[TokenRecord], None], None, None]:
    """A new trace at `path`: a function that adds a record to it, as one JSON line, on disk at once.

    What is there stays until the first record comes, so that a run that is refused loses no old trace.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    path = Path(path)
    check_writable(path, "the trace")
    with ExitStack() as stack:
        file: TextIO | None = None

        def write(text: str) -> None:
            nonlocal file
            try:
                if file is None:
                    file = path.open("w", encoding="utf-8", buffering=1)
                    stack.callback(_close, file)
                file.write(text)
            except OSError as error:
                raise unwritable(path, "the trace", error) from error

        yield lambda record: write(msgspec.json.encode(record).decode() + "\n")
        write("")  # an answer without tokens, too, has its own trace


def _close(file: TextIO) -> None:
    with suppress(OSError):  # every line was written through: what fails here has failed, and been told, before
        file.close()


def read_trace(path: str | Path) -> Iterator[TokenRecord]:
    """Yield the records of the trace at `path`.

    Raises:
        ConfigurationError: the file cannot be read or a line of it is not a record.
    """
    for _, where, values in read_json_lines(Path(path), "the trace"):
        yield converted(values, TokenRecord, where)


def json_values(value: object) -> object:
    """`value` with null for every number that JSON cannot write: NaN and the infinities."""
    if isinstance(value, dict):
        return {name: json_values(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
