"""A clock that only moves when it is told to."""


class VirtualClock:
    """Seconds since a simulation began."""

    def __init__(self) -> None:
        self.now = 0.0

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.now += seconds

    def advance_to(self, time: float) -> None:
        """Let time pass until `time`; no time where that is past."""
        self.now = max(self.now, time)
