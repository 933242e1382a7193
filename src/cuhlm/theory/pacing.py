"""How many drafts a pass of the target takes, and when a draft is worth making: `lossless` (design 2.10).

Pure policy over numbers that others measure: the running agreement, the time of a pass as a function of its rows. The
verifier's sessions, the device and the simulation all go by it.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

MOST_DRAFTS = 15
"""Drafts that one pass takes at most: with the target's own token a batch of 16 rows."""

LEAST_CHANCE = 0.03
"""A draft is made only where it stands, with all before it that are undecided, at least so probably."""

MOST_PENDING = 64
"""Undecided drafts that a device has at most: a target may decide some forty while one goes up and its verdict down."""

_MEMORY = 0.98  # per decided draft: some fifty count
_PRIOR_CHANCE, _PRIOR_WEIGHT = 0.8, 5.0

_GAPS = (0.15, 0.4, 0.8, 1.5, 3.0)
_PRIOR_BY_GAP = (0.37, 0.44, 0.5, 0.63, 0.82, 0.985)
"""Race gaps at which the chance of a draft to stand is told apart, and what it is to begin with: measured on
Qwen2.5-Coder 0.5B and 1.5B at T = 0.7 and 1 (9877 positions)."""

_TRIED, _RESTED, _CHOSEN = 20, 12, 1024
"""Tokens timed while it is tried whether drafting pays: with drafts, without, and then the faster way."""
_SETTLING = 4
"""Tokens before each, and in each answer, that are not: what was under way still has its effect."""

_HOPEFUL = 64
"""Tokens that the target may decide alone, without one of the drafts it is sent in time, before the device pauses."""
_FIRST_PAUSE, _LONGEST_PAUSE = 32, 512


class RunningAgreement:
    """The chance that the next draft stands, from what became of those before.

    Args:
        chance: to begin with.
    """

    def __init__(self, chance: float = _PRIOR_CHANCE) -> None:
        self._stood, self._fell = _PRIOR_WEIGHT * chance, _PRIOR_WEIGHT * (1 - chance)

    @property
    def chance(self) -> float:
        """In (0, 1)."""
        return self._stood / (self._stood + self._fell)

    def note(self, stands: bool) -> None:
        """Note what became of a draft, judged or come too late."""
        self._stood = _MEMORY * self._stood + stands
        self._fell = _MEMORY * self._fell + (not stands)
        # What is never certain can be learned anew.
        self._stood, self._fell = max(self._stood, 0.05), max(self._fell, 0.05)


class AgreementByGap:
    """The same for drafts that were made, told apart by how clear their race was."""

    def __init__(self) -> None:
        self._of_any = RunningAgreement()
        self._by_gap = [RunningAgreement(chance) for chance in _PRIOR_BY_GAP]

    @property
    def chance(self) -> float:
        """Of a draft that is still to be made."""
        return self._of_any.chance

    def chance_of(self, gap: float | None) -> float:
        """Of one with this race gap; None, and infinity, tell nothing."""
        return self._like(gap).chance

    def note(self, gap: float | None, stands: bool) -> None:
        """Note what became of a draft."""
        self._of_any.note(stands)
        if (like := self._like(gap)) is not self._of_any:
            like.note(stands)

    def _like(self, gap: float | None) -> RunningAgreement:
        return self._of_any if gap is None or math.isinf(gap) else self._by_gap[bisect_right(_GAPS, gap)]


@dataclass(frozen=True, slots=True)
class PassTime:
    """The time of a target pass as a function of the drafts in it: P(n) = alone + n · per_draft.

    Attributes:
        alone: seconds of a pass that makes one token, P(0); at least 0.
        per_draft: seconds that each draft adds, at least 0.
    """

    alone: float
    per_draft: float

    def seconds(self, drafts: int) -> float:
        """P(n)."""
        return self.alone + self.increment(drafts)

    def increment(self, drafts: int) -> float:
        """P(n) − P(0): what an answer loses by a pass whose drafts all fall."""
        return drafts * self.per_draft

    def shared_by(self, sessions: int) -> "PassTime":
        """The part of each of some `sessions` that make a token each in every pass: they divide what it costs alone.

        A further draft costs as much as before, as all of them wait for it. So a session that goes by its part takes a
        draft only where more tokens come of it than all lose by waiting, and their credits add up: on average over the
        sessions nobody is later than `remote` by more than one pass.
        """
        return PassTime((self.alone + self.increment(sessions - 1)) / sessions, self.per_draft)

    @property
    def allowance(self) -> float:
        """How much later than `remote` an answer may ever be: by one increment, and never by more than a token."""
        return min(self.increment(MOST_DRAFTS), self.alone)


