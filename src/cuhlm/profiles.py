"""The calibrated numbers of one model pair: what `cuhlm calibrate` writes and the gate reads (design 1, 2.4)."""

import dataclasses
import json
import math
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from cuhlm.errors import ConfigurationError, ProfileError
from cuhlm.given import as_path, member, number, take, whole
from cuhlm.messages import ModelCard, Sampling
from cuhlm.readable import Count, NotNegative, Share, Some, WholeNumber, converted, read_json
from cuhlm.records import json_values
from cuhlm.risk_scores import FittedScore, Positions
from cuhlm.theory.rejection import RejectionModel, risk_averse_threshold, risk_prone_threshold
from cuhlm.theory.score import Wrong
from cuhlm.theory.uncertainty import Measure
from cuhlm.writable import write_whole

FORMAT = 2
_OLDER = (1,)
"""Formats that are read, too: 1 had no scores of risk."""

MOST_PERTURBATIONS = 1000
"""Each is a scan of the vocabulary for every token."""

HOTTEST = 100.0
"""At which every law is all but uniform."""


@dataclass(frozen=True, slots=True)
class UncertaintySettings:
    """How u is computed (design 2.3).

    Attributes:
        measure: which of the five.
        perturbations: M, temperatures drawn.
        theta_min: temperatures lie above this…
        theta_max: …and up to this.
    """

    measure: Measure = Measure.EXPECTED
    perturbations: int = 20
    theta_min: float = 0.0
    theta_max: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "measure", member(Measure, "the measure of uncertainty", self.measure))
        take(self, whole, "perturbations")
        take(self, number, "theta_min", "theta_max")
        if not 1 <= self.perturbations <= MOST_PERTURBATIONS:
            raise ConfigurationError(
                f"perturbations is {self.perturbations}; expected 1 to {MOST_PERTURBATIONS} (the paper uses 20)"
            )
        if not 0 <= self.theta_min < self.theta_max <= HOTTEST:
            raise ConfigurationError(
                f"temperatures from {self.theta_min} to {self.theta_max} are no range; expected "
                f"0 ≤ θ_min < θ_max ≤ {HOTTEST:g} (the paper's are 0 and 2)"
            )


