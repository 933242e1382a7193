"""Calibrated scores of the risk of keeping a draft, as a profile holds them (design 2.11)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cuhlm.readable import Count, Finite, Share, Some, WholeNumber
from cuhlm.theory.score import MOST_SHIFT, RiskScore, Signals, refined_shift

_FEATURES = len(Signals(0.0, 0.0, 1.0).features())


@dataclass(frozen=True, slots=True)
class Reliability:
    """One bin of held-out tokens, by their score.

    Attributes:
        predicted: mean score.
        realised: mean of what it predicts.
        n: tokens.
    """

    predicted: Share
    realised: Share
    n: Count


@dataclass(frozen=True, slots=True)
class FittedScore:
    """The score of one definition of wrong, and how well it foresees what it was not fitted to.

    Attributes:
        intercept, weights: of `RiskScore`, fitted to all calibration tokens.
        area_under_curve: chance that a wrong token has the higher score; NaN where all are alike.
        threshold: scores, ascending; held-out ones, as all that follows.
        kept_share: share of drafts with a score up to each threshold.
        wrong_share: what is wrong among them, on average.
        reliability: ascending bins.
        folds: in how many parts the texts were held out in turn; 1 means not at all, as there were too few.
        shift: added to the intercept since, as audits asked for.
        audits: how many.
        refined: date of the last, ISO 8601; empty where there was none.
    """

    intercept: Finite
    weights: tuple[Finite, ...]
    area_under_curve: float
    threshold: Some[Share]
    kept_share: tuple[Share, ...]
    wrong_share: tuple[Share, ...]
    reliability: tuple[Reliability, ...]
    folds: Count
    shift: Finite = 0.0
    audits: WholeNumber = 0
    refined: str = ""

    @property
    def score(self) -> RiskScore:
        """As it is used."""
        return RiskScore(self.intercept + self.shift, self.weights)

    def threshold_for(self, risk: float) -> float:
        """The largest threshold that kept at most a share `risk` of wrong ones; 0 where none did."""
        fitting = [at for at, wrong in zip(self.threshold, self.wrong_share, strict=True) if wrong <= risk]
        return max(fitting, default=0.0)

    def kept_at(self, risk: float) -> float:
        """Share of drafts that it kept."""
        at = self.threshold_for(risk)
        return max(
            (kept for each, kept in zip(self.threshold, self.kept_share, strict=True) if each <= at), default=0.0
        )

    def refined_by(self, features: list[tuple[float, ...]], labels: list[float], date: str) -> "FittedScore":
        """After the audits of kept tokens.

        Args:
            features: of each.
            labels: whether it was wrong, in [0, 1].
            date: ISO 8601.
        """
        shift = refined_shift(self.score, self.shift, features, labels)
        return replace(self, shift=shift, audits=self.audits + len(labels), refined=date)

    def expectations(self) -> Iterator[tuple[str, object, bool, str]]:
        """What must hold beyond the types: (name, value, holds, expected)."""
        yield "weights", self.weights, len(self.weights) == _FEATURES, f"{_FEATURES} numbers"
        area = self.area_under_curve
        yield "area_under_curve", area, math.isnan(area) or 0 <= area <= 1, "a number from 0 to 1"
        ascends = all(low < high for low, high in zip(self.threshold, self.threshold[1:], strict=False))
        yield "threshold", self.threshold, ascends, "ascending numbers"
        for name, shares in (("kept_share", self.kept_share), ("wrong_share", self.wrong_share)):
            yield name, shares, len(shares) == len(self.threshold), f"{len(self.threshold)} numbers, one per threshold"
        yield "shift", self.shift, abs(self.shift) <= MOST_SHIFT, f"a number from −{MOST_SHIFT} to {MOST_SHIFT}"


@dataclass(frozen=True, slots=True)
class Positions:
    """What was measured at the calibration's positions, in columns, one text behind the other.

    On the target's own texts: what a replay of any method for any link begins with.

    Attributes:
        lengths: tokens of each text.
        u: uncertainty of the keyed draft.
        gap: of its race; NaN where nothing else could be drawn.
        own: its plausibility to the draft model.
        plausible: its plausibility to the target.
        beta: its rejection probability.
        agrees: whether it is the target's token.
    """

    lengths: tuple[Count, ...] = ()
    u: tuple[Share, ...] = ()
    gap: tuple[float, ...] = ()
    own: tuple[Share, ...] = ()
    plausible: tuple[Share, ...] = ()
    beta: tuple[Share, ...] = ()
    agrees: tuple[bool, ...] = ()

    def signals(self) -> Iterator[Signals]:
        """Of each position."""
        for u, gap, own in zip(self.u, self.gap, self.own, strict=True):
            yield Signals(u, math.inf if math.isnan(gap) else gap, own)

    def expectations(self) -> Iterator[tuple[str, object, bool, str]]:
        """What must hold beyond the types: (name, value, holds, expected)."""
        tokens = sum(self.lengths)
        for name in ("u", "gap", "own", "plausible", "beta", "agrees"):
            column = getattr(self, name)
            yield name, column, len(column) == tokens, f"{tokens} entries, as many as the texts have tokens"
        gaps = all(math.isnan(gap) or 0 <= gap < math.inf for gap in self.gap)
        yield "gap", self.gap, gaps, "numbers of at least 0"
        yield "own", self.own, all(own > 0 for own in self.own), "numbers above 0"
