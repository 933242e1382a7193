"""The demo: every method on a few prompts, over one channel, with the built-in pair and a verifier process."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cuhlm.channel.billing import tokens_per_second
from cuhlm.channel.compute import ComputeTable, find_compute
from cuhlm.channel.presets import Channel, find_channel
from cuhlm.device.device import Device, Request
from cuhlm.device.ending import Limits
from cuhlm.device.steps import Emit
from cuhlm.engines.base import Engine
from cuhlm.experiments.grid.replay import bill_of
from cuhlm.measuring.quality import PathQuality, mean_quality, token_qualities
from cuhlm.measuring.summary import Summary, summarise
from cuhlm.measuring.timeline import Timeline, agreements, costs_of, replay, replay_remote
from cuhlm.messages import Fate, Sampling
from cuhlm.methods import METHODS, GateRule
from cuhlm.profiles import Profile
from cuhlm.records import TokenRecord
from cuhlm.settings import RISK_AVERSE, RISK_PRONE, Settings, resolve_threshold, settings_for
from cuhlm.theory.quality import agreement

PROMPTS = (
    "Why is the sky blue? Answer in two sentences.",
    "Give me three tips for packing a suitcase.",
    "Write a short story about a robot that learns to paint.",
)


Tokens = dict[str, list[int]]
"""The tokens of each prompt's answer."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the methods are compared under.

    Attributes:
        channel: simulated; billed from the traces.
        compute: what a forward pass costs in the bill.
        sampling: of both models.
        threshold: u_th, or a rule of the profile.
        max_tokens: per answer.
        seed: of the keyed randomness.

    Raises:
        ConfigurationError: one of them is out of range.
    """

    channel: Channel
    compute: ComputeTable
    sampling: Sampling
    threshold: str
    max_tokens: int
    seed: int

    def __post_init__(self) -> None:
        if self.threshold not in (RISK_AVERSE, RISK_PRONE):
            resolve_threshold(self.threshold, None)
        self.request((0,))  # refuses what no request may have, before anything is loaded

    def request(self, prompt: tuple[int, ...]) -> Request:
        """For an answer to `prompt`."""
        return Request(prompt, self.sampling, self.seed, Limits(self.max_tokens))


@dataclass(frozen=True, slots=True)
class Streaming:
    """`lossless` beside `remote` where it is meant for: a large target behind a network.

    Attributes:
        channel: between the two.
        compute: how fast they are.
        remote: the first prompt's answer in simulated time.
        lossless: likewise.
    """

    channel: Channel
    compute: ComputeTable
    remote: Timeline
    lossless: Timeline

    def as_json(self) -> dict[str, Any]:
        """Tokens per second of both."""
        return {
            "channel": self.channel.name,
            "compute": self.compute.name,
            "tokens_per_s_remote": _speed(self.remote),
            "tokens_per_s_lossless": _speed(self.lossless),
        }


def _speed(timeline: Timeline) -> float:
    return len(timeline.delivered_at) / timeline.seconds


def stream_demo(device: Device, conditions: Conditions) -> Streaming:
    """Decode the longest prompt's answer along the target's path, and let it happen again over `lte`."""
    settings = settings_for(METHODS["lossless"], None)
    records = [emit.record for emit in device.generate_path(settings, _request(device, PROMPTS[-1], conditions))]
    channel, compute = find_channel("lte"), find_compute("laptop-1b-server-70b")
    agrees, costs = agreements(records), costs_of(records, compute)
    ours = replay(agrees, channel, costs, [record.gap for record in records])
    return Streaming(channel, compute, replay_remote(len(records), channel, costs), ours)


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One method's answers and numbers.

    Attributes:
        settings: the method with its numbers.
        answers: one per prompt.
        records: of all answers.
        summary: of the records.
        tokens_per_s_simulated: tokens over the billed seconds.
        tokens_per_s_wall: tokens over the seconds it took here, the prompt's reading included.
        quality: of the answers' paths.
        agreement_with_remote: share of positions with the token that `remote` has there.
    """

    settings: Settings
    answers: tuple[tuple[Emit, ...], ...]
    records: tuple[TokenRecord, ...]
    summary: Summary
    tokens_per_s_simulated: float
    tokens_per_s_wall: float
    quality: PathQuality
    agreement_with_remote: float

    def as_json(self) -> dict[str, Any]:
        """The numbers of the demo's table."""
        summary = self.summary
        return {
            "tokens_per_s_simulated": self.tokens_per_s_simulated,
            "tokens_per_s_wall": self.tokens_per_s_wall,
            "transmitted_share": summary.transmitted_share,
            "mean_k": summary.mean_k,
            "vocabulary_compression": summary.vocabulary_compression,
            "uplink_bytes_per_token": summary.uplink_bytes_per_token,
            "wire_bytes_per_token": summary.wire_bytes_per_token,
            "wire_bytes_down_per_token": summary.wire_bytes_down_per_token,
            "target_passes_per_token": summary.target_passes_per_token,
            "acceptance": summary.acceptance,
            "mean_tv": self.quality.tv,
            "mean_nll": self.quality.nll,
            "agreement_with_remote": self.agreement_with_remote,
            "tokens": summary.tokens,
        }


