"""The gate: skip or transmit, per token (design 2.4, 2.7)."""

from collections.abc import Callable
from dataclasses import dataclass

from cuhlm.methods import GateRule
from cuhlm.profiles import UncertaintySettings
from cuhlm.settings import Settings
from cuhlm.theory.distributions import LogitRow
from cuhlm.theory.randomness import Purpose, uniform, uniforms
from cuhlm.theory.uncertainty import (
    Measure,
    bin_midpoints,
    entropy,
    expected_disagreement,
    margin,
    max_probability,
    sampled_disagreement,
)

Measurement = Callable[[LogitRow, int, int], float]
"""(row of raw draft logits, drafted token, position) → u in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Decides whether the draft is kept without asking.

    Attributes:
        measure: computes u; None where the decision does not need it.
        keeps: (u, position) → whether to keep the draft.
    """

    measure: Measurement | None
    keeps: Callable[[float, int], bool]

    def uncertainty(self, row: LogitRow, token: int, position: int) -> float | None:
        """u of this draft, or None where the gate does not look at it."""
        return None if self.measure is None else self.measure(row, token, position)


def make_gate(settings: Settings, seed: int) -> Gate:
    """The gate of `settings.method`, with its randomness keyed by `seed`."""
    match settings.method.gate:
        case GateRule.UNCERTAIN:
            return Gate(make_measurement(settings.uncertainty, seed), lambda u, _: u <= settings.threshold)
        case GateRule.RANDOM:
            return Gate(None, lambda _, position: uniform(seed, position, Purpose.GATE) >= settings.transmit_rate)
        case GateRule.NEVER:
            return Gate(None, lambda *_: True)
        case GateRule.ALWAYS | GateRule.RISKY:  # the latter's is `cuhlm.device.keeping`
            return Gate(None, lambda *_: False)


def make_measurement(settings: UncertaintySettings, seed: int) -> Measurement:
    """The function that computes u by `settings`; `sampled` draws its noise from the keyed generator."""
    comparisons = {Measure.ENTROPY: entropy, Measure.MARGIN: margin, Measure.MAX_PROBABILITY: max_probability}
    if settings.measure in comparisons:
        compare = comparisons[settings.measure]
        return lambda row, _token, _position: compare(row)
    if settings.measure is Measure.EXPECTED:
        temperatures = bin_midpoints(settings.theta_min, settings.theta_max, settings.perturbations)
        return lambda row, token, _: expected_disagreement(row, token, temperatures=temperatures)
    return lambda row, token, position: sampled_disagreement(
        row,
        token,
        uniforms=uniforms(seed, position, Purpose.UNCERTAINTY, 2 * settings.perturbations),
        theta_min=settings.theta_min,
        theta_max=settings.theta_max,
        perturbations=settings.perturbations,
    )
