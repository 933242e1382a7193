"""A method with its numbers: what the gate and the truncation of one run go by.

Numbers come from the pair's profile unless they are given. Which of them a method needs follows from its row.
"""

import math
import reprlib
from dataclasses import dataclass
from typing import Literal

from cuhlm.errors import ConfigurationError, ProfileError
from cuhlm.given import instance, member, number, take, whole
from cuhlm.messages import Sampling, Verification
from cuhlm.methods import DraftFrom, GateRule, Method, TruncationRule, find_method
from cuhlm.profiles import Profile, UncertaintySettings
from cuhlm.readable import number_in
from cuhlm.theory.control import Budget, budget_from
from cuhlm.theory.rejection import RejectionModel
from cuhlm.theory.score import RiskScore, Wrong

Rule = Literal["risk-averse", "risk-prone"]
RISK_AVERSE: Rule = "risk-averse"
RISK_PRONE: Rule = "risk-prone"
DEFAULT_VARTHETA = 0.1
DEFAULT_RISK = 0.02
RELAXABLE = ("lossless", "opportunistic")
"""Methods whose verifier may let plausible drafts stand that are not the target's own tokens."""
MOST_UNAUDITED = 128
"""Kept tokens that one pass of the target audits at most."""
BLOCK_METHODS = ("hlm", "split", "cu-hlm-offline", "cu-hlm")
"""Methods whose requests may carry several drafts; with a gate, up to the first that it keeps."""
SPLIT_BLOCK = 4
"""Drafts per request of `split`, unless something else is asked for."""


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """What `opportunistic` may risk, and how it goes about it (design 2.11).

    Attributes:
        budget: share of produced tokens that may be wrong, and how the threshold follows the audits.
        score: predicts the chance that keeping a draft is wrong.
        wrong: what counts as wrong.
        audit_every: kept tokens after which the target audits them, at least.
        audit_seconds: likewise, where methods go by time.
        delta: chance that the certificate is false.
    """

    budget: Budget
    score: RiskScore
    wrong: Wrong = Wrong.PLAUSIBLE
    audit_every: int = 32
    audit_seconds: float = 2.0
    delta: float = 0.05

    def __post_init__(self) -> None:
        instance(Budget, "the budget", self.budget)
        instance(RiskScore, "the risk score", self.score)
        object.__setattr__(self, "wrong", member(Wrong, "what counts as wrong", self.wrong))
        take(self, whole, "audit_every")
        take(self, number, "audit_seconds", "delta")
        most = min(self.budget.most_pending + 1, MOST_UNAUDITED)
        for name, value, holds, expected in (
            (
                "the number of kept tokens between audits",
                self.audit_every,
                1 <= self.audit_every <= most,
                f"1 to {most}",
            ),
            ("the time between audits", self.audit_seconds, self.audit_seconds > 0, "a number of seconds above 0"),
            ("the chance of a false certificate", self.delta, 0 < self.delta < 1, "a number between 0 and 1"),
        ):
            if not holds:
                raise ConfigurationError(f"{name} is {value}; expected {expected}")


