"""Decodes over emulated links, one after another, and compares each with its bill."""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from benchmarks.shaped_link.comparison import Answer, Comparison, compare
from benchmarks.shaped_link.device import MOST_TOKENS, path
from benchmarks.shaped_link.direction import Counts
from benchmarks.shaped_link.emulator import Emulator, running
from benchmarks.shaped_link.links import ShapedLink, directions
from benchmarks.shaped_link.namespaces import joined_namespaces
from benchmarks.shaped_link.processes import device_in, verifier_in

from cuhlm.errors import LinkError
from cuhlm.records import TokenRecord, read_trace


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decoded over each link.

    Attributes:
        methods: their names.
        rounds: answers per method, each from a seed of its own; methods take turns.
        seconds: per answer, after which it is cut short.
        congestion_control: of TCP; None takes the system's own.
    """

    methods: tuple[str, ...]
    rounds: int
    seconds: float
    congestion_control: str | None = None


@dataclass(frozen=True, slots=True)
class LinkResult:
    """What one link showed.

    Attributes:
        link: as it was emulated.
        comparisons: one per method.
        pooled: of all methods' tokens together.
        up: packets from the device.
        down: packets to it.
        lateness: median and 99th percentile of the seconds by which the emulator handed packets over late.
    """

    link: ShapedLink
    comparisons: tuple[Comparison, ...]
    pooled: Comparison
    up: Counts
    down: Counts
    lateness: tuple[float, float]


def run(link: ShapedLink, plan: Plan, told: Callable[[str], None]) -> LinkResult:
    """Decode over `link` between namespaces, processes and an emulator made for it, and removed afterwards.

    Args:
        link: to emulate.
        plan: what to decode.
        told: is called with the method of each answer that is done.

    Raises:
        ConfigurationError: no namespaces can be made.
        LinkError: verifier or device failed.
    """
    up, down = directions(link)
    with (
        joined_namespaces(congestion_control=plan.congestion_control) as (device, verifier),
        running(Emulator(device.tun, verifier.tun, up, down)) as emulator,
        verifier_in(verifier) as address,
        tempfile.TemporaryDirectory() as folder,
    ):
        command = [sys.executable, "-m", "benchmarks.shaped_link.device", "--verifier", address.address]
        command += ["--folder", folder, "--rounds", str(plan.rounds), "--seconds", str(plan.seconds)]
        command += [part for method in plan.methods for part in ("--method", method)]
        answers: list[Answer] = []
        with device_in(device, address, command) as lines:
            for each in _answers(lines, emulator.began):
                answers.append(each)
                told(each.method)
    answers = [_with_path(each) for each in answers]
    return LinkResult(
        link,
        tuple(compare(name, link.channel, [each for each in answers if each.method == name]) for name in plan.methods),
        compare("all", link.channel, answers),
        up.counts,
        down.counts,
        (float(np.quantile(emulator.lateness, 0.5)), float(np.quantile(emulator.lateness, 0.99))),
    )


def _answers(lines: Iterator[str], began: float) -> Iterator[Answer]:
    """What the device printed, on the link's clock."""
    for line in lines:
        said = json.loads(line)
        decided_at = tuple(at - began for at in said["decided_at"])
        yield Answer(said["method"], said["seed"], tuple(read_trace(said["trace"])), decided_at)


def _with_path(answer: Answer) -> Answer:
    """With what the simulator needs of drafts that were streamed ahead.

    Raises:
        LinkError: the text of `lossless` is not the target's.
    """
    if answer.method != "lossless":
        return answer
    known = _path(answer.seed)[: len(answer.records)]
    heard, right = [each.token for each in answer.records], [each.token for each in known]
    if heard != right:
        raise LinkError(f"`lossless` wrote {heard}; expected the target's own {right}")
    return replace(answer, path=tuple(known))


@cache
def _path(seed: int) -> list[TokenRecord]:
    """The target's own answer, the same over every link."""
    return path(seed, MOST_TOKENS)
