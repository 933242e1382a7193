"""The chosen cells on real sockets, over emulated links, and the simulator beside them. Linux, root, iproute2."""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.lossless.cells import ROW, Cell
from benchmarks.lossless.node import chosen
from benchmarks.lossless.recorded import Recorded
from benchmarks.shaped_link.emulator import Emulator, running
from benchmarks.shaped_link.links import ShapedLink, directions
from benchmarks.shaped_link.namespaces import joined_namespaces
from benchmarks.shaped_link.processes import device_in, verifier_in

from cuhlm.measuring.timeline import Costs, replay
from cuhlm.theory.pacing import PassTime

DRAFT_ROW = 0.1
"""What a further token adds to a pass of the draft, which reads what was decided behind a draft that fell."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One cell as it was measured; times begin with an answer's first token, which waits for the prompt's reading.

    Attributes:
        cell: which.
        tokens: that were compared.
        remote_tokens_per_s, tokens_per_s: over the time from an answer's first token to its last.
        predicted_tokens_per_s: of `lossless`, by the simulator.
        worst_lateness_ms: of an answer's end behind `remote`.
        gaps_ms, remote_gaps_ms: between tokens as delivered, median and 95th percentile.
        passes, rows, draft_passes: per token.
        bytes_up, bytes_down: on the socket, per token.
        judging_share: the verifier's other work, over the target's passes.
        arithmetic_share: the device's, over the draft's passes.
    """

    cell: Cell
    tokens: int
    remote_tokens_per_s: float
    tokens_per_s: float
    predicted_tokens_per_s: float
    worst_lateness_ms: float
    gaps_ms: tuple[float, float]
    remote_gaps_ms: tuple[float, float]
    passes: float
    rows: float
    draft_passes: float
    bytes_up: float
    bytes_down: float
    judging_share: float
    arithmetic_share: float

    @property
    def gain(self) -> float:
        """Over `remote`, measured."""
        return self.tokens_per_s / self.remote_tokens_per_s


def measure(cell: Cell, path: Path, count: int, told: Callable[[], None]) -> Measured:
    """Run `count` recorded answers with both methods over the cell's link.

    Args:
        cell: who is how fast.
        path: of the recorded answers.
        count: how many of them.
        told: is called after each.
    """
    answers = chosen(path, count)
    up, down = directions(ShapedLink(cell.name, cell.channel))
    draft, target = cell.draft_ms / 1e3, cell.target_ms / 1e3
    shared = ["--recorded", str(path), "--answers", str(count), *(["--live"] if cell.live else [])]
    said: list[dict[str, Any]] = []
    with ExitStack() as stack:
        device, verifier = stack.enter_context(joined_namespaces())
        stack.enter_context(running(Emulator(device.tun, verifier.tun, up, down)))
        node = [sys.executable, "-m", "benchmarks.lossless.node"]
        command = [*node, "verifier", "--listen", f"{verifier.address}:0", *_pace(target, ROW), *shared]
        at = stack.enter_context(verifier_in(verifier, command))
        command = [*node, "device", "--verifier", at.address, *_pace(draft, DRAFT_ROW), *shared]
        for line in stack.enter_context(device_in(device, at, command)):
            said.append(json.loads(line))
            told()
    return _measured(cell, answers, said)


def _pace(seconds: float, row: float) -> list[str]:
    return ["--alone", str(seconds), "--per-row", str(row * seconds)]


def _measured(cell: Cell, answers: list[Recorded], said: list[dict[str, Any]]) -> Measured:
    by_method = {
        name: sorted((each for each in said if each["method"] == name), key=lambda each: each["answer"])
        for name in ("remote", "lossless")
    }
    spans = {
        name: np.array([each["delivered_at"][-1] - each["delivered_at"][0] for each in of])
        for name, of in by_method.items()
    }
    tokens = sum(len(each.tokens) - 1 for each in answers)
    records = [record for each in by_method["lossless"] for record in each["records"]]
    arithmetic, drafting, verify, passing = (
        sum(record["stages"][stage] for record in records) for stage in ("sample", "draft", "verify", "target")
    )
    draft_passes = sum(record["draft_passes"] for record in records)
    alone = cell.target_ms / 1e3 + verify / sum(record["target_passes"] for record in records)  # judging counts
    costs = Costs((drafting + arithmetic) / max(1, draft_passes), PassTime(alone, ROW * cell.target_ms / 1e3))
    predicted = [replay(each.agrees, cell.channel, costs, each.gaps).delivered_at for each in answers]
    n = len(records)
    return Measured(
        cell,
        tokens,
        tokens / spans["remote"].sum(),
        tokens / spans["lossless"].sum(),
        tokens / sum(each[-1] - each[0] for each in predicted),
        float(1e3 * (spans["lossless"] - spans["remote"]).max()),
        _gaps(by_method["lossless"]),
        _gaps(by_method["remote"]),
        sum(record["target_passes"] for record in records) / n,
        sum(record["target_rows"] for record in records) / n,
        draft_passes / n,
        sum(record["wire_bytes_up"] or 0 for record in records) / n,
        sum(record["wire_bytes_down"] or 0 for record in records) / n,
        verify / passing,
        arithmetic / max(drafting, 1e-9),
    )


def _gaps(of: list[dict[str, Any]]) -> tuple[float, float]:
    gaps = 1e3 * np.concatenate([np.diff(each["delivered_at"]) for each in of])
    return float(np.quantile(gaps, 0.5)), float(np.quantile(gaps, 0.95))
