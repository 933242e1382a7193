"""Calibration: the numbers of one pair, measured on the target's own generations (design 2.4, 2.5)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cuhlm.device.gate import Measurement, make_measurement
from cuhlm.device.pairing import shared_vocabulary
from cuhlm.engines.base import Engine
from cuhlm.engines.prompting import encode_prompt
from cuhlm.errors import ConfigurationError, ContextOverflow
from cuhlm.measuring.bootstrap import Estimate, Ratio, estimate, resample_counts
from cuhlm.measuring.prompts import Prompt
from cuhlm.measuring.risk import fit_scores
from cuhlm.measuring.target_text import TextPosition, walk
from cuhlm.messages import Array, Sampling
from cuhlm.profiles import Profile, Provenance, RiskCurve, UncertaintySettings
from cuhlm.risk_scores import Positions
from cuhlm.theory.distributions import LogitRow, distribution, law_of
from cuhlm.theory.race import race
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.rejection import (
    fit_rejection,
    rejection_probability,
    risk_averse_threshold,
    risk_prone_threshold,
)
from cuhlm.theory.score import plausibility
from cuhlm.theory.truncation import MeanBound, offline_k
from cuhlm.theory.verification import draw

Progress = Callable[[int, int], None]
"""(prompts done, prompts in all)."""

CURVE_POINTS = 101


FEWEST_TOKENS = 10
"""To calibrate on."""

_LEAST_PLAUSIBLE = 1e-9  # what is less tells no more


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """What to calibrate on.

    Attributes:
        prompts_name: the prompt file's name, for the provenance.
        max_tokens: generated per prompt.
        sampling: of both models.
        uncertainty: the measure to calibrate.
        vartheta: bound of the offline truncation.
        seed: of the keyed randomness.
        system: system message before each prompt.
    """

    prompts_name: str
    max_tokens: int = 64
    sampling: Sampling = Sampling()
    uncertainty: UncertaintySettings = UncertaintySettings()
    vartheta: float = 0.1
    seed: int = 0
    system: str | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ConfigurationError(f"max tokens is {self.max_tokens}; expected 1 or more")
        if not 0 <= self.vartheta < math.inf:  # a NaN ends here too
            raise ConfigurationError(f"the distortion bound is {self.vartheta}; expected 0 or more (0.1 is usual)")
        if not 0 <= self.seed < 2**63:  # each prompt's seed lies above it
            raise ConfigurationError(f"the seed is {self.seed}; expected a whole number from 0 to 2^63 − 1")


class Keyed(NamedTuple):
    """What was measured of one keyed draft; see `Positions`."""

    u: float
    gap: float
    own: float
    plausible: float
    beta: float
    agrees: bool


@dataclass(slots=True)
class Tokens:
    """What was measured, one entry per calibration token.

    Attributes:
        u: uncertainty of the drafts.
        beta: their rejection probabilities.
        below: whether y_d < x_d.
        text: the number of the text that the token is of.
        keyed: of the draft that wins the race of the shared seed instead, as `Positions` has it.
        bound: mean of U(k) over them.
    """

    bound: MeanBound
    u: list[float] = field(default_factory=list)
    beta: list[float] = field(default_factory=list)
    below: list[bool] = field(default_factory=list)
    text: list[int] = field(default_factory=list)
    keyed: list[Keyed] = field(default_factory=list)

    @property
    def positions(self) -> Positions:
        """What was measured of the keyed drafts."""
        lengths = np.bincount(self.text) if self.text else np.array([], dtype=int)
        u, gap, own, plausible, beta, agrees = zip(*self.keyed, strict=True) if self.keyed else [()] * 6
        return Positions(
            lengths=tuple(map(int, lengths)),
            u=tuple(map(_short, u)),
            gap=tuple(map(_short, gap)),
            own=tuple(map(_short, own)),
            plausible=tuple(map(_short, plausible)),
            beta=tuple(map(_short, beta)),
            agrees=agrees,
        )


def _short(number: float) -> float:
    """Four digits of it: a profile holds thousands."""
    return float(f"{number:.4g}")


class SkippedRisk(NamedTuple):
    """The risk taken with a threshold.

    Attributes:
        share: of tokens skipped.
        mean_beta: of the skipped tokens; NaN where there are none.
    """

    share: float
    mean_beta: Estimate


def skipped_risk(tokens: Tokens, threshold: float, *, seed: int) -> SkippedRisk:
    """Expected risk of the tokens that a gate with `threshold` would skip.

    Args:
        tokens: at least one.
        threshold: u_th.
        seed: of the resampling, which takes whole texts: tokens of one text are not independent.
    """
    skipped, text = np.array(tokens.u) <= threshold, np.array(tokens.text)
    betas, counts = (np.bincount(text, each).astype(np.float64) for each in (skipped * np.array(tokens.beta), skipped))
    ratio = Ratio(betas, counts)
    return SkippedRisk(float(skipped.mean()), estimate(ratio, resample_counts(text.max() + 1, seed=seed)))


def calibrate(
    draft: Engine,
    target: Engine,
    prompts: Sequence[Prompt],
    plan: CalibrationPlan,
    progress: Progress = lambda *_: None,
) -> tuple[Profile, Tokens]:
    """Measure a pair on the target's own answers to `prompts`.

    Returns:
        The profile, and the measurements it was made from.

    Raises:
        IncompatibleModels: they do not share a vocabulary.
        ConfigurationError: there are too few tokens to fit anything.
        ContextOverflow: a prompt does not fit; told before anything is measured.
    """
    vocab_size = shared_vocabulary(draft, target.card, target.tokenizer.vocabulary)
    check_enough(len(prompts) * plan.max_tokens)
    tokens = Tokens(MeanBound(vocab_size))
    encoded = [_encode(draft, target, prompt, plan) for prompt in prompts]
    for done, prompt in enumerate(encoded):
        progress(done, len(prompts))
        _measure_answer(draft, target, prompt, plan, plan.seed + done, tokens)
        tokens.text += [done] * (len(tokens.u) - len(tokens.text))
    progress(len(prompts), len(prompts))
    check_enough(len(tokens.u))
    return _profile(draft, target, prompts, plan, tokens), tokens


def check_enough(tokens: int) -> None:
    """Refuse to calibrate on so many tokens.

    Raises:
        ConfigurationError: they are too few to fit a line through.
    """
    if tokens < FEWEST_TOKENS:
        raise ConfigurationError(
            f"{tokens} calibration tokens are too few to fit a line; expected {FEWEST_TOKENS} or more; give more "
            "prompts, or more tokens per prompt"
        )


def _encode(draft: Engine, target: Engine, prompt: Prompt, plan: CalibrationPlan) -> tuple[int, ...]:
    """The prompt's tokens, checked to leave room for an answer."""
    encoded = encode_prompt(draft.tokenizer, target.card.chat, prompt.text, system=plan.system)
    context = min(draft.card.context_length, target.card.context_length)
    if len(encoded) >= context:
        raise ContextOverflow(
            f"the prompt {prompt.id!r} has {len(encoded)} tokens; draft and target hold {context}, the answer "
            "included; leave it out, or give a larger --context"
        )
    return encoded


