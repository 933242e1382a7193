"""One record per token; nothing else counts (design 3, Trace).

Statistics, plots, the demo's table and the tests read records. A record holds what was decided and what each
stage cost on the machine that ran it, so that a trace can be billed for another link without decoding again.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cuhlm.errors import ConfigurationError
from cuhlm.messages import Fate


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
        k: vocabulary entries sent; 0 where none were.
        payload_bits: the paper's size of the payload.
        wire_bytes_up: bytes this token sent on the socket; None where they were not counted.
        wire_bytes_down: bytes it received, likewise.
        beta: rejection probability of the draft token; None where nobody judged it.
        draft_passes: forward passes of the draft model.
        target_passes: forward passes of the target model.
        transmitted: whether the device sent a block for this token.
        stages: seconds per stage.
    """

    position: int
    token: int
    fate: Fate
    draft_token: int | None = None
    u: float | None = None
    k: int = 0
    payload_bits: int = 0
    wire_bytes_up: int | None = 0
    wire_bytes_down: int | None = 0
    beta: float | None = None
    draft_passes: int = 0
    target_passes: int = 0
    transmitted: bool = False
    stages: Stages = Stages()


@contextmanager
def trace_file(path: str | Path) -> Generator[Callable[[TokenRecord], None], None, None]:
    """A new trace at `path`: a function that adds a record to it, as one JSON line, on disk at once.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        file = Path(path).open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 (closed below, not on an error here)
    except OSError as error:
        raise _unwritable(path, error) from error

    def add(record: TokenRecord) -> None:
        try:
            file.write(json.dumps(dataclasses.asdict(record)) + "\n")
        except OSError as error:
            raise _unwritable(path, error) from error

    try:
        yield add
    finally:
        with suppress(OSError):  # every line was written through: what fails here has failed, and been told, before
            file.close()


def _unwritable(path: str | Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"the trace {path} cannot be written: {error.strerror}; choose another path")


def read_trace(path: str | Path) -> Iterator[TokenRecord]:
    """Yield the records of the trace at `path`.

    Raises:
        ConfigurationError: the file cannot be read or a line of it is not a record.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ConfigurationError(f"the trace {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not a trace ({error}); expected what --trace writes") from error
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            fields = json.loads(line)
            fields["fate"] = Fate(fields["fate"])
            fields["stages"] = Stages(**fields["stages"])
            yield TokenRecord(**fields)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(
                f"{path}, line {number}, is not a trace record ({error}); expected what --trace writes"
            ) from error


def json_values(value: Any) -> Any:
    """`value` with null for every number that JSON cannot write: NaN and the infinities."""
    if isinstance(value, dict):
        return {name: json_values(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
