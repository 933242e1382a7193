"""When an answer ends, and what of it is shown when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuhlm.device.ending import Ending, Limits
from cuhlm.device.steps import Reason

END = 255


def byte_ending(*stop_strings: str, max_tokens: int = 1000, room: int = 1000) -> Ending:
    """An ending over tokens that are bytes."""
    return Ending(Limits(max_tokens, stop_strings), frozenset({END}), room, lambda token: bytes([token]))


def shown(ending: Ending, data: bytes) -> list[str]:
    """What each token shows, until the end, and what was held back."""
    texts = []
    for token in data:
        if ending.reason is not None:
            break
        texts.append(ending.see(token))
    return [*texts, ending.rest()]


@given(st.text(max_size=40))
def test_without_a_stop_string_the_whole_text_is_shown(text: str) -> None:
    assert "".join(shown(byte_ending(), text.encode())) == text


@given(st.text("ab", max_size=30), st.text("ab", min_size=1, max_size=4))
def test_what_is_shown_ends_before_the_first_stop_string(text: str, stop: str) -> None:
    assert "".join(shown(byte_ending(stop), text.encode())) == text.split(stop, maxsplit=1)[0]


def test_text_that_may_begin_a_stop_string_waits_until_it_is_decided() -> None:
    ending = byte_ending("stop")
    assert shown(ending, b"a sto") == ["a", " ", "", "", "", "sto"]


def test_a_character_is_shown_with_its_last_byte() -> None:
    assert shown(byte_ending(), "é!".encode()) == ["", "é", "!", ""]


def test_an_end_token_is_not_shown() -> None:
    ending = byte_ending()
    assert shown(ending, bytes([65, END])) == ["A", "", ""]
    assert ending.reason is Reason.END_OF_TURN


@pytest.mark.parametrize(
    ("max_tokens", "room", "reason"),
    [(3, 9, Reason.MAX_TOKENS), (9, 3, Reason.CONTEXT_FULL), (3, 3, Reason.MAX_TOKENS)],
)
def test_the_reason_names_what_was_reached_first(max_tokens: int, room: int, reason: Reason) -> None:
    ending = byte_ending(max_tokens=max_tokens, room=room)
    assert "".join(shown(ending, b"abcdef")) == "abc"
    assert ending.reason is reason
