"""What a draft would have met with at each position of the target's own text: the statistics and most ablations.

Teacher-forced: the text is the target's, both models read it, and at each position everything that a threshold, a
bound or a width could have changed is computed from the same two rows of logits. That is exact for this text and
costs one pass; what a method does to its *own* text is measured by the grid's answers instead.
"""

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cuhlm.codec.fixed_width import FixedWidthCodec
from cuhlm.device.gate import make_measurement
from cuhlm.engines.base import Engine
from cuhlm.engines.prompting import encode_prompt
from cuhlm.experiments.grid.jobs import WalkJob
from cuhlm.measuring.target_text import TextPosition, walk
from cuhlm.messages import Array
from cuhlm.profiles import UncertaintySettings
from cuhlm.theory.distributions import LogitRow, distribution
from cuhlm.theory.quality import total_variation
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.rejection import rejection_probability
from cuhlm.theory.truncation import online_top, top_k
from cuhlm.theory.uncertainty import Measure, bin_midpoints, expected_disagreements
from cuhlm.theory.verification import draw, verified_law

Floats = npt.NDArray[np.float64]

THRESHOLDS = tuple(float(value) for value in np.round(np.linspace(0, 1, 21), 2))
VARTHETAS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
WIDTHS = (4, 6, 8, 12, 16)
COVERAGE = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
FULL_EVERY = 8
"""Whole vocabularies are quantised at every eighth position: five widths of them cost as much as a forward pass."""


def measure_walk(job: WalkJob, draft: Engine, target: Engine) -> pl.DataFrame:
    """One row per position of the text that the target writes for `job`."""
    prompt = encode_prompt(draft.tokenizer, target.card.chat, job.prompt.text, system=job.system)
    positions = walk(draft, target, prompt, job.sampling, job.seed, job.max_tokens)
    rows = [_row(at, number, job) for number, at in enumerate(positions)]
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(
        pl.lit(job.prompt.id).alias("prompt"), pl.lit(job.prompt.task).alias("task")
    )


def _row(at: TextPosition, number: int, job: WalkJob) -> dict[str, Any]:
    x, y = (distribution(logits, job.sampling) for logits in (at.draft_logits, at.target_logits))
    token = draw(x, uniform(job.seed, at.position, Purpose.DRAFT)).token
    measured = _uncertainties(at, token, job)
    beta_hat = job.profile.rejection.predict(measured["u_expected"])
    return {
        "number": number,
        "position": at.position,
        "x_d": float(x[token]),
        "y_d": float(y[token]),
        "x_max": float(x.max()),
        "beta": rejection_probability(x, y, token),
        "below": bool(y[token] < x[token]),
        "tv": total_variation(x, y),
        "beta_hat": beta_hat,
        **measured,
        **_coverage(x),
        **_gated(x, y, at.draft_logits, job.profile.uncertainty),
        **_truncated(x, y, token, beta_hat, full=number % FULL_EVERY == 0),
    }


def _uncertainties(at: TextPosition, token: int, job: WalkJob) -> dict[str, float]:
    """Each of the five measures, and the seconds it took."""
    found = {}
    for measure in Measure:
        compute = make_measurement(UncertaintySettings(measure), job.seed)
        started = time.perf_counter()
        found[f"u_{measure}"] = compute(LogitRow.of(at.draft_logits), token, at.position)
        found[f"seconds_{measure}"] = time.perf_counter() - started
    return found


def _coverage(x: Array) -> dict[str, Any]:
    """Mass of the largest entries of x, and how many entries hold 99 % of it."""
    sums = np.cumsum(np.sort(x)[::-1], dtype=np.float64)
    return {
        "coverage": [float(sums[min(k, len(sums)) - 1]) for k in COVERAGE],
        "k_of_99": int(np.searchsorted(sums, 0.99 * sums[-1])) + 1,
    }


def _gated(x: Array, y: Array, draft_logits: Array, settings: UncertaintySettings) -> dict[str, Any]:
    """For each threshold: the chance that the draft is skipped, and the distance from y of a gate's output law.

    What is transmitted comes out as y here (`route`, or ``draft_from = xhat``). Then law − y = x·m − S·y with m the
    skipped tokens and S their mass.
    """
    temperatures = bin_midpoints(settings.theta_min, settings.theta_max, settings.perturbations)
    u = expected_disagreements(draft_logits, temperatures)
    skipped, distance = [], []
    for threshold in THRESHOLDS:
        kept = np.where(u <= threshold, x, 0)
        mass = float(kept.sum(dtype=np.float64))
        skipped.append(mass)
        distance.append(float(0.5 * np.abs(kept - np.float32(mass) * y).sum(dtype=np.float64)))
    return {"skip_chance": skipped, "gated_tv": distance}


def _truncated(x: Array, y: Array, token: int, beta_hat: float, *, full: bool) -> dict[str, Any]:
    """What truncation and quantisation do to a draft that is sent."""
    ks = [online_top(x, float(x[token]), beta_hat, vartheta)[0].size for vartheta in VARTHETAS]
    usual = ks[VARTHETAS.index(0.1)]
    return {
        "k": ks,
        "k_tv": [_sent(x, y, k, 8)[0] for k in ks],
        "width_tv": [_sent(x, y, usual, width)[0] for width in WIDTHS],
        "full_width_tv": [_sent(x, y, len(x), width)[0] for width in WIDTHS] if full else None,
        "acceptance_x": _sent(x, y, usual, 8)[1],
        "acceptance_xhat": _sent(x, y, usual, 8)[2],
    }


def _sent(x: Array, y: Array, k: int, width: int) -> tuple[float, float, float]:
    """With k entries of `width` bits: distance of the output law from y where d is drawn from x; chance that the
    draft stands where it is drawn from x, and where from x̂ (then the law is y)."""
    codec = FixedWidthCodec(width)
    rebuilt = codec.decode(codec.encode(*top_k(x, k), len(x)), len(x)).rebuilt()
    accepts = np.divide(y, rebuilt, out=(y > 0).astype(np.float32), where=rebuilt > 0)
    stands = float(np.minimum(1, accepts) @ x)
    return total_variation(verified_law(x, rebuilt, y), y), stands, 1 - total_variation(rebuilt, y)
