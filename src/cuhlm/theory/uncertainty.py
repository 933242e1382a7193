"""How unsure the draft model is of a token, from its raw logits (design 2.3).

Temperature perturbation (U-HLM, Sec. III): draw M temperatures θ, sample d_m ~ softmax(z / θ_m), and count how often
the sample differs from the drafted token. `sampled_disagreement` is that; `expected_disagreement` is its mean in
closed form, without the noise. Entropy, margin and the largest probability are here for comparison.
All lie in [0, 1], and 1 is most uncertain.
"""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ConfigurationError
from cuhlm.messages import Array
from cuhlm.theory.distributions import LogitRow, softmax
from cuhlm.theory.softmax_sums import softmax_sums

Floats = npt.NDArray[np.float64]

_FAR = 100.0  # a gap to the largest logit beyond which exp(−gap) is 0 for every purpose; −∞ logits end here


class Measure(StrEnum):
    """The measures of uncertainty that a profile can be calibrated for."""

    SAMPLED = "sampled"  # the paper's
    EXPECTED = "expected"  # its mean
    ENTROPY = "entropy"
    MARGIN = "margin"
    MAX_PROBABILITY = "max_probability"


def bin_midpoints(theta_min: float = 0.0, theta_max: float = 2.0, perturbations: int = 20) -> Floats:
    """Midpoints of M equal bins of [θ_min, θ_max], shape (M,): the temperatures of `expected_disagreement`.

    Raises:
        ConfigurationError: the bins are none or empty.
    """
    _check_range(theta_min, theta_max, perturbations)
    return theta_min + (np.arange(perturbations) + 0.5) * (theta_max - theta_min) / perturbations


def _check_range(theta_min: float, theta_max: float, perturbations: int) -> None:
    if not 0 <= theta_min < theta_max < float("inf"):
        raise ConfigurationError(
            f"temperatures from {theta_min} to {theta_max}; expected 0 ≤ theta_min < theta_max, say 0 and 2"
        )
    if perturbations < 1:
        raise ConfigurationError(f"{perturbations} perturbations; expected 1 or more, say 20")


def expected_disagreement(row: LogitRow, token: int, *, temperatures: Floats) -> float:
    """Mean chance that a temperature-perturbed sample differs from `token`.

    The expectation of the sampled estimator in closed form: u = 1 − (1/M)·Σ_m softmax(z / θ_m)[token].

    Args:
        row: of raw draft logits.
        token: the drafted token's id.
        temperatures: θ_m > 0, shape (M,); see `bin_midpoints`.

    Returns:
        u in [0, 1].
    """
    return 1.0 - float(_agreement_probabilities(row, token, temperatures).sum()) / temperatures.size


def sampled_disagreement(
    row: LogitRow,
    token: int,
    *,
    uniforms: Floats,
    theta_min: float = 0.0,
    theta_max: float = 2.0,
    perturbations: int = 20,
) -> float:
    """Share of M temperature-perturbed samples that differ from `token`: the paper's estimator.

    Only whether d_m = d matters, and that is a coin with chance softmax(z / θ_m)[d]; tossing it has the same law as
    drawing d_m from the whole vocabulary and costs no draw.

    Args:
        row: of raw draft logits.
        token: the drafted token's id.
        uniforms: 2·M numbers in (0, 1): M for the temperatures, M for the coins.
        theta_min: lower end of the temperatures (the paper: 0; its authors' code: 0.05).
        theta_max: upper end.
        perturbations: M.

    Returns:
        u in {0, 1/M, …, 1}.

    Raises:
        ConfigurationError: the range is empty or the number of uniforms is not 2·M.
    """
    _check_range(theta_min, theta_max, perturbations)
    if uniforms.shape != (2 * perturbations,):
        raise ConfigurationError(f"{uniforms.size} uniforms; expected 2·M = {2 * perturbations}")
    temperatures = theta_min + (theta_max - theta_min) * uniforms[:perturbations]
    agrees = uniforms[perturbations:] < _agreement_probabilities(row, token, temperatures)
    return float(1.0 - agrees.mean())


def _agreement_probabilities(row: LogitRow, token: int, temperatures: Floats) -> Floats:
    """softmax(z / θ_m)[token] for each m."""
    sums = softmax_sums(row, temperatures)
    return np.minimum(1.0, np.exp(-row.gap(token) / temperatures) / sums)


def expected_disagreements(logits: Array, temperatures: Floats) -> Array:
    """`expected_disagreement` of every token, as if each were the draft.

    Args:
        logits: raw draft logits, shape (|V|,), float32.
        temperatures: θ_m > 0, shape (M,).

    Returns:
        u, shape (|V|,), float32.
    """
    agreement = np.zeros(logits.shape, dtype=np.float32)
    for temperature in temperatures:
        agreement += softmax(logits, float(temperature))
    agreement /= len(temperatures)
    return np.subtract(1, agreement, out=agreement)


def entropy(row: LogitRow) -> float:
    """Shannon entropy of softmax(z) over its largest value, ln |V|; |V| ≥ 2."""
    gaps = np.minimum(row.largest - row.logits, _FAR)
    weights = np.exp(-gaps)
    total = float(weights.sum())
    nats = np.log(total) + float(np.multiply(weights, gaps, out=gaps).sum()) / total
    return _unit(nats / np.log(gaps.size))


def margin(row: LogitRow) -> float:
    """1 − (largest − second largest probability) of softmax(z); |V| ≥ 2."""
    first = int(row.logits.argmax())
    second = max(part.max(initial=-np.inf) for part in (row.logits[:first], row.logits[first + 1 :]))
    return _unit(1 - _largest_probability(row) * (1 - np.exp(second - row.largest)))


def max_probability(row: LogitRow) -> float:
    """(1 − largest probability) of softmax(z), over its largest value, 1 − 1/|V|; |V| ≥ 2."""
    return _unit((1 - _largest_probability(row)) / (1 - 1 / row.logits.size))


def _largest_probability(row: LogitRow) -> float:
    weights = row.logits - row.largest
    return 1 / float(np.exp(weights, out=weights).sum())


def _unit(value: float) -> float:
    """`value` without what rounding puts below 0 or above 1."""
    return min(1.0, max(0.0, float(value)))