@dataclass(frozen=True, slots=True)
class RiskCurve:
    """What each threshold would skip, on the calibration tokens.

    Attributes:
        threshold: u, ascending from 0 to 1.
        skipped_share: share of tokens with u at most this.
        skipped_beta: mean rejection probability of those tokens; NaN where there are none.
    """

    threshold: Some[Share]
    skipped_share: tuple[Share, ...]
    skipped_beta: tuple[float, ...]

    def share_at(self, threshold: float) -> float:
        """Share of tokens that `threshold` would skip."""
        if threshold < 0:
            return 0.0
        return float(np.interp(threshold, self.threshold, self.skipped_share))


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a profile's numbers come from.

    Attributes:
        prompts: the prompt file's name, or what the prompts were.
        n_prompts: how many.
        n_tokens: calibration tokens.
        sampling: of both models while calibrating.
        seed: of the run.
        date: ISO 8601.
        cuhlm_version: that made it.
    """

    prompts: str
    n_prompts: Count
    n_tokens: Count
    sampling: Sampling
    seed: int
    date: str
    cuhlm_version: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that was calibrated for one pair.

    Attributes:
        draft_name, draft_fingerprint, target_name, target_fingerprint: the models (`ModelCard.fingerprint`).
        vocab_fingerprint: the draft's vocabulary.
        uncertainty: how u was computed; the gate must compute it the same way.
        rejection: E[β | u] ≈ a·u + b.
        delta: Δ = P(y_d < x_d).
        risk_averse: u_th = −b/a; may lie outside [0, 1].
        risk_prone: u_th = (Δ − b)/a; may lie outside [0, 1].
        k_star: smallest k of the offline rule at `vartheta`.
        vartheta: bound on the distortion.
        curve: what each threshold would skip.
        provenance: where this comes from.
        scores: of the risk of keeping a draft, by what counts as wrong; none in a profile of format 1.
        positions: what all this was measured on; likewise.
        vocab_size: tokens both models share, |V|; 0 likewise.
    """

    draft_name: str
    draft_fingerprint: str
    target_name: str
    target_fingerprint: str
    vocab_fingerprint: str
    uncertainty: UncertaintySettings
    rejection: RejectionModel
    delta: Share
    risk_averse: float
    risk_prone: float
    k_star: Count
    vartheta: NotNegative
    curve: RiskCurve
    provenance: Provenance
    scores: dict[Wrong, FittedScore] = field(default_factory=dict)
    positions: Positions = field(default_factory=Positions)
    vocab_size: WholeNumber = 0

    def check_pair(self, draft: ModelCard, target: ModelCard) -> None:
        """Refuse another pair than the one this was calibrated for.

        Raises:
            ProfileError: naming the model that differs.
        """
        for role, card, name, fingerprint in (
            ("draft", draft, self.draft_name, self.draft_fingerprint),
            ("target", target, self.target_name, self.target_fingerprint),
        ):
            if card.fingerprint != fingerprint:
                raise ProfileError(
                    f"the profile was calibrated for the {role} {name!r} ({fingerprint[:12]}), and the {role} here is "
                    f"{card.name!r} ({card.fingerprint[:12]}); run `cuhlm calibrate` for this pair"
                )

    def with_audits(self, wrong: Wrong, audited: Sequence[tuple[tuple[float, ...], float]], date: str) -> "Profile":
        """With the score of `wrong` refined.

        Args:
            wrong: a definition that the profile has a score of.
            audited: features of kept tokens, and whether each was wrong.
            date: ISO 8601.
        """
        features, labels = [each for each, _ in audited], [label for _, label in audited]
        return dataclasses.replace(
            self, scores={**self.scores, wrong: self.scores[wrong].refined_by(features, labels, date)}
        )

    def as_json(self) -> dict[str, object]:
        """The profile as JSON values; an undefined number is null."""
        return {"format": FORMAT, **{name: json_values(value) for name, value in dataclasses.asdict(self).items()}}

    def text(self) -> str:
        """The profile as it is written: JSON, a line for each field."""
        lines = [
            f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in self.as_json().items()
        ]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def save(self, path: Path) -> None:
        """Write the profile as JSON, whole or not at all.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        write_whole(path, self.text(), "the profile", shared=True)


def load_profile(path: str | Path) -> Profile:
    """Read a profile.

    Raises:
        ProfileError: the file is missing, is no profile, one of another format, or holds a number that is out of range
            or contradicts the others.
    """
    path = as_path("the profile", path)
    try:
        fields = read_json(path, "the profile")
        profile = converted(_with_undefined(_current(fields, path)), Profile, str(path), is_complete=True)
        for name, value, holds, expected in _expectations(profile):
            if not holds:
                raise ConfigurationError(f"{path}: {name} is {reprlib.repr(value)}; expected {expected}")
    except RecursionError as error:
        raise ProfileError(f"{path} is nested too deep; make one with `cuhlm calibrate`") from error
    except ConfigurationError as error:
        raise ProfileError(f"{error}; make one with `cuhlm calibrate`") from error
    return profile


def _current(fields: object, path: Path) -> dict[str, object]:
    """The fields of a profile, without its format; what an older one lacks is there, and empty."""
    number = fields.pop("format", None) if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or type(number) is not int or number not in (FORMAT, *_OLDER):
        raise ConfigurationError(f"{path} is not a profile of format {FORMAT}")
    empty = {"scores": {}, "positions": dataclasses.asdict(Positions()), "vocab_size": 0}
    return fields if number == FORMAT else {**fields, **empty}


def _with_undefined(value: object) -> object:
    """`value` with NaN for every null: the inverse of what `json_values` writes."""
    if isinstance(value, dict):
        return {name: _with_undefined(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_undefined(inner) for inner in value]
    return math.nan if value is None else value


def _expectations(profile: Profile) -> Iterator[tuple[str, object, bool, str]]:
    """What must hold of numbers beyond their own types: (name, value, holds, expected)."""
    line, curve = profile.rejection, profile.curve
    for name, value in (("rejection.a", line.a), ("rejection.b", line.b)):
        yield name, value, math.isfinite(value), "a number"
    yield "rejection.n", line.n, line.n >= 1, "how many tokens the line was fitted to"
    yield "k_star", profile.k_star, profile.k_star < 2**32, "a number of vocabulary entries"
    r = line.pearson_r
    yield "rejection.pearson_r", r, math.isnan(r) or abs(r) <= 1, "a number from -1 to 1"
    for name, value, again in (
        ("rejection.r_squared", line.r_squared, r**2),
        ("risk_averse", profile.risk_averse, risk_averse_threshold(line)),
        ("risk_prone", profile.risk_prone, risk_prone_threshold(line, profile.delta)),
    ):
        yield name, value, _agree(value, again), f"{again}, which follows from the profile's other numbers"
    ascends = all(low < high for low, high in pairwise(curve.threshold))
    yield "curve.threshold", curve.threshold, ascends, "ascending numbers"
    points = f"{len(curve.threshold)} numbers from 0 to 1, one per threshold"
    for name, shares in (("skipped_share", curve.skipped_share), ("skipped_beta", curve.skipped_beta)):
        fits = len(shares) == len(curve.threshold) and all(math.isnan(share) or 0 <= share <= 1 for share in shares)
        yield f"curve.{name}", shares, fits, points
    shares = curve.skipped_share
    yield "curve.skipped_share", shares, all(low <= high for low, high in pairwise(shares)), "shares that never fall"
    most, fits = profile.vocab_size, profile.k_star <= profile.vocab_size or not profile.scores
    yield "vocab_size", most, fits, f"at least k_star, which is {profile.k_star}"
    for wrong, score in profile.scores.items():
        yield from _named(f"scores.{wrong}", score.expectations())
    yield from _named("positions", profile.positions.expectations())


def _named(part: str, expectations: Iterator[tuple[str, object, bool, str]]) -> Iterator[tuple[str, object, bool, str]]:
    return ((f"{part}.{name}", value, holds, expected) for name, value, holds, expected in expectations)


def _agree(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b))