class DemoListener(Protocol):
    """Is told how the demo goes; the command line prints it."""

    def method_begins(self, settings: Settings) -> None:
        """A method's turn."""
        ...

    def answer_is_done(self, prompt: str, answer: Sequence[Emit]) -> None:
        """One of its answers."""
        ...


def run_demo(
    device: Device, target: Engine, profile: Profile | None, conditions: Conditions, listener: DemoListener
) -> dict[str, MethodResult]:
    """Run every method on every prompt.

    Args:
        device: with a link to the verifier.
        target: the same target here, to measure quality with; the verifier's own stays behind its link.
        profile: of the pair.
        conditions: the same for all methods.
        listener: is told of every answer.
    """
    remote: Tokens = {}
    results: dict[str, MethodResult] = {}
    # `remote` comes first, as the others are compared with it, and `u-hlm` before `rand-hlm`, which takes its rate.
    for method in sorted(METHODS.values(), key=lambda method: (method.drafts, method.gate is GateRule.RANDOM)):
        settings = settings_for(method, profile, threshold=conditions.threshold)
        if method.gate is GateRule.RANDOM:
            settings = replace(settings, transmit_rate=results["u-hlm"].summary.transmitted_share)
        listener.method_begins(settings)
        answers, seconds = _answers(device, settings, conditions, listener)
        tokens = {prompt: [emit.record.token for emit in answer] for prompt, answer in answers.items()}
        remote = remote or tokens
        records = [emit.record for answer in answers.values() for emit in answer]
        results[method.name] = MethodResult(
            settings,
            tuple(answers.values()),
            tuple(records),
            summarise(records, device.vocab_size),
            tokens_per_s_simulated=_simulated_speed(device, settings, answers, conditions),
            tokens_per_s_wall=len(records) / seconds,
            quality=_quality(device, target, settings, conditions, answers),
            agreement_with_remote=_mean([agreement(tokens[prompt], remote[prompt]) for prompt in PROMPTS]),
        )
    return {name: results[name] for name in METHODS}


def _answers(
    device: Device, settings: Settings, conditions: Conditions, listener: DemoListener
) -> tuple[dict[str, tuple[Emit, ...]], float]:
    """Each prompt's answer, and the seconds that all of them took."""
    answers, seconds = {}, 0.0
    for prompt in PROMPTS:
        started = time.perf_counter()
        answers[prompt] = tuple(device.generate(settings, _request(device, prompt, conditions)))
        seconds += time.perf_counter() - started
        listener.answer_is_done(prompt, answers[prompt])
    return answers, seconds


def _request(device: Device, prompt: str, conditions: Conditions) -> Request:
    return conditions.request(device.prompt(prompt))


def _simulated_speed(
    device: Device, settings: Settings, answers: dict[str, tuple[Emit, ...]], conditions: Conditions
) -> float:
    billed = bill_of(settings.method)
    if settings.method.streams:  # what it costs depends on the drafts along the target's path: decode that
        answers = {
            prompt: tuple(device.generate_path(settings, _request(device, prompt, conditions))) for prompt in answers
        }
    return tokens_per_second(
        [billed([emit.record for emit in of], conditions.channel, conditions.compute) for of in answers.values()]
    )


def _quality(
    device: Device, target: Engine, settings: Settings, conditions: Conditions, answers: dict[str, tuple[Emit, ...]]
) -> PathQuality:
    """Means over the tokens of all answers."""
    qualities: list[PathQuality] = []
    for prompt, emits in answers.items():
        records = [emit.record for emit in emits]
        qualities += token_qualities(
            _request(device, prompt, conditions).prompt,
            [record.token for record in records],
            device.draft,
            target,
            settings,
            conditions.sampling,
            device.vocab_size,
            kept=[record.fate in (Fate.SKIPPED, Fate.LOCAL) for record in records],
        )
    return mean_quality(qualities)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
