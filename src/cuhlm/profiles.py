"""The calibrated numbers of one model pair: what `cuhlm calibrate` writes and the gate reads (design 1, 2.4)."""

import dataclasses
import json
import math
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cuhlm.errors import ConfigurationError, ProfileError
from cuhlm.messages import ModelCard, Sampling
from cuhlm.records import json_values
from cuhlm.theory.rejection import RejectionModel
from cuhlm.theory.uncertainty import Measure

FORMAT = 1

MOST_PERTURBATIONS = 1000
"""Each is a scan of the vocabulary for every token."""


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
        if not 1 <= self.perturbations <= MOST_PERTURBATIONS:
            raise ConfigurationError(
                f"perturbations is {self.perturbations}; expected 1 to {MOST_PERTURBATIONS} (the paper uses 20)"
            )
        if not 0 <= self.theta_min < self.theta_max < math.inf:
            raise ConfigurationError(
                f"temperatures from {self.theta_min} to {self.theta_max} are no range; expected 0 ≤ θ_min < θ_max"
            )


@dataclass(frozen=True, slots=True)
class RiskCurve:
    """What each threshold would skip, on the calibration tokens.

    Attributes:
        threshold: u, ascending from 0 to 1.
        skipped_share: share of tokens with u at most this.
        skipped_beta: mean rejection probability of those tokens; NaN where there are none.
    """

    threshold: tuple[float, ...]
    skipped_share: tuple[float, ...]
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
    n_prompts: int
    n_tokens: int
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
    """

    draft_name: str
    draft_fingerprint: str
    target_name: str
    target_fingerprint: str
    vocab_fingerprint: str
    uncertainty: UncertaintySettings
    rejection: RejectionModel
    delta: float
    risk_averse: float
    risk_prone: float
    k_star: int
    vartheta: float
    curve: RiskCurve
    provenance: Provenance

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

    def as_json(self) -> dict[str, Any]:
        """The profile as JSON values; an undefined number is null."""
        fields: dict[str, Any] = json_values({"format": FORMAT, **dataclasses.asdict(self)})
        return fields

    def save(self, path: Path) -> None:
        """Write the profile as JSON.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        try:
            path.write_text(json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"the profile {path} cannot be written: {error.strerror}") from error


def load_profile(path: str | Path) -> Profile:
    """Read a profile.

    Raises:
        ProfileError: the file is missing, is no profile, one of another format, or holds a number out of range.
    """
    path = Path(path)
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(
            f"the profile {path} cannot be read: {error.strerror}; make one with `cuhlm calibrate`"
        ) from error
    except ValueError as error:
        raise ProfileError(f"{path} is not JSON ({error}); expected what `cuhlm calibrate` writes") from error
    if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
        raise ProfileError(f"{path} is not a profile of format {FORMAT}; make it anew with `cuhlm calibrate`")
    try:
        profile = _profile(fields)
    except (AttributeError, TypeError, KeyError, ValueError, ConfigurationError) as error:
        raise ProfileError(f"{path} is not a whole profile ({error}); make it anew with `cuhlm calibrate`") from error
    for name, value, holds, expected in _expectations(profile):
        if not holds:
            raise ProfileError(
                f"{path}: {name} is {reprlib.repr(value)}; expected {expected}; make it anew with `cuhlm calibrate`"
            )
    return profile


def _profile(fields: dict[str, Any]) -> Profile:
    uncertainty = fields["uncertainty"] | {"measure": Measure(fields["uncertainty"]["measure"])}
    curve = {name: tuple(map(_number, values)) for name, values in fields["curve"].items()}
    rejection: dict[str, Any] = {
        name: value if name == "n" else _number(value) for name, value in fields["rejection"].items()
    }
    parts = {
        "uncertainty": UncertaintySettings(**uncertainty),
        "rejection": RejectionModel(**rejection),
        "curve": RiskCurve(**curve),
        "provenance": Provenance(**fields["provenance"] | {"sampling": Sampling(**fields["provenance"]["sampling"])}),
    }
    numbers = {name: _number(fields[name]) for name in ("delta", "risk_averse", "risk_prone", "vartheta")}
    return Profile(**(fields | parts | numbers))


def _number(value: Any) -> float:
    """A JSON number; null stands for NaN."""
    return math.nan if value is None else float(value)


def _expectations(profile: Profile) -> Iterator[tuple[str, object, bool, str]]:
    """What must hold of the values that a gate or a truncation computes with: (name, value, holds, expected)."""
    for name in ("draft_name", "draft_fingerprint", "target_name", "target_fingerprint", "vocab_fingerprint"):
        value = getattr(profile, name)
        yield name, value, isinstance(value, str), "a string"
    for name, value in (("rejection.a", profile.rejection.a), ("rejection.b", profile.rejection.b)):
        yield name, value, math.isfinite(value), "a number"
    for name, count in (("k_star", profile.k_star), ("uncertainty.perturbations", profile.uncertainty.perturbations)):
        yield name, count, type(count) is int and count >= 1, "a whole number, 1 or more"
    yield "delta", profile.delta, 0 <= profile.delta <= 1, "a number from 0 to 1"
    yield "vartheta", profile.vartheta, 0 <= profile.vartheta < math.inf, "a number, 0 or more"
    curve = profile.curve
    points = len(curve.threshold)
    ascends = points > 0 and all(low < high for low, high in pairwise(curve.threshold))
    yield "curve.threshold", curve.threshold, ascends, "ascending numbers"
    betas = tuple(beta for beta in curve.skipped_beta if not math.isnan(beta))  # NaN where nothing is skipped
    for name, shares, known in (
        ("skipped_share", curve.skipped_share, curve.skipped_share),
        ("skipped_beta", curve.skipped_beta, betas),
    ):
        fits = len(shares) == points and all(0 <= share <= 1 for share in known)
        yield f"curve.{name}", shares, fits, f"{points} numbers from 0 to 1, one per threshold"
