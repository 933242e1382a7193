"""A risk budget that holds on any text (design 2.11): adaptive conformal inference with late labels.

A drafted token is kept iff its score is at most a threshold τ, and τ follows what the audits find. Whatever the text,
the scores and the order of the labels, of n tokens at most αn + τ₁/η + D + 1 are kept and wrong. A label is 1 where a
kept token is wrong and else 0, or the chance that it is.
"""

import math
from dataclasses import dataclass

from cuhlm.errors import ConfigurationError

_LEAST_STEP = 0.001


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be risked, and how fast the threshold follows.

    Attributes:
        risk: α, share of produced tokens that may be kept and wrong, 0 ≤ α < 1.
        step: η > 0; the larger, the faster τ moves and the smaller is the slack.
        begins_at: τ₁, 0 ≤ τ₁ ≤ 1.
        most_pending: D, labels that may be outstanding.
    """

    risk: float
    step: float = 0.05
    begins_at: float = 0.0
    most_pending: int = 64

    def __post_init__(self) -> None:
        for name, value, holds, expected in (
            ("the risk", self.risk, 0 <= self.risk < 1, "a share from 0 to below 1"),
            ("the step of the control", self.step, 0 < self.step < math.inf, "a number above 0"),
            ("the threshold at the start", self.begins_at, 0 <= self.begins_at <= 1, "a number from 0 to 1"),
            ("the number of pending labels", self.most_pending, self.most_pending >= 0, "0 or more"),
        ):
            if not holds:  # a NaN fails every comparison and ends here too
                raise ConfigurationError(f"{name} is {value}; expected {expected}")

    @property
    def slack(self) -> float:
        """τ₁/η + D + 1: wrong tokens beside αn that the bound allows."""
        return self.begins_at / self.step + self.most_pending + 1

    def most_wrong(self, produced: int) -> float:
        """The bound on the kept tokens that are wrong among `produced` ones."""
        return self.risk * produced + self.slack


def budget_from(risk: float, threshold: float) -> Budget:
    """A budget that begins at a calibrated threshold, and takes a quarter of it back for each wrong token.

    The step must fit the scale of the scores: by one of 0.05, at a threshold of 0.01, a wrong token has a hundred asked
    for, whatever they are, and what the budget then allows is kept where it is riskier.

    Args:
        risk: α.
        threshold: τ₁, of scores that kept about so many wrong ones; below 0 is 0, above 1 is 1.
    """
    begins_at = min(1.0, max(0.0, threshold))
    return Budget(risk, step=max(_LEAST_STEP, begins_at / 4), begins_at=begins_at)


@dataclass(slots=True)
class OutageAccount:
    """Tokens kept because nobody could be asked, and the control would have asked: they count for themselves.

    Attributes:
        kept: how many.
        judged: of these, since judged.
        wrong: sum of their labels.
    """

    kept: int = 0
    judged: int = 0
    wrong: float = 0.0


class RiskControl:
    """The threshold of one stream of tokens; its state may be carried from answer to answer.

    Attributes:
        budget: see `Budget`.
        threshold: τ ≤ 1; below 0 nothing is kept, and it recovers. A floor would break the bound.
        labelled: tokens whose label is known.
        wrong: sum of the labels: kept and wrong ones.
        pending: kept tokens whose label is not known yet.
        outages: what outages forced upon it.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.threshold = budget.begins_at
        self.labelled = 0
        self.wrong = 0.0
        self.pending = 0
        self.outages = OutageAccount()

    def keeps(self, score: float) -> bool:
        """Whether a token with this predicted chance of being wrong, in [0, 1], may be kept.

        Not where `most_pending` labels are outstanding: the oldest must come first.
        """
        return score <= self.threshold and self.pending <= self.budget.most_pending

    def note_kept(self) -> None:
        """A token is kept; its label comes later."""
        self.pending += 1

    def note_asked(self) -> None:
        """A token is produced that the target decided: it is not wrong."""
        self._label(0.0)

    def note_label(self, wrong: float) -> None:
        """The label of one of the kept tokens, in [0, 1], in any order."""
        assert self.pending > 0, "only what was kept is labelled"
        self.pending -= 1
        self._label(wrong)

    def note_forced(self) -> None:
        """A token is kept though `keeps` says no, as nobody can be asked: it moves nothing, then or when judged."""
        self.outages.kept += 1

    def note_forced_label(self, wrong: float) -> None:
        """The label of one of these."""
        self.outages.judged += 1
        self.outages.wrong += wrong

    def note_forgotten(self, kept: int) -> None:
        """So many kept tokens were rolled back: they are none of the answer, and get no label."""
        self.pending -= kept

    @property
    def produced(self) -> int:
        """Tokens so far."""
        return self.labelled + self.pending

    def _label(self, wrong: float) -> None:
        self.labelled += 1
        self.wrong += wrong
        self.threshold = min(1.0, self.threshold + self.budget.step * (self.budget.risk - wrong))