def _measure_answer(
    draft: Engine, target: Engine, prompt: Sequence[int], plan: CalibrationPlan, seed: int, tokens: Tokens
) -> None:
    """Let the target answer, and measure at every position what a draft would have met with."""
    measure = make_measurement(plan.uncertainty, seed)
    for at in walk(draft, target, prompt, plan.sampling, seed, plan.max_tokens):
        _measure(at, plan, seed, measure, tokens)


def _measure(at: TextPosition, plan: CalibrationPlan, seed: int, measure: Measurement, tokens: Tokens) -> None:
    row = LogitRow.of(at.draft_logits)
    draft_probs, target_probs = law_of(row, plan.sampling), distribution(at.target_logits, plan.sampling)
    token = draw(draft_probs, uniform(seed, at.position, Purpose.DRAFT)).token
    tokens.u.append(measure(row, token, at.position))
    tokens.beta.append(rejection_probability(draft_probs, target_probs, token))
    tokens.below.append(bool(target_probs[token] < draft_probs[token]))
    tokens.bound.add(draft_probs, target_probs)
    tokens.keyed.append(_keyed(at, row, draft_probs, target_probs, seed, measure))


def _keyed(
    at: TextPosition, row: LogitRow, draft_probs: Array, target_probs: Array, seed: int, measure: Measurement
) -> Keyed:
    ended = race(draft_probs, seed, at.position)
    return Keyed(
        u=measure(row, ended.token, at.position),
        gap=ended.gap if math.isfinite(ended.gap) else math.nan,
        own=max(plausibility(at.draft_logits, ended.token), _LEAST_PLAUSIBLE),
        plausible=plausibility(at.target_logits, ended.token),
        beta=rejection_probability(draft_probs, target_probs, ended.token),
        agrees=ended.token == at.token,
    )


def _profile(
    draft: Engine, target: Engine, prompts: Sequence[Prompt], plan: CalibrationPlan, tokens: Tokens
) -> Profile:
    u, beta = np.array(tokens.u), np.array(tokens.beta)
    rejection = fit_rejection(u, beta)
    delta = float(np.mean(tokens.below))
    return Profile(
        draft_name=draft.card.name,
        draft_fingerprint=draft.card.fingerprint,
        target_name=target.card.name,
        target_fingerprint=target.card.fingerprint,
        vocab_fingerprint=draft.card.vocab_fingerprint,
        uncertainty=plan.uncertainty,
        rejection=rejection,
        delta=delta,
        risk_averse=risk_averse_threshold(rejection),
        risk_prone=risk_prone_threshold(rejection, delta),
        k_star=offline_k(tokens.bound.values, plan.vartheta),
        vartheta=plan.vartheta,
        curve=risk_curve(u, beta),
        provenance=Provenance(
            prompts=plan.prompts_name,
            n_prompts=len(prompts),
            n_tokens=len(u),
            sampling=plan.sampling,
            seed=plan.seed,
            date=datetime.now(UTC).date().isoformat(),
            cuhlm_version=version("cuhlm"),
        ),
        scores=fit_scores(tokens.positions),
        positions=tokens.positions,
        vocab_size=len(tokens.bound.values),
    )


def risk_curve(u: npt.NDArray[np.float64], beta: npt.NDArray[np.float64]) -> RiskCurve:
    """What each threshold from 0 to 1 would skip."""
    thresholds = np.linspace(0, 1, CURVE_POINTS)
    skipped = [u <= threshold for threshold in thresholds]
    return RiskCurve(
        threshold=tuple(map(float, thresholds)),
        skipped_share=tuple(float(mask.mean()) for mask in skipped),
        skipped_beta=tuple(float(beta[mask].mean()) if mask.any() else float("nan") for mask in skipped),
    )
