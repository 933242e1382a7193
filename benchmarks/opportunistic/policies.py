"""Which drafts are kept: by the control, by fixed thresholds on the score or on u, or at random."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cuhlm.device.keeping import Keeping, Kept
from cuhlm.messages import Audit
from cuhlm.settings import RiskSettings
from cuhlm.theory.control import Budget, budget_from
from cuhlm.theory.randomness import Purpose, uniform
from cuhlm.theory.rejection import fit_rejection, risk_averse_threshold, risk_prone_threshold, threshold_at
from cuhlm.theory.score import PLAUSIBLE, RiskScore, Signals, fit_score

Floats = npt.NDArray[np.float64]

RISKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
_STEEP = 20.0  # of the logistic curve in u: any would do, as only its order counts
_STILL = 1e-12  # a control that does not move


@dataclass(frozen=True, slots=True)
class Positions:
    """What was measured on the target's own texts; an entry or a row each."""

    features: Floats
    u: Floats
    beta: Floats
    below: Floats
    wrong: Floats


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What is fitted to positions.

    Attributes:
        score: of `plausible`.
        thresholds: on it, by risk: the largest that kept at most so many wrong.
        risk_averse, risk_prone: the paper's two on u.
    """

    score: RiskScore
    thresholds: dict[float, float]
    risk_averse: float
    risk_prone: float


def calibrated(positions: Positions) -> Calibrated:
    """Fit score and thresholds."""
    score = fit_score(positions.features, positions.wrong)
    scores = score.predict_all(positions.features)
    line = fit_rejection(positions.u, positions.beta)
    delta = float(positions.below.mean())
    return Calibrated(
        score,
        {risk: max(0.0, threshold_at(scores, positions.wrong, risk)) for risk in RISKS},
        risk_averse_threshold(line),
        risk_prone_threshold(line, delta),
    )


class Tallying(Keeping):
    """Keeps, and counts by what is wrong in a way that another policy's account would."""

    def __init__(self, settings: RiskSettings) -> None:
        super().__init__(settings)
        self.implausible = 0
        self.differ = 0
        self.heard = 0

    def refine(self) -> None:
        """Not here: what is compared is the control, with one score."""

    def note_audit(self, kept: Kept, audit: Audit) -> None:
        """Also count."""
        self.heard += 1
        self.implausible += audit.plausibility < PLAUSIBLE
        self.differ += audit.differs
        super().note_audit(kept, audit)


class AtRandom(Tallying):
    """Keeps a share of the drafts, whatever they are."""

    def __init__(self, settings: RiskSettings, seed: int) -> None:
        super().__init__(settings)
        self.share = 0.0
        self._seed = seed
        self._seen = 0

    def keep(self, signals: Signals, probability: float) -> Kept | None:
        """By lot."""
        self._seen += 1
        if uniform(self._seed, self._seen, Purpose.GATE) >= self.share:
            return None
        self.control.note_kept()
        return Kept(signals.features(), 0.5, probability)


def controlled(score: RiskScore, risk: float, begins_at: float) -> RiskSettings:
    """The control with a budget of `risk`."""
    return RiskSettings(budget_from(risk, begins_at), score)


def fixed(score: RiskScore, threshold: float) -> RiskSettings:
    """Keep what has a score up to `threshold`, whatever comes of it."""
    return RiskSettings(Budget(0.0, step=_STILL, begins_at=min(1.0, max(0.0, threshold))), score)


def by_u(threshold: float) -> RiskSettings:
    """Keep where u ≤ `threshold`."""
    score = RiskScore(-_STEEP * 0.5, (0.0, _STEEP, 0.0, 0.0))
    if threshold < 0:
        return fixed(RiskScore(700.0, (0.0,) * 4), 0.0)
    reaches = 1 / (1 + math.exp(_STEEP * (0.5 - min(threshold, 1.0))))
    return fixed(score, min(1.0, reaches + 1e-12))


def with_score(settings: RiskSettings, score: RiskScore) -> RiskSettings:
    """The same with another score."""
    return replace(settings, score=score)


def paired_test(better: Sequence[bool], worse: Sequence[bool]) -> float:
    """Two-sided exact sign test over the pairs in which one is right and the other is not (McNemar's)."""
    wins = sum(a and not b for a, b in zip(better, worse, strict=True))
    losses = sum(b and not a for a, b in zip(better, worse, strict=True))
    n, least = wins + losses, min(wins, losses)
    tail = sum(math.comb(n, k) for k in range(least + 1)) / 2**n if n else 1.0
    return min(1.0, 2 * tail)