@dataclass(frozen=True, slots=True)
class Settings:
    """One method, ready to run.

    Attributes:
        method: its row.
        uncertainty: how u is computed.
        threshold: u_th; the gate skips iff u ≤ u_th.
        transmit_rate: chance that the random gate transmits.
        k: entries that the offline truncation sends.
        vartheta: bound ϑ of the online truncation.
        rejection: model of β that the online truncation uses.
        draft_from: which law a sent draft is drawn from.
        b_prob: bits per probability sent.
        patience_seconds: how long the target waits for drafts that stream ahead before it makes a token alone; infinite
            waits to be asked (design 2.10).
        block: drafted tokens per request, of a method that asks for every one; 1 is the paper's.
        risk: of a method that has a risk budget.
        relaxed: whether an asked draft also stands if it is plausible to the target (design 2.11).
        law_entries: of y, that come down where `split` rejects a draft; 0 is all of it, exactly.
    """

    method: Method
    uncertainty: UncertaintySettings = UncertaintySettings()
    threshold: float = 0.0
    transmit_rate: float = 1.0
    k: int = 1
    vartheta: float = DEFAULT_VARTHETA
    rejection: RejectionModel | None = None
    draft_from: DraftFrom = DraftFrom.X
    b_prob: int = 8
    patience_seconds: float = 0.0
    block: int = 1
    risk: RiskSettings | None = None
    relaxed: bool = False
    law_entries: int = 0

    def __post_init__(self) -> None:
        instance(Method, "the method", self.method)
        instance(bool, "relaxed", self.relaxed)
        instance(UncertaintySettings, "the uncertainty", self.uncertainty)
        object.__setattr__(self, "draft_from", member(DraftFrom, "draft_from", self.draft_from))
        take(self, whole, "k", "b_prob", "block", "law_entries")
        take(self, number, "threshold", "transmit_rate", "vartheta", "patience_seconds")
        for name, value, holds, expected in (
            ("the distortion bound", self.vartheta, self.vartheta >= 0, "0 or more (0.1 is usual)"),
            ("k", self.k, 1 <= self.k < 2**32, "1 to 4294967295"),
            ("the threshold", self.threshold, not math.isnan(self.threshold), "a number"),
            ("b_prob", self.b_prob, 4 <= self.b_prob <= 16, "4 to 16 bits (the paper's is 8)"),
            ("the rate of transmission", self.transmit_rate, 0 <= self.transmit_rate <= 1, "0 to 1"),
            ("the number of y's entries", self.law_entries, 0 <= self.law_entries < 2**32, "0 (all) to 4294967295"),
            ("the patience", self.patience_seconds, self.patience_seconds >= 0, "0 s or more (inf waits to be asked)"),
        ):
            if not holds:
                raise ConfigurationError(f"{name} is {value}; expected {expected}")
        if self.method.gate is GateRule.RISKY:
            instance(RiskSettings, f"what {self.method.name} may risk", self.risk)
        if self.relaxed and self.method.verification not in (Verification.KEYED, Verification.AUDITED):
            raise ConfigurationError(
                f"relaxed verdicts for {self.method.name}; expected them with {' or '.join(RELAXABLE)}"
            )
        if self.block < 1 or (self.block > 1 and self.method.name not in BLOCK_METHODS):
            raise ConfigurationError(
                f"{self.block} drafted tokens per request for {self.method.name}; expected 1, or more with "
                f"{', '.join(BLOCK_METHODS)}"
            )


def settings_for(
    method: Method,
    profile: Profile | None,
    *,
    threshold: str | float = RISK_AVERSE,
    k: int | None = None,
    vartheta: float | None = None,
    draft_from: DraftFrom = DraftFrom.X,
    b_prob: int = 8,
    patience_seconds: float = 0.0,
    block: int | None = None,
    law_entries: int = 0,
    risk: float = DEFAULT_RISK,
    wrong: Wrong = Wrong.PLAUSIBLE,
    relaxed: bool = False,
) -> Settings:
    """The settings of `method`, from `profile` where they are not given.

    Args:
        method: its row.
        profile: of the pair; None where the method needs none.
        threshold: u_th, or the name of one of the profile's two.
        k: for the offline truncation; None takes the profile's k*.
        vartheta: for the online truncation; None takes the profile's.
        draft_from: which law a sent draft is drawn from.
        b_prob: bits per probability sent.
        patience_seconds: see `Settings`.
        block: see `Settings`; None takes what is usual for the method.
        law_entries: see `Settings`.
        risk: share of tokens that may be kept and wrong, of a method with such a budget; 0 is `lossless`.
        wrong: what counts as wrong.
        relaxed: see `Settings`.

    Raises:
        ConfigurationError: a number is out of range, or missing with no profile to take it from.
        ProfileError: the profile cannot give it.
    """
    instance(Method, "the method", method)
    if profile is not None:
        instance(Profile, "the profile", profile)
    has_budget = method.gate is GateRule.RISKY
    if has_budget and number("the risk", risk) == 0:
        method, has_budget = find_method("lossless"), False
    limit = resolve_threshold(threshold, profile) if method.is_gated else 0.0
    needs_profile = (method.gate is GateRule.RANDOM or method.truncation is TruncationRule.ONLINE) or (
        method.truncation is TruncationRule.OFFLINE and k is None
    )
    if needs_profile and profile is None:
        raise ConfigurationError(
            f"the method {method.name} needs the pair's profile; "
            "make one with `cuhlm calibrate` and give it with --profile"
        )
    return Settings(
        method=method,
        uncertainty=profile.uncertainty if profile else UncertaintySettings(),
        threshold=limit,
        transmit_rate=1 - profile.curve.share_at(limit) if profile else 1.0,
        k=k if k is not None else profile.k_star if profile else 1,
        vartheta=vartheta if vartheta is not None else profile.vartheta if profile else DEFAULT_VARTHETA,
        rejection=profile.rejection if profile else None,
        draft_from=draft_from,
        b_prob=b_prob,
        patience_seconds=patience_seconds,
        block=block if block is not None else SPLIT_BLOCK if method.name == "split" else 1,
        law_entries=law_entries,
        risk=_risk_settings(method, profile, risk, wrong) if has_budget else None,
        relaxed=relaxed,
    )


