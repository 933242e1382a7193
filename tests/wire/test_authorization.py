"""The token in a stream's header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.errors import ConfigurationError
from cuhlm.wire.authorization import check_token, to_metadata, token_of

PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
TOKENS = st.text(PRINTABLE, min_size=1, max_size=40).filter(lambda token: token == token.strip())


@given(TOKENS)
def test_a_token_crosses_in_a_header_unchanged(token: str) -> None:
    check_token(token)
    assert token_of(to_metadata(token)) == token


@given(st.text(max_size=10).filter(lambda text: not text.isascii() or not text.isprintable() or text != text.strip()))
def test_a_token_that_a_header_would_change_is_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        check_token(token)
    assert str(refusal.value).startswith("the token is empty, or has spaces around it")


def test_no_token_is_no_header_and_an_empty_one_is_refused() -> None:
    check_token(None)
    assert to_metadata(None) == ()
    with pytest.raises(ConfigurationError, match="the token is empty"):
        check_token("")


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("user-agent", "x"),),
        (("authorization", "secret"),),
        (("authorization", "Basic secret"),),
        (("authorization", "bearersecret"),),
    ],
)
def test_a_header_of_another_kind_presents_no_token(metadata: tuple[tuple[str, str], ...]) -> None:
    assert token_of(metadata) is None
