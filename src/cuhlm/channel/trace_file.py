"""Rate traces as files: CSV with the columns ``seconds,uplink_mbps``; each rate holds until the next row.

The first row is the channel's time 0, at which each answer begins; after its last interval the trace begins again.
A rate of 0 is an outage.
"""

import csv
import math
import reprlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cuhlm.channel.rates import LONGEST_SECONDS, RATES, TraceRate, are_rates
from cuhlm.errors import ConfigurationError
from cuhlm.readable import number_in

COLUMNS = ("seconds", "uplink_mbps")


def read_rate_trace(path: Path) -> TraceRate:
    """The rate trace in `path`.

    Other columns are allowed and ignored.

    Raises:
        ConfigurationError: the file cannot be read, or a row is malformed; names the line and the value.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(_rows(path, csv.DictReader(file)))
    except OSError as error:
        raise ConfigurationError(f"the rate trace {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"the rate trace {path} is no CSV file ({error}); expected text") from error
    seconds, mbps = np.array(rows, dtype=np.float64).reshape(-1, len(COLUMNS)).T
    try:
        return TraceRate(seconds, mbps)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _rows(path: Path, reader: "csv.DictReader[str]") -> Iterator[tuple[float, float]]:
    names = reader.fieldnames or ()
    if not set(COLUMNS) <= set(names):
        raise ConfigurationError(
            f"{path} has the columns {', '.join(names) or 'of an empty file'}; "
            f"expected {','.join(COLUMNS)} in its first line"
        )
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise ConfigurationError(f"{path} has the column {twice[0]} more than once; expected it once; rename one")
    last = -math.inf
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        seconds, mbps = (_number(row[name], f"{where}: {name}") for name in COLUMNS)
        if seconds <= last:
            raise ConfigurationError(f"{where}: seconds is {seconds:g} after {last:g}; expected ascending times")
        if abs(seconds) > LONGEST_SECONDS:
            raise ConfigurationError(f"{where}: seconds is {seconds:g}; expected at most {LONGEST_SECONDS:g}")
        if not are_rates(np.array(mbps)):
            raise ConfigurationError(f"{where}: uplink_mbps is {mbps:g}; expected {RATES}")
        last = seconds
        yield seconds, mbps


def _number(text: str | None, what: str) -> float:
    number = number_in(text or "")
    if not math.isfinite(number):
        raise ConfigurationError(f"{what} is {reprlib.repr(text)}; expected a number")
    return number
