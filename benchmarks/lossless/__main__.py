"""What `lossless` gains over streaming from the target: the whole grid simulated, eight cells on real sockets.

    python -m benchmarks.lossless [--only simulation|sockets] [--recorded FILE] [--answers 7] [--json]

Answers are a pair's own, recorded once (`benchmarks.lossless.record`): by default Qwen2.5-Coder-Instruct 0.5B and 1.5B.
On sockets both sides replay them through the whole of cuhlm, with passes as long as the cell says: wire, races, judging
and arithmetic are real, at the vocabulary of the pair (|V| = 151 936). In three more cells the built-in pair itself
decodes (|V| = 49 152), its passes padded. Sockets need Linux, root and iproute2.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.lossless.cells import CHOSEN, GRID
from benchmarks.lossless.recorded import BUILT_IN, QWEN, recorded
from benchmarks.lossless.simulate import Simulated, simulate
from benchmarks.lossless.sockets import Measured, measure
from benchmarks.reporting import machine
from benchmarks.shaped_link.namespaces import obstacle
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table


def main() -> None:
    options = _options()
    simulated = _simulated(options) if options.only in (None, "simulation") else {}
    measured = _measured(options) if options.only in (None, "sockets") else []
    if options.json:
        said = {
            "machine": machine(),
            "simulated": {str(t): [asdict(each) for each in of] for t, of in simulated.items()},
            "sockets": [asdict(each) | {"gain": each.gain} for each in measured],
        }
        print(json.dumps(said, indent=1))
        return
    console = Console(width=250)
    for temperature, of in simulated.items():
        console.print(_table_of_simulated(temperature, of), _table_of_baselines(temperature, of))
    if measured:
        console.print(_table_of_measured(measured))
    console.print(machine())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What `lossless` gains over streaming from the target.")
    parser.add_argument("--only", choices=("simulation", "sockets"))
    parser.add_argument("--recorded", type=Path, default=QWEN, help="made by benchmarks.lossless.record")
    parser.add_argument("--answers", type=int, default=7, help="replayed in each cell on sockets")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args()


def _simulated(options: argparse.Namespace) -> dict[float, list[Simulated]]:
    answers = list(recorded(options.recorded))
    found = {}
    for temperature in sorted({each.temperature for each in answers}):
        of = [each for each in answers if each.temperature == temperature]
        cells = track(GRID, f"simulating, T = {temperature:g}", console=Console(stderr=True), transient=True)
        found[temperature] = [simulate(cell, of) for cell in cells]
    return found


def _measured(options: argparse.Namespace) -> list[Measured]:
    if reason := obstacle():
        print(f"lossless: sockets skipped: {reason}", file=sys.stderr)
        return []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("on sockets", total=len(CHOSEN) * options.answers * 2)
        return [
            measure(cell, BUILT_IN if cell.live else options.recorded, options.answers, lambda: progress.advance(task))
            for cell in CHOSEN
        ]


def _table_of_simulated(temperature: float, of: list[Simulated]) -> Table:
    table = Table(title=f"simulated, T = {temperature:g}; tokens/s over `remote`, 95 % bootstrap over answers")
    for heading in (
        *("draft/target, rtt, up", "remote, tokens/s", "lossless over it", "worst lateness / allowed, ms"),
        *("later answers", "passes", "rows", "draft passes", "stood / fell / late", "bytes up"),
        *("gaps p50/p95, ms", "of remote"),
    ):
        table.add_column(heading, justify="left" if heading.startswith("draft/") else "right", no_wrap=True)
    for each in of:
        value, low, high = each.gain
        table.add_row(
            each.cell.name,
            f"{each.remote_tokens_per_s:.1f}",
            f"{value:.2f} [{low:.2f} … {high:.2f}]",
            f"{each.worst_lateness_ms:.1f} / {each.increment_ms:.1f}",
            f"{each.late_share:.0%}",
            *(f"{number:.2f}" for number in (each.passes, each.rows, each.draft_passes)),
            f"{each.stood:.0%} / {each.fell:.0%} / {each.late:.0%}",
            f"{each.bytes_up:.0f}",
            *(f"{p50:.0f} / {p95:.0f}" for p50, p95 in (each.gaps_ms, each.remote_gaps_ms)),
        )
    return table


def _table_of_baselines(temperature: float, of: list[Simulated]) -> Table:
    table = Table(title=f"and what else one could do, T = {temperature:g}; tokens/s over `remote`")
    table.add_column("draft/target, rtt, up")
    table.add_column("lossless", justify="right")
    for name in of[0].baselines:
        table.add_column(name, justify="right")
    for each in of:
        table.add_row(each.cell.name, f"{each.gain[0]:.2f}", *(f"{gain:.2f}" for gain in each.baselines.values()))
    return table


def _table_of_measured(measured: list[Measured]) -> Table:
    table = Table(title="on real sockets over emulated links, T = 0.7")
    for heading in (
        *("draft/target, rtt, up", "tokens", "remote, tokens/s", "lossless", "over it", "predicted", "off by"),
        *("worst lateness, ms", "gaps p50/p95, ms", "of remote", "passes", "rows", "draft passes", "bytes up, down"),
        *("judging / pass", "arithmetic / draft"),
    ):
        table.add_column(heading, justify="left" if heading.startswith("draft/") else "right", no_wrap=True)
    for each in measured:
        table.add_row(
            each.cell.name,
            str(each.tokens),
            f"{each.remote_tokens_per_s:.1f}",
            f"{each.tokens_per_s:.1f}",
            f"{each.gain:.2f}",
            f"{each.predicted_tokens_per_s:.1f}",
            f"{each.predicted_tokens_per_s / each.tokens_per_s - 1:+.0%}",
            f"{each.worst_lateness_ms:.0f}",
            *(f"{p50:.0f} / {p95:.0f}" for p50, p95 in (each.gaps_ms, each.remote_gaps_ms)),
            *(f"{number:.2f}" for number in (each.passes, each.rows, each.draft_passes)),
            f"{each.bytes_up:.0f}, {each.bytes_down:.0f}",
            f"{each.judging_share:.1%}",
            f"{each.arithmetic_share:.1%}",
        )
    return table


if __name__ == "__main__":
    main()