def _risk_settings(method: Method, profile: Profile | None, risk: float, wrong: Wrong) -> RiskSettings:
    """A budget that begins at the calibrated threshold.

    Raises:
        ConfigurationError: there is no profile, or the risk is out of range.
        ProfileError: the profile has no score.
    """
    Budget(risk)  # refused here, if it is none
    if profile is None:
        raise ConfigurationError(
            f"the method {method.name} needs the pair's profile; "
            "make one with `cuhlm calibrate` and give it with --profile"
        )
    if wrong not in profile.scores:
        raise ProfileError(
            f"the profile has no score of what is {wrong}, as an older one; make it anew with `cuhlm calibrate`"
        )
    fitted = profile.scores[wrong]
    return RiskSettings(budget_from(risk, fitted.threshold_for(risk)), fitted.score, wrong)


def resolve_threshold(threshold: str | float, profile: Profile | None) -> float:
    """u_th as a number.

    A calibrated threshold outside [0, 1] is returned as it is: below 0 it never skips, at 1 and above it always
    does. Whoever shows it says so (`threshold_meaning`).

    Raises:
        ConfigurationError: a given number lies outside [0, 1], or a name is unknown or has no profile to look in.
        ProfileError: the profile's threshold is undefined.
    """
    if isinstance(threshold, str) and threshold in (RISK_AVERSE, RISK_PRONE):
        if profile is None:
            raise ConfigurationError(
                f"the threshold {threshold!r} is a profile's and there is none; give --profile, or a number from 0 to 1"
            )
        value = profile.risk_averse if threshold == RISK_AVERSE else profile.risk_prone
        if math.isnan(value):
            raise ProfileError(
                f"the profile has no {threshold} threshold: β does not grow with u on this pair "
                f"(a = {profile.rejection.a:.3f}); give --threshold a number from 0 to 1"
            )
        return value
    value = number_in(threshold) if isinstance(threshold, str) else number("the threshold", threshold)
    if not 0 <= value <= 1:
        raise ConfigurationError(
            f"the threshold {reprlib.repr(threshold)} is unusable; expected {RISK_AVERSE}, {RISK_PRONE}, or a number "
            "from 0 to 1"
        )
    return value


def sampling_note(settings: Settings, profile: Profile | None, sampling: Sampling) -> str:
    """That a profile's numbers are used under another sampling than they were measured under; empty where not."""
    if not settings.method.is_gated or profile is None or profile.provenance.sampling == sampling:
        return ""
    return (
        f"the profile was calibrated at {profile.provenance.sampling}, and this decodes at {sampling}: "
        "what its thresholds skip and risk may differ"
    )


def threshold_meaning(settings: Settings) -> str:
    """What the settings' threshold does where that is not the usual; empty where it is."""
    threshold = settings.threshold
    if not settings.method.is_gated:
        return ""
    if threshold < 0:
        return (
            f"u_th = {threshold:.3f} lies below 0: no uncertainty is low enough for this rule, "
            "so every token is transmitted"
        )
    if threshold >= 1:
        return f"u_th = {threshold:.3f} is at least 1: every token is skipped, so the target is never asked"
    return ""
