"""The methods over an emulated link between two network namespaces, where the system permits them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.shaped_link.comparison import Answer, compare
from benchmarks.shaped_link.links import ShapedLink, directions, shaped_links
from benchmarks.shaped_link.namespaces import obstacle
from benchmarks.shaped_link.run import Plan, run
from tests.eventually import COMMAND_SECONDS, HANG_SECONDS

from cuhlm.channel.presets import Channel
from cuhlm.channel.rates import FixedRate, TraceRate
from cuhlm.messages import Fate
from cuhlm.records import Stages, TokenRecord

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "benchmarks.shaped_link"]
OBSTACLE = obstacle()
needs_namespaces = pytest.mark.skipif(OBSTACLE is not None, reason=str(OBSTACLE))

SENT = TokenRecord(
    5,
    1,
    Fate.ACCEPTED,
    payload_bits=1000,
    wire_bytes_up=200,
    wire_bytes_down=50,
    draft_passes=1,
    target_passes=1,
    transmitted=True,
    stages=Stages(draft=0.01, link=9.0, target=0.02),
)


def leftovers(process_id: int) -> str:
    """Namespaces and network devices of a run that are still there."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    listed += subprocess.run(["ip", "link", "show"], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in listed.splitlines() if f"cuhlm{process_id}" in line)


def test_a_bill_is_compared_with_the_wall_clock_token_by_token() -> None:
    channel = Channel("test", FixedRate(8000), 0.1, "made up", 8000)
    answer = Answer("hlm", 0, (SENT, SENT, SENT), (10.0, 10.5, 11.5))
    assert answer.measured() == pytest.approx([0.5, 1.0])
    assert answer.predicted(channel, "payload") == pytest.approx([0.255, 0.255])  # 0.03 + 0.125 + 0.1
    compared = compare("hlm", channel, [answer])
    assert compared.tokens == 2
    assert compared.measured == pytest.approx(0.75)
    assert compared.predicted_wire == pytest.approx(0.03 + 0.2 + 0.1 + 0.05)
    assert compared.difference == pytest.approx(0.38 / 0.75 - 1)
    assert compared.predicted_packets == pytest.approx(0.03 + 0.252 + 0.1 + 0.102)  # 52 bytes of headers each way
    large = replace(SENT, wire_bytes_up=2 * 1448 + 1)
    assert Answer("hlm", 0, (large,), (0.0,)).with_headers().records[0].wire_bytes_up == 2 * 1448 + 1 + 3 * 52


def test_a_token_on_a_rate_trace_is_billed_from_where_it_really_began() -> None:
    trace = TraceRate(np.array([0.0, 10.0]), np.array([0.001, 0.01]))
    answer = Answer("hlm", 0, (SENT, SENT, SENT), (3.0, 12.0, 13.0))
    assert answer.predicted(Channel("test", trace, 0.0, "made up", 8000), "payload") == pytest.approx([1.03, 0.13])


def test_a_link_is_emulated_by_the_numbers_of_its_channel() -> None:
    lte = next(link for link in shaped_links() if link.name == "lte")
    for way, bits_per_second in zip(directions(lte), (5e6, 30e6), strict=True):
        way.offer(bytes(1000), 2.0)
        assert way.next_arrival == pytest.approx(2.0 + 8000 / bits_per_second + 0.025)


def test_where_it_cannot_run_it_says_so_in_one_line() -> None:
    """Without `ip`; as root elsewhere, as anybody here."""
    done = subprocess.run(
        COMMAND,
        cwd=ROOT,
        env={**os.environ, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.startswith("shaped_link: skipped: ")
    assert len(done.stderr.splitlines()) == 1


@needs_namespaces
def test_methods_decode_over_the_emulated_link_and_nothing_beats_its_rate_and_round_trip() -> None:
    channel = Channel("test", FixedRate(8e6), 0.040, "made up", 8e6)
    told: list[str] = []
    result = run(ShapedLink("test", channel), Plan(("local", "remote", "hlm", "route"), 1, 0.5), told.append)
    assert told == ["local", "remote", "hlm", "route"]
    by_method = {each.method: each for each in result.comparisons}
    assert by_method["local"].transmitted_share == 0
    # Lower bounds hold however busy the machine is: 147 456 bytes at 8 Mbit/s, and the round trip.
    assert by_method["hlm"].measured > 0.147456 + 0.040
    assert by_method["route"].measured > 0.040 * by_method["route"].transmitted_share
    carried = sum(each.bytes_up * each.tokens for each in result.comparisons)
    assert result.up.carried > carried > 2 * 147_456
    assert result.up.lost == result.down.lost == 0
    assert leftovers(os.getpid()) == ""


@needs_namespaces
def test_a_lossy_link_loses_packets_and_the_methods_get_through() -> None:
    channel = Channel("test", FixedRate(8e6), 0.010, "made up", 8e6)
    result = run(ShapedLink("test", channel, loss=0.05), Plan(("hlm",), 1, 0.5), lambda _: None)
    assert result.up.lost > 0
    assert result.comparisons[0].tokens >= 2


@needs_namespaces
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--trace", "nowhere.csv"), "the rate trace nowhere.csv cannot be read: No such file"),
        (("--congestion-control", "tin"), "the congestion control 'tin' is not allowed in namespaces here; expected"),
    ],
)
def test_a_mistake_gets_one_line(arguments: tuple[str, ...], complaint: str) -> None:
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    assert done.returncode == 2
    assert done.stderr.strip().startswith(f"shaped_link: {complaint}")
    assert len(done.stderr.strip().splitlines()) == 1


@needs_namespaces
def test_the_command_prints_its_numbers_as_json() -> None:
    arguments = ["--quick", "--link", "lte", "--method", "local", "--method", "route", "--json"]
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    (link,) = json.loads(done.stdout)["links"]
    assert set(link["methods"]) == {"local", "route", "all"}
    assert link["methods"]["route"]["tokens"] >= 2


@needs_namespaces
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_whoever_interrupts_it_finds_everything_removed(how: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [*COMMAND, "--link", "iot-64k"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while len(children(process.pid)) < 2:  # verifier and device, each in its namespace
            assert process.poll() is None
            time.sleep(0.05)
        started = children(process.pid)
        process.send_signal(how)
        assert process.wait(timeout=HANG_SECONDS) == code
    assert leftovers(process.pid) == ""
    assert not any(Path(f"/proc/{child}").exists() for child in started)


def children(process_id: int) -> list[int]:
    """Processes it started that run Python."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process_id and "python" in (process / "cmdline").read_text():
                found.append(int(process.name))
    return found
