"""How far a method's tokens are from the target's law, exactly (design 2.9).

Both models are at hand in an experiment, so nothing is estimated: the answer is read again by both, and at each of
its positions the law that the method draws from, over all drafts it might have made, is compared with y.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cuhlm.codec.base import Codec
from cuhlm.codec.find import codec_of
from cuhlm.device.gate import make_measurement
from cuhlm.engines.base import Engine
from cuhlm.errors import ConfigurationError
from cuhlm.messages import Array, Sampling, Verification
from cuhlm.methods import DraftFrom, GateRule, TruncationRule
from cuhlm.settings import Settings
from cuhlm.theory.distributions import LogitRow, distribution
from cuhlm.theory.quality import gated_law, kl_divergence, negative_log_likelihood, total_variation
from cuhlm.theory.truncation import denominators_online, distortion_by_k, smallest_k, top_k
from cuhlm.theory.uncertainty import Measure, bin_midpoints, expected_disagreements
from cuhlm.theory.verification import resampled_law

Mask = npt.NDArray[np.bool_]
Law = npt.NDArray[np.floating]
NEGLIGIBLE = 1e-6
"""Drafts less probable than this share the k of the least probable one above it: their mass is all that is at stake."""


@dataclass(frozen=True, slots=True)
class PathQuality:
    """One position of an answer, or means over several.

    Attributes:
        tv: total variation between the method's law and y.
        kl: KL divergence of the method's law from y, nats; infinite where the target would never say it.
        nll: −ln y of the tokens that came out, nats.
    """

    tv: float
    kl: float
    nll: float


def mean_quality(qualities: Sequence[PathQuality]) -> PathQuality:
    """The mean of `token_qualities`, of one answer or of several."""
    tv, kl, nll = np.mean([(each.tv, each.kl, each.nll) for each in qualities], axis=0)
    return PathQuality(float(tv), float(kl), float(nll))


def token_qualities(
    prompt: Sequence[int],
    answer: Sequence[int],
    draft: Engine,
    target: Engine,
    settings: Settings,
    sampling: Sampling,
    vocab_size: int,
    kept: Sequence[bool] = (),
) -> list[PathQuality]:
    """The quality of each token of `answer` as `settings` produced it.

    Args:
        prompt, answer: tokens.
        draft, target: read both.
        settings: the method with its numbers.
        sampling: of both.
        vocab_size: tokens both share.
        kept: per token, whether it was kept within a risk budget. What the control would have done with another draft
            depends on all before; so its law is taken as x where it kept one, and as y where it asked.

    Raises:
        ConfigurationError: the settings use the sampled uncertainty, whose noise has no closed form here.
    """
    if settings.uncertainty.measure is Measure.SAMPLED and settings.method.gate is GateRule.UNCERTAIN:
        raise ConfigurationError(
            "the law of a gate with the measure 'sampled' has no closed form; expected another measure: "
            "calibrate with 'expected', its mean"
        )
    target_rows = read_along(target, prompt, answer, vocab_size)
    # A method that drafts nothing has the target's law: no need to read what the draft would have said.
    draft_rows = read_along(draft, prompt, answer, vocab_size) if settings.method.drafts else target_rows
    qualities = []
    law_at = greedy_law if sampling.temperature == 0 else method_law
    for at, (token, draft_logits, target_logits) in enumerate(zip(answer, draft_rows, target_rows, strict=True)):
        draft_probs, target_probs = distribution(draft_logits, sampling), distribution(target_logits, sampling)
        if settings.risk is not None:
            law: Law = draft_probs if kept[at] else target_probs
        else:
            law = law_at(settings, draft_logits, draft_probs, target_probs)
        nll = negative_log_likelihood(target_probs, token)
        qualities.append(PathQuality(total_variation(law, target_probs), kl_divergence(law, target_probs), nll))
    return qualities


def read_along(engine: Engine, prompt: Sequence[int], answer: Sequence[int], vocab_size: int) -> Array:
    """The logits that `engine` gives for each position of `answer`, shape (len(answer), |V|)."""
    sequence = engine.open()
    try:
        return sequence.append([*prompt, *answer[:-1]], rows=len(answer))[:, :vocab_size]
    finally:
        sequence.close()


def method_law(settings: Settings, draft_logits: Array, draft_probs: Array, target_probs: Array) -> Law:
    """The law of the token that the method decides on at one position, over all drafts it might make.

    Args:
        settings: the method with its numbers.
        draft_logits: raw, shape (|V|,).
        draft_probs: x, shape (|V|,).
        target_probs: y, shape (|V|,).

    Returns:
        Probabilities, shape (|V|,).
    """
    method = settings.method
    if not method.drafts:
        return target_probs
    if method.gate is GateRule.RANDOM:
        verified = _law(settings, np.zeros(len(draft_probs), bool), draft_logits, draft_probs, target_probs)
        return settings.transmit_rate * verified + (1 - settings.transmit_rate) * draft_probs
    return _law(settings, skipped_drafts(settings, draft_logits), draft_logits, draft_probs, target_probs)


def greedy_law(settings: Settings, draft_logits: Array, draft_probs: Array, target_probs: Array) -> Law:
    """`method_law` at T = 0, where only one draft can be made and one-hot laws pass the codec unchanged."""
    gate = settings.method.gate
    if gate is GateRule.RANDOM:
        return settings.transmit_rate * target_probs + (1 - settings.transmit_rate) * draft_probs
    skips = gate is GateRule.NEVER
    if gate is GateRule.UNCERTAIN:
        draft = int(np.argmax(draft_probs))
        skips = make_measurement(settings.uncertainty, 0)(LogitRow.of(draft_logits), draft, 0) <= settings.threshold
    return draft_probs if skips else target_probs


def told_target(settings: Settings, target_probs: Array) -> Array:
    """ŷ: what the device is told of y where a draft of `split` fell, shape (|V|,); need not sum to 1."""
    entries = min(settings.law_entries, int(np.count_nonzero(target_probs)))
    if entries == 0:
        return target_probs
    codec, (indices, kept) = codec_of(settings), top_k(target_probs, entries)
    return codec.decode(codec.encode(indices, kept, len(target_probs)), len(target_probs)).alone()


def skipped_drafts(settings: Settings, draft_logits: Array) -> Mask:
    """For each token, whether the gate would keep it as a draft."""
    gate = settings.method.gate
    if gate is not GateRule.UNCERTAIN:
        return np.full(len(draft_logits), gate is GateRule.NEVER)
    return _uncertainties(settings, draft_logits) <= settings.threshold


def _uncertainties(settings: Settings, draft_logits: Array) -> Array:
    """u of each token as a draft."""
    given = settings.uncertainty
    if given.measure is Measure.EXPECTED:
        return expected_disagreements(
            draft_logits, bin_midpoints(given.theta_min, given.theta_max, given.perturbations)
        )
    return np.full(len(draft_logits), make_measurement(given, 0)(LogitRow.of(draft_logits), 0, 0), np.float32)


def _law(settings: Settings, skips: Mask, draft_logits: Array, draft_probs: Array, target_probs: Array) -> Law:
    if settings.law_entries and settings.method.verification is Verification.SPLIT:
        return resampled_law(draft_probs, target_probs, told_target(settings, target_probs))
    if settings.method.truncation is TruncationRule.NONE or settings.draft_from is DraftFrom.XHAT:
        return gated_law(draft_probs, target_probs, skips)  # what is transmitted comes out as y
    codec = codec_of(settings)
    drafts_by_k = _drafts_by_k(settings, draft_logits, draft_probs)
    groups = [(mask & ~skips, _rebuilt(codec, draft_probs, k)) for k, mask in drafts_by_k]
    return gated_law(draft_probs, target_probs, skips, groups)


def _drafts_by_k(settings: Settings, draft_logits: Array, draft_probs: Array) -> list[tuple[int, Mask]]:
    """The possible drafts, grouped by how many entries would be sent with them."""
    fixed = {TruncationRule.FULL: len(draft_probs), TruncationRule.OFFLINE: min(settings.k, len(draft_probs))}
    if settings.method.truncation in fixed:
        return [(fixed[settings.method.truncation], np.ones(len(draft_probs), bool))]
    assert settings.rejection is not None, "the online rule goes with a rejection model"
    beta_hat = settings.rejection.predict_all(_uncertainties(settings, draft_logits).astype(np.float64))
    budget = settings.vartheta * denominators_online(draft_probs.astype(np.float64), beta_hat)
    k = np.asarray(smallest_k(distortion_by_k(draft_probs), budget))
    k[draft_probs < NEGLIGIBLE] = k[draft_probs >= NEGLIGIBLE].max()
    return [(int(value), k == value) for value in np.unique(k)]


def _rebuilt(codec: Codec, draft_probs: Array, k: int) -> Array:
    """What the verifier would rebuild from k entries."""
    indices, kept = top_k(draft_probs, k)
    return codec.decode(codec.encode(indices, kept, len(draft_probs)), len(draft_probs)).rebuilt()
