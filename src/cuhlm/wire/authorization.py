"""The token in a stream's header, as both sides write it."""

from collections.abc import Iterable

from cuhlm.errors import ConfigurationError
from cuhlm.given import instance

_HEADER, _SCHEME = "authorization", "Bearer"


def check_token(token: str | None) -> None:
    """Refuse a token that no header can carry.

    Raises:
        ConfigurationError: it is empty, or has characters beyond printable ASCII.
    """
    if token is not None and not (
        instance(str, "the token", token) and token.isascii() and token.isprintable() and token == token.strip()
    ):
        raise ConfigurationError(
            "the token is empty, or has spaces around it or characters beyond printable ASCII; "
            "expected one like those of `openssl rand -hex 16`; leave it out where none is asked for"
        )


def to_metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """The header that presents `token`."""
    return () if token is None else ((_HEADER, f"{_SCHEME} {token}"),)


def token_of(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """The token that a header presents."""
    scheme, _, token = str(dict(metadata).get(_HEADER, "")).partition(" ")
    return token if scheme == _SCHEME else None
