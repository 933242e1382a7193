"""Answers as Parquet files: one row per token, with what the records of `cuhlm.records` hold and its quality."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import polars as pl

from cuhlm.errors import ConfigurationError
from cuhlm.measuring.quality import PathQuality
from cuhlm.messages import Fate
from cuhlm.records import Stages, TokenRecord
from cuhlm.writable import written_whole

STAGES = tuple(field.name for field in fields(Stages))
SCHEMA: dict[str, Any] = {
    "position": pl.Int64,
    "token": pl.Int64,
    "fate": pl.String,
    "draft_token": pl.Int64,
    "u": pl.Float64,
    "gap": pl.Float64,
    "k": pl.Int64,
    "payload_bits": pl.Int64,
    "law_bits": pl.Int64,
    "wire_bytes_up": pl.Int64,
    "wire_bytes_down": pl.Int64,
    "beta": pl.Float64,
    "draft_passes": pl.Int64,
    "target_passes": pl.Int64,
    "target_rows": pl.Int64,
    "transmitted": pl.Boolean,
    **{f"{stage}_seconds": pl.Float64 for stage in STAGES},
    "tv": pl.Float64,
    "kl": pl.Float64,
    "nll": pl.Float64,
    "text": pl.String,
}


@dataclass(frozen=True, slots=True)
class MeasuredAnswer:
    """A decoded answer.

    Attributes:
        records: one per token.
        qualities: one per token; none where they were not measured.
        texts: what each token adds to the text that can be shown.
    """

    records: tuple[TokenRecord, ...]
    qualities: tuple[PathQuality, ...]
    texts: tuple[str, ...]

    @property
    def text(self) -> str:
        """The answer as a reader sees it."""
        return "".join(self.texts)

    @property
    def tokens(self) -> tuple[int, ...]:
        """Its token ids."""
        return tuple(record.token for record in self.records)


def write_answer(path: Path, answer: MeasuredAnswer) -> None:
    """Write `answer`; the file is there whole or not at all."""
    qualities = answer.qualities or (None,) * len(answer.records)
    rows = [_row(*parts) for parts in zip(answer.records, qualities, answer.texts, strict=True)]
    write_frame(path, pl.DataFrame(rows, schema=SCHEMA))


def read_answer(path: Path) -> MeasuredAnswer:
    """The answer that `write_answer` wrote.

    Raises:
        ConfigurationError: the file is missing or damaged.
    """
    rows = read_frame(path).to_dicts()
    try:
        return MeasuredAnswer(
            tuple(_record(row) for row in rows),
            tuple(PathQuality(row["tv"], row["kl"], row["nll"]) for row in rows if row["tv"] is not None),
            tuple(row["text"] for row in rows),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} is no trace of this version ({error}); delete it and run again") from error


def write_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write `frame` to `path`, whole or not at all, in a folder that other processes write into."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path, shared=True) as partial:
        frame.write_parquet(partial)


def read_frame(path: Path) -> pl.DataFrame:
    """The table in a Parquet file.

    Raises:
        ConfigurationError: the file is missing or damaged.
    """
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}); delete it and run again") from error


def _row(record: TokenRecord, quality: PathQuality | None, text: str) -> dict[str, Any]:
    row = asdict(record)
    stages = row.pop("stages")
    row |= {f"{stage}_seconds": stages[stage] for stage in STAGES}
    return row | {"fate": record.fate.value, "text": text, **(asdict(quality) if quality else {})}


def _record(row: dict[str, Any]) -> TokenRecord:
    stages = Stages(**{stage: row[f"{stage}_seconds"] for stage in STAGES})
    names = [field.name for field in fields(TokenRecord) if field.name not in ("stages", "fate")]
    known: Sequence[tuple[str, Any]] = [(name, row[name]) for name in names]
    return TokenRecord(**dict(known), fate=Fate(row["fate"]), stages=stages)
