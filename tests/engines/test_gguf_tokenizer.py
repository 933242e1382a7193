"""The tokenizer in a model file."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuhlm.engines.gguf_model import GgufModel
from cuhlm.engines.gguf_tokenizer import GgufTokenizer
from cuhlm.engines.locate import BUILT_IN_DRAFT, locate
from cuhlm.errors import ConfigurationError


@pytest.fixture(scope="module")
def model() -> GgufModel:
    return GgufModel(locate(BUILT_IN_DRAFT))


@pytest.fixture(scope="module")
def tokenizer(model: GgufModel) -> GgufTokenizer:
    return GgufTokenizer(model)


def test_a_text_becomes_known_tokens(tokenizer: GgufTokenizer) -> None:
    vocabulary = tokenizer.vocabulary()
    assert [vocabulary[token] for token in tokenizer.tokenize("Hello world")] == [b"Hello", b" world"]


def test_a_control_token_stands_for_its_name_and_half_a_character_for_its_bytes(tokenizer: GgufTokenizer) -> None:
    vocabulary = tokenizer.vocabulary()
    assert vocabulary[1] == b"<|im_start|>"
    assert b"".join(vocabulary[token] for token in tokenizer.tokenize("𓂀")) == "𓂀".encode()


def test_special_tokens_in_a_text_are_recognised_and_have_no_piece(tokenizer: GgufTokenizer) -> None:
    tokens = tokenizer.tokenize("<|im_start|>user")
    assert tokens[0] == 1
    assert tokenizer.piece(1) == b""
    assert tokenizer.piece(tokens[1]) == b"user"


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["C"]), max_size=60))  # this vocabulary lacks some control bytes
def test_the_pieces_of_a_text_add_up_to_it(tokenizer: GgufTokenizer, text: str) -> None:
    if "<|" not in text:
        tokens = tokenizer.tokenize(text)
        assert b"".join(map(tokenizer.piece, tokens)) == text.encode()


def test_a_character_may_be_spread_over_several_pieces(tokenizer: GgufTokenizer) -> None:
    pieces = [tokenizer.piece(token) for token in tokenizer.tokenize("𓂀")]
    assert len(pieces) > 1
    assert b"".join(pieces).decode() == "𓂀"


def test_a_long_text_and_an_empty_text_are_tokenized(tokenizer: GgufTokenizer) -> None:
    assert tokenizer.tokenize("") == []
    assert len(tokenizer.tokenize("the cat " * 5000)) >= 10_000


def test_half_a_surrogate_is_refused(tokenizer: GgufTokenizer) -> None:
    with pytest.raises(ConfigurationError, match=r"holds '\\udc80', which is no character; expected Unicode"):
        tokenizer.tokenize("a\udc80")


def test_a_file_says_how_its_model_is_spoken_to(tokenizer: GgufTokenizer) -> None:
    assert "<|im_start|>" in tokenizer.chat.template
    assert tokenizer.chat.end == "<|im_end|>"
    assert not tokenizer.chat.adds_start
    assert {"<|im_start|>", "<|im_end|>"} <= tokenizer.control_names
    assert not tokenizer.added_names & tokenizer.control_names
