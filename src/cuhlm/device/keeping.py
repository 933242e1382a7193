"""Which drafts are kept within a risk budget, and what the audits find of them (design 2.11); no I/O, no model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cuhlm.errors import ProtocolError
from cuhlm.messages import Audit, Verdict
from cuhlm.settings import RiskSettings
from cuhlm.theory.certificate import Certificate
from cuhlm.theory.control import OutageAccount, RiskControl
from cuhlm.theory.score import PLAUSIBLE, Signals, Wrong, refined_shift
from cuhlm.theory.verification import rejection


@dataclass(slots=True)
class Kept:
    """A draft that the device keeps.

    Attributes:
        features: what the score is made of.
        score: s, the predicted chance that this is wrong.
        probability: x_d.
        is_forced: whether it is kept only because nobody can be asked.
        number: in the certificate, once nothing can undo it; None before, and where it is forced.
    """

    features: tuple[float, ...]
    score: float
    probability: float
    is_forced: bool = False
    number: int | None = None


@dataclass(frozen=True, slots=True)
class RiskReport:
    """What was risked in one stream of tokens.

    Attributes:
        risk: α, the budget per produced token.
        wrong_means: the definition.
        produced: tokens, those in outages not counted.
        kept: of these, without asking.
        audited: of these, those that the target has judged.
        wrong: sum of the labels of the audited: how many are wrong.
        slack: wrong tokens that the control allows beside α · produced.
        certified: with a probability of 1 − δ, the mean chance of the audited to be wrong is at most this.
        delta: δ.
        threshold: τ at the end.
        outages: tokens that outages forced upon the device.
        tail_passes: of the target, for audits behind the last token, which no record has.
        tail_rows: positions that they judged.
    """

    risk: float
    wrong_means: Wrong
    produced: int
    kept: int
    audited: int
    wrong: float
    slack: float
    certified: float
    delta: float
    threshold: float
    outages: OutageAccount
    tail_passes: int = 0
    tail_rows: int = 0

    @property
    def wrong_per_produced(self) -> float:
        """Share of the produced tokens; NaN where there are none."""
        return _share(self.wrong, self.produced)

    @property
    def wrong_per_kept(self) -> float:
        """Share of the audited; NaN where there are none."""
        return _share(self.wrong, self.audited)

    @property
    def kept_share(self) -> float:
        """Of the produced tokens; NaN where there are none."""
        return _share(self.kept, self.produced)


class Keeping:
    """Keeps drafts as long as the audits find few of them wrong.

    Its state holds for one stream of tokens: of one answer, or of the answers of one conversation, one after the other.

    Attributes:
        settings: the score may be replaced by a better one between two answers.
        control: the threshold, and what it has counted.
        audited: features and label of each token that was audited since `refine`.
    """

    def __init__(self, settings: RiskSettings) -> None:
        self.settings = settings
        self.control = RiskControl(settings.budget)
        self._certificate = Certificate(settings.delta)
        self.audited: list[tuple[tuple[float, ...], float]] = []
        self._kept = 0
        self._audited = 0
        self._shift = 0.0

    def keep(self, signals: Signals, probability: float) -> Kept | None:
        """A draft with these signals, drawn with this probability x_d, if it is kept; None where it is to be asked."""
        features = signals.features()
        score = self.settings.score.predict(features)
        if not self.control.keeps(score):
            return None
        self.control.note_kept()
        return Kept(features, score, probability)

    def force(self, signals: Signals, probability: float) -> Kept:
        """As `keep`, but nobody can be asked: what the control would not keep is kept on another account."""
        if (kept := self.keep(signals, probability)) is not None:
            return kept
        self.control.note_forced()
        features = signals.features()
        return Kept(features, self.settings.score.predict(features), probability, is_forced=True)

    def note_final(self, kept: Kept) -> None:
        """Nothing can undo it: it is of the answer. In the order of positions, before its audit."""
        if not kept.is_forced:
            kept.number = self._certificate.decide(kept.score)
            self._kept += 1

    def note_asked(self) -> None:
        """A token is produced that the target was asked for."""
        self.control.note_asked()

    def forget(self, kept: Kept) -> None:
        """It was rolled back before it was final."""
        if not kept.is_forced:
            self.control.note_forgotten(1)

    def note_audit(self, kept: Kept, audit: Audit) -> None:
        """What the target says of a final one."""
        wrong = label(self.settings.wrong, audit, kept.probability)
        if kept.is_forced:
            self.control.note_forced_label(wrong)
            return
        assert kept.number is not None, "what is audited is final"
        self.audited.append((kept.features, wrong))
        self.control.note_label(wrong)
        self._certificate.label(kept.number, wrong)
        self._audited += 1

    def refine(self) -> None:
        """Between two answers, as the score is frozen within one: let it follow what was audited."""
        if not self.audited:
            return
        features, labels = [each for each, _ in self.audited], [label for _, label in self.audited]
        score, before = self.settings.score, self._shift
        self._shift = refined_shift(score, before, features, labels)
        moved = replace(score, intercept=score.intercept + self._shift - before)
        self.settings = replace(self.settings, score=moved)
        self.audited = []

    def report(self, tail_passes: int = 0, tail_rows: int = 0) -> RiskReport:
        """What was risked so far."""
        control = self.control
        return RiskReport(
            risk=control.budget.risk,
            wrong_means=self.settings.wrong,
            produced=control.produced,
            kept=self._kept,
            audited=self._audited,
            wrong=control.wrong,
            slack=control.budget.slack,
            certified=self._certificate.bound,
            delta=self.settings.delta,
            threshold=control.threshold,
            outages=replace(control.outages),
            tail_passes=tail_passes,
            tail_rows=tail_rows,
        )


def label(wrong: Wrong, audit: Audit, draft_probability: float) -> float:
    """1 where a kept token is wrong and else 0; by `Wrong.BETA` the chance of a rejection."""
    match wrong:
        case Wrong.PLAUSIBLE:
            return float(audit.plausibility < PLAUSIBLE)
        case Wrong.KEYED:
            return float(audit.differs)
        case Wrong.BETA:
            return rejection(draft_probability, audit.probability)


def audits_of(verdict: Verdict, kept: int) -> Iterator[Audit]:
    """The audits of a verdict, one for each of the `kept` tokens that it lets stand, in order.

    Raises:
        ProtocolError: there are fewer.
    """
    if len(verdict.audits) < kept:
        raise ProtocolError(
            f"the verifier audits {len(verdict.audits)} of {kept} kept tokens; expected all; use a verifier of the "
            "same version"
        )
    return iter(verdict.audits)


def _share(part: float, whole: int) -> float:
    return part / whole if whole else float("nan")
