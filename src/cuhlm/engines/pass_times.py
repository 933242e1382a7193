"""What a forward pass costs as a function of the tokens in it, learned from the passes that were made."""

from cuhlm.theory.pacing import PassTime

_MEMORY = 0.99  # per pass: some hundred count
_TRUSTED_SPREAD = 0.25  # tokens²: below, the passes were too alike to tell what one more token costs
_GUESS = 0.2  # of a pass: enough to try a few drafts, and learn


class PassTimes:
    """A running least-squares line: seconds = alone + per_token · (tokens − 1)."""

    def __init__(self) -> None:
        self._weight = self._tokens = self._seconds = self._tokens_squared = self._product = 0.0
        self._per_token: float | None = None

    def note(self, tokens: int, seconds: float) -> None:
        """Note a pass over `tokens` in all, of whichever sequences."""
        self._weight = _MEMORY * self._weight + 1
        self._tokens = _MEMORY * self._tokens + tokens
        self._seconds = _MEMORY * self._seconds + seconds
        self._tokens_squared = _MEMORY * self._tokens_squared + tokens * tokens
        self._product = _MEMORY * self._product + tokens * seconds
        spread = self._tokens_squared / self._weight - (self._tokens / self._weight) ** 2
        if spread >= _TRUSTED_SPREAD:
            covariance = self._product / self._weight - self._tokens * self._seconds / self._weight**2
            self._per_token = max(0.0, covariance / spread)

    @property
    def estimate(self) -> PassTime:
        """The line so far. Until passes have differed it is a guess what one more token adds."""
        if self._weight == 0:
            return PassTime(0.0, 0.0)
        tokens, seconds = self._tokens / self._weight, self._seconds / self._weight
        per_token = _GUESS * seconds / tokens if self._per_token is None else self._per_token
        alone = max(seconds - per_token * (tokens - 1), seconds / tokens)
        return PassTime(alone, per_token)
