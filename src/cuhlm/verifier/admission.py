"""Who may open a session: the token, and how many at once."""

import hmac
import threading
from dataclasses import dataclass, field

from cuhlm.errors import Unauthenticated, VerifierBusy
from cuhlm.wire.authorization import check_token


@dataclass(slots=True)
class Admission:
    """Counts open sessions and checks tokens.

    Attributes:
        token: what devices must present; None admits everyone.
        max_sessions: sessions that may be open at once.
    """

    token: str | None
    max_sessions: int
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        check_token(self.token)

    def authenticate(self, presented: str | None) -> None:
        """Check a device's token, in time that does not depend on where it differs.

        Raises:
            Unauthenticated: it is missing or wrong.
        """
        if self.token is None:
            return
        if presented is None:
            raise Unauthenticated(
                "this verifier asks for a token and none was sent; give it with --token or CUHLM_TOKEN"
            )
        if not hmac.compare_digest(presented.encode(), self.token.encode()):
            raise Unauthenticated("this verifier does not accept the token that was sent; check --token or CUHLM_TOKEN")

    def enter(self) -> None:
        """Take a place.

        Raises:
            VerifierBusy: all are taken.
        """
        with self._lock:
            if self._open >= self.max_sessions:
                raise VerifierBusy(
                    f"all {self.max_sessions} sessions of this verifier are taken; try again later, "
                    "or start it with a larger --sessions"
                )
            self._open += 1

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self._open -= 1