class Pace:
    """How many drafts each pass of one answer takes.

    The most tokens per second at the running agreement; but no more than the time already won covers, beyond one
    allowance (**credit**). So no token is decided later than `remote` would by more than that, whatever the drafts.

    Attributes:
        agreement: of the answer so far.
        won: seconds that the answer is ahead of `remote`, by the pass times of the moments.
    """

    def __init__(self) -> None:
        self.agreement = RunningAgreement()
        self.won = 0.0

    def drafts(self, available: int, time: PassTime) -> int:
        """How many of the `available` drafts the next pass takes."""
        chance = self.agreement.chance
        best, best_rate = 0, 1.0
        reach = expected = 1.0  # in units of a pass alone: rates are compared, so 1 token per P(0) is 1
        for drafts in range(1, min(available, MOST_DRAFTS) + 1):
            if time.increment(drafts) > self.won + time.allowance:
                break
            reach *= chance
            expected += reach
            rate = expected * time.alone / time.seconds(drafts) if time.alone > 0 else expected
            if rate > best_rate:
                best, best_rate = drafts, rate
        return best

    def note(self, drafts: int, made: int, time: PassTime) -> None:
        """Note a pass that took `drafts` and decided `made` tokens."""
        self.won += (made - 1) * time.alone - time.increment(drafts)


class Worth:
    """Whether the device should draft on (design 2.10): its drafts must stand, and come before the target is past them.

    The first is a product of chances. The second is told by what comes back: where the target has decided many tokens
    and taken none of the drafts it was sent, they come too late, or fall; the device then pauses, longer each time.
    """

    def __init__(self) -> None:
        self.agreement = AgreementByGap()
        self._in_vain = 0
        self._pause = 0
        self._next_pause = _FIRST_PAUSE

    def drafts_on(self, pending: Sequence[float | None]) -> bool:
        """Whether one more draft is worth its cost, behind undecided ones with these race gaps."""
        if self._pause > 0 or len(pending) >= MOST_PENDING:
            return False
        return self.agreement.chance * math.prod(map(self.agreement.chance_of, pending)) >= LEAST_CHANCE

    def note_verdict(self, made: int) -> None:
        """Note a pass that decided `made` tokens while drafts were being made: all but the last were drafted here."""
        if made > 1:
            self._in_vain, self._pause, self._next_pause = 0, 0, _FIRST_PAUSE
        elif self._pause > 0:
            self._pause -= 1
        else:
            self._in_vain += 1
            if self._in_vain >= _HOPEFUL:
                self._pause, self._next_pause = self._next_pause, min(2 * self._next_pause, _LONGEST_PAUSE)
                self._in_vain = 0


class Trial:
    """Whether drafting makes tokens come faster where draft and target share a machine, and so slow each other.

    Nobody can tell but by trying: a stretch with drafts, one without, then a long one the faster way, and again. What
    is found holds for the machine, so that one trial serves all answers of a device.

    Attributes:
        drafts: whether to draft now.
    """

    def __init__(self) -> None:
        self.drafts = True
        self._is_chosen = False
        self._rates = {True: 0.0, False: 0.0}
        self._last: float | None = None
        self._begin(_TRIED)

    def resume(self) -> None:
        """What lies before the next tokens is not timed: an answer begins, or drafts are not there yet."""
        self._settling, self._last = _SETTLING, None

    def note(self, made: int, now: float) -> None:
        """Note `made` tokens that came `now`, seconds."""
        last, self._last = self._last, now
        if self._settling > 0 or last is None:
            self._settling -= made
        else:
            self._timed += made
            self._seconds += now - last
        if self._timed >= self._wanted:
            self._rates[self.drafts] = self._timed / max(self._seconds, 1e-9)
            self._go_on()

    def _go_on(self) -> None:
        if self._is_chosen:
            self.drafts, self._is_chosen = True, False
            self._begin(_TRIED)
        elif self.drafts:
            self.drafts = False
            self._begin(_RESTED)
        else:
            self.drafts, self._is_chosen = self._rates[True] > self._rates[False], True
            self._begin(_CHOSEN)

    def _begin(self, tokens: int) -> None:
        self._wanted, self._timed, self._seconds = tokens, 0, 0.0
        self.resume()
