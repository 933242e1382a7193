"""What the audits certify of the risk taken (design 2.11): a bound that holds at all times at once.

L_t in [0, 1] is the label of the t-th kept token, 1 where it is wrong, p_t what is expected of it given all that was
known when it was decided. For any λ in (0, 1) and any guess p̂_t that was made when the token was decided,

    exp(λ Σ (p_t − L_t) − ψ(λ) Σ (L_t − p̂_t)²),   ψ(λ) = −ln(1 − λ) − λ

is a supermartingale (Howard et al. 2021; Waudby-Smith and Ramdas 2023, Theorem 2), however p_t changes and whatever it
depends on. So with a probability of 1 − δ the mean of p_t over the tokens so far never exceeds

    mean L + min over λ of (ln(1/δ_λ) + ψ(λ) Σ (L_t − p̂_t)²) / (λ n),   Σ δ_λ = δ.

It bounds the running mean of the chances, and is no statement that they were ever this or that. Labels count in the
order in which the tokens were decided: a late one holds up those behind it.
"""

import math
from collections import deque
from dataclasses import dataclass

from cuhlm.errors import ConfigurationError

_BETS = tuple(2.0**-power for power in range(1, 9))
"""λ: the best for a bound of a few wrong tokens, up to that for tens of thousands. Fixed before anything is seen."""


@dataclass(slots=True)
class _Kept:
    guess: float
    wrong: float | None = None


class Certificate:
    """Of one stream of kept tokens, however they are chosen, as long as each is before its label is seen.

    Several that are chosen among afterwards share one δ: `share_of_delta` says what each may be given.

    Attributes:
        counted: tokens whose label, and those of all before, are known.
    """

    def __init__(self, delta: float) -> None:
        """One that is false with a probability of at most δ, 0 < δ < 1.

        Raises:
            ConfigurationError: δ is out of range.
        """
        if not 0 < delta < 1:
            raise ConfigurationError(f"the probability of a false certificate is {delta}; expected a number in (0, 1)")
        self._log_share = math.log(len(_BETS) / delta)
        self._waiting: deque[_Kept] = deque()
        self._first = 0  # number of the first that waits
        self._wrong = 0.0
        self._variance = 0.0
        self.counted = 0

    def decide(self, guess: float) -> int:
        """A token is kept.

        Args:
            guess: p̂, the predicted chance that it is wrong, made of what is known now; in [0, 1].

        Returns:
            Its number, for `label`.
        """
        self._waiting.append(_Kept(guess))
        return self._first + len(self._waiting) - 1

    def label(self, number: int, wrong: float) -> None:
        """The label of the kept token `number`, in [0, 1]; once each, in any order."""
        self._waiting[number - self._first].wrong = wrong
        while self._waiting and (kept := self._waiting[0]).wrong is not None:
            self._waiting.popleft()
            self._first += 1
            self._wrong += kept.wrong
            self._variance += (kept.wrong - kept.guess) ** 2
            self.counted += 1

    @property
    def bound(self) -> float:
        """The certified mean chance of being wrong among the tokens counted; 1 where they are few."""
        if not self.counted:
            return 1.0
        excess = min((self._log_share + _psi(bet) * self._variance) / bet for bet in _BETS)
        return min(1.0, (self._wrong + excess) / self.counted)


def share_of_delta(delta: float, epoch: int, thresholds: int) -> float:
    """What one of `thresholds` certificates of an epoch gets of δ, so that all of all epochs together have δ.

    Args:
        delta: δ of everything.
        epoch: from 1; the e-th gets 1/(e (e + 1)) of it, which adds up to 1.
        thresholds: certificates side by side.
    """
    return delta / (epoch * (epoch + 1) * thresholds)


def _psi(bet: float) -> float:
    return -math.log1p(-bet) - bet
