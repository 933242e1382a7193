"""What each stage of a token cost."""

from collections.abc import Callable

from cuhlm.records import Stages


class Stopwatch:
    """Splits the time since its last lap among the stages of `records.Stages`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Begin a token."""
        self._seconds: dict[str, float] = {}
        self._last = self._clock()

    def lap(self, stage: str) -> None:
        """Charge the time since the last lap to `stage`."""
        now = self._clock()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._last
        self._last = now

    def stages(self, *, link: float = 0.0, target: float = 0.0, verify: float = 0.0) -> Stages:
        """The token's stages so far, with what others measured."""
        return Stages(**self._seconds, link=link, target=target, verify=verify)
