"""Every method over emulated links, real gRPC, wall clock; and the simulator's prediction beside it. Linux, root.

    python -m benchmarks.shaped_link [--quick] [--link NAME ...] [--method NAME ...] [--trace FILE.csv] [--json]

Needs no more than iproute2. Verifier and device run in two network namespaces that reach nothing but each other; the
built-in pair, one thread each, T = 1, u_th = 0.5, one prompt. Whatever is made is removed at the end, on Ctrl-C too.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

from benchmarks.reporting import machine
from benchmarks.shaped_link.device import METHODS
from benchmarks.shaped_link.links import ShapedLink, shaped_links
from benchmarks.shaped_link.namespaces import obstacle
from benchmarks.shaped_link.run import LinkResult, Plan, run
from benchmarks.shaped_link.tables import as_json, print_tables
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cuhlm.errors import CuhlmError

QUICK_LINKS = ("lte", "3g", "trace", "lossy")


def main() -> None:
    options = _options()
    if reason := obstacle():
        print(f"shaped_link: skipped: {reason}", file=sys.stderr)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was made is removed
    try:
        links = {link.name: link for link in shaped_links(options.trace)}
        chosen = options.link or (QUICK_LINKS if options.quick else tuple(links))
        rounds, seconds = (1, 0.7) if options.quick else (2, 3.0)
        plan = Plan(tuple(options.method or METHODS), rounds, seconds, options.congestion_control)
        results = _run_all([links[name] for name in chosen], plan)
    except CuhlmError as error:
        print(f"shaped_link: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    conditions = {**machine(), "congestion control": options.congestion_control or _own_congestion_control()}
    if options.json:
        print(json.dumps(as_json(results, conditions), indent=1))
    else:
        print_tables(results, conditions)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Every method over emulated links, and the simulator beside it.")
    names = [link.name for link in shaped_links()]
    parser.add_argument("--link", action="append", choices=names, help="may be given more than once; default: all")
    parser.add_argument("--method", action="append", choices=METHODS, help="likewise")
    parser.add_argument("--trace", type=Path, help="a rate trace, seconds,uplink_mbps, to replay as the link `trace`")
    parser.add_argument("--congestion-control", help="of TCP, like reno or bbr; default: the system's own")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK_LINKS)}, under a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args()


def _run_all(links: list[ShapedLink], plan: Plan) -> list[LinkResult]:
    columns = (TextColumn("{task.description:>26}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(links) * len(plan.methods) * plan.rounds)
        results = []
        for number, link in enumerate(links, 1):
            progress.update(task, description=link.name)
            results.append(run(link, plan, lambda _: progress.advance(task)))
            progress.update(task, completed=number * len(plan.methods) * plan.rounds)
        return results


def _own_congestion_control() -> str:
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


if __name__ == "__main__":
    main()
