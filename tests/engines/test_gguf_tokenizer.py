"""The tokenizer in a model file."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuhlm.engines.gguf_model import GgufModel
from cuhlm.engines.gguf_tokenizer import GgufTokenizer
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.locate import BUILT_IN_DRAFT, locate


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


def test_half_a_surrogate_does_not_break_the_tokenizer(tokenizer: GgufTokenizer) -> None:
    assert tokenizer.tokenize("a\udc80") == tokenizer.tokenize("a?")


def test_a_start_token_is_added_once_where_the_model_wants_one(
    model: GgufModel, tokenizer: GgufTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = 1  # <|im_start|>
    plain = tokenizer.tokenize("Hello")
    assert start not in plain
    wants = GgufTokenizer(model)
    monkeypatch.setattr(wants, "_lib", _WithStart(wants._lib))
    assert wants.tokenize("Hello") == [start, *plain]
    assert wants.tokenize("<|im_start|>Hello") == [start, *plain]
    assert wants.tokenize("") == [start]


class _WithStart:
    def __init__(self, lib: object) -> None:
        self._lib = lib

    def __getattr__(self, name: str) -> object:
        return getattr(self._lib, name)

    def llama_vocab_get_add_bos(self, _vocab: int) -> bool:
        return True


def test_a_chat_becomes_the_prompt_the_model_was_trained_on(target_engine: LlamaCppEngine) -> None:
    prompt = target_engine.tokenizer.render_chat([("system", "Be brief."), ("user", "Hi")])
    assert prompt == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert target_engine.tokenizer.tokenize(prompt).count(1) == 3


def test_without_a_chat_template_the_contents_stand_alone(
    model: GgufModel, tokenizer: GgufTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GgufModel, "metadata", lambda *_: None)
    assert tokenizer.render_chat([("user", "Once upon a time")]) == "Once upon a time"
    assert tokenizer.render_chat([("system", "A."), ("user", "B.")]) == "A.\n\nB."
