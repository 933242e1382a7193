"""Prints what was measured: a table per link, then the simulator against reality, or the same as JSON."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from benchmarks.shaped_link.comparison import Comparison
from benchmarks.shaped_link.links import ShapedLink
from benchmarks.shaped_link.run import LinkResult
from rich.console import Console
from rich.table import Table

from cuhlm.channel.rates import shown_rate

_TOLERANCE = 0.15


def print_tables(results: Sequence[LinkResult], conditions: dict[str, str]) -> None:
    """Every link's methods, then the summary."""
    console = Console(width=150, highlight=False)
    for result in results:
        console.print(_methods(result))
    console.print(_summary(results, conditions))


def as_json(results: Sequence[LinkResult], conditions: dict[str, str]) -> dict[str, Any]:
    """The numbers of the tables, in seconds and bytes."""
    return {"conditions": conditions, "links": [_link_as_json(result) for result in results]}


def _methods(result: LinkResult) -> Table:
    table = Table(title=f"{result.link.name}: {_shape(result.link)}", title_justify="left", caption=_packets(result))
    table.add_column("method")
    for heading in (
        "n",
        "tokens/s",
        "ms per token\nmean",
        "median\n(quartiles)",
        "trans-\nmitted",
        "socket up\nB/token",
    ):
        table.add_column(heading, justify="right")
    for heading in (
        "socket down\nB/token",
        "simulated\npayload",
        "simulated\nsocket",
        "differ-\nence",
        "with IP\nheaders",
    ):
        table.add_column(heading, justify="right")
    for each in result.comparisons:
        table.add_row(*_row(each))
    return table


def _row(each: Comparison) -> tuple[str, ...]:
    low, median, high = (_milliseconds(seconds) for seconds in each.quartiles)
    return (
        each.method,
        str(each.tokens),
        f"{1 / each.measured:.3g}",
        _milliseconds(each.measured),
        f"{median} ({low} … {high})",
        f"{each.transmitted_share:.0%}",
        f"{each.bytes_up:.0f}",
        f"{each.bytes_down:.0f}",
        _milliseconds(each.predicted_payload),
        _milliseconds(each.predicted_wire),
        f"{each.difference:+.1%}",
        f"{each.difference_of_packets:+.1%}",
    )


def _summary(results: Sequence[LinkResult], conditions: dict[str, str]) -> Table:
    table = Table(title="simulator against reality", title_justify="left", caption=_caption(conditions))
    for heading in ("link", "up, down, round trip"):
        table.add_column(heading)
    for heading in (
        "n",
        "measured\nms/token",
        "simulated\nms/token",
        "differ-\nence",
        "with IP\nheaders",
        "largest difference\nof a method",
    ):
        table.add_column(heading, justify="right")
    for result in results:
        pooled, worst = result.pooled, max(result.comparisons, key=lambda each: abs(each.difference))
        table.add_row(
            result.link.name,
            _shape(result.link),
            str(pooled.tokens),
            _milliseconds(pooled.measured),
            _milliseconds(pooled.predicted_wire),
            f"{pooled.difference:+.1%}",
            f"{pooled.difference_of_packets:+.1%}",
            f"{worst.difference:+.1%} {worst.method}" + (" !" if abs(worst.difference) > _TOLERANCE else ""),
        )
    return table


def _caption(conditions: dict[str, str]) -> str:
    return (
        f"n: tokens, each answer's first left out. simulated: the same tokens billed for the bytes on the socket "
        f"(or the paper's payload), each from where it began, with compute as measured; with IP headers: and 52 bytes "
        f"for each packet they fill. The simulator knows no loss. !: beyond {_TOLERANCE:.0%}. {conditions}"
    )


def _shape(link: ShapedLink) -> str:
    channel = link.channel
    loss = f", {link.loss:.0%} loss" if link.loss else ""
    down = shown_rate(channel.downlink_bits_per_second or 0)
    return f"{channel.rate.summary}, {down}, {1000 * channel.round_trip_seconds:g} ms{loss}"


def _packets(result: LinkResult) -> str:
    up, down = result.up, result.down
    median, worst = result.lateness
    return (
        f"packets up {up.offered}, {up.lost} lost, {up.dropped} dropped by the queue; down {down.offered}, "
        f"{down.lost} lost, {down.dropped} dropped; handed over {1000 * median:.1f} ms late (99 %: {1000 * worst:.1f})"
    )


def _milliseconds(seconds: float) -> str:
    milliseconds = 1000 * seconds
    return f"{milliseconds:.1f}" if milliseconds < 100 else f"{milliseconds:.0f}"


def _link_as_json(result: LinkResult) -> dict[str, Any]:
    link, channel = result.link, result.link.channel
    return {
        "name": link.name,
        "up": channel.rate.summary,
        "down_bits_per_second": channel.downlink_bits_per_second,
        "round_trip_seconds": channel.round_trip_seconds,
        "loss": link.loss,
        "packets": {"up": dataclasses.asdict(result.up), "down": dataclasses.asdict(result.down)},
        "lateness_seconds": {"median": result.lateness[0], "p99": result.lateness[1]},
        "methods": {each.method: _comparison_as_json(each) for each in (*result.comparisons, result.pooled)},
    }


def _comparison_as_json(each: Comparison) -> dict[str, Any]:
    return {
        **dataclasses.asdict(each),
        "difference": each.difference,
        "difference_of_packets": each.difference_of_packets,
    }
