"""Loading a model, and the mistakes one can make with it."""

import os
import signal
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from cuhlm.engines import llama_context
from cuhlm.engines.base import Advance
from cuhlm.engines.gguf_model import GgufModel
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.locate import BUILT_IN_DRAFT, locate
from cuhlm.errors import ConfigurationError, ContextOverflow, ModelBusy, ModelError
from cuhlm.testing import ToyEngine


def _gguf(metadata: dict[str, str]) -> bytes:
    """A GGUF file of version 3 with string metadata and no tensors."""
    string_type = 8

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    pairs = b"".join(text(key) + struct.pack("<I", string_type) + text(value) for key, value in metadata.items())
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(metadata)) + pairs


@pytest.fixture(scope="module")
def small() -> Iterator[LlamaCppEngine]:
    """An engine of two short sequences, which each test gives back."""
    engine = LlamaCppEngine.load(locate(BUILT_IN_DRAFT), context_length=32, sequences=2)
    yield engine
    engine.close()


def test_the_card_names_model_vocabulary_and_weights(
    draft_engine: LlamaCppEngine, target_engine: LlamaCppEngine
) -> None:
    draft, target = draft_engine.card, target_engine.card
    assert (draft.name, draft.vocab_size, draft.context_length) == ("smollm2-draft-16l", 49152, 1024)
    assert draft.vocab_fingerprint == target.vocab_fingerprint
    assert draft.fingerprint != target.fingerprint
    assert draft.end_tokens == frozenset({0, 2, 4})


def test_the_context_is_as_long_as_the_model_allows_but_2048_at_most() -> None:
    engine = LlamaCppEngine.load(locate(BUILT_IN_DRAFT))
    assert engine.card.context_length == 2048
    engine.close()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "begins with b''; expected a GGUF file"),
        (b"PK\x03\x04 a zip", "begins with b'PK"),
        (b"GGUF", "does not load"),
        (_gguf({"general.architecture": "nosuch"}), "unknown model architecture: 'nosuch'"),
        (_gguf({"general.name": "no architecture"}), "unknown model architecture: ''"),
        (_gguf({"general.architecture": "llama"}), "key not found in model: llama.context_length"),
    ],
)
def test_a_file_that_is_no_model_is_refused_with_the_reason(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"expected .*; ") as refusal:
        LlamaCppEngine.load(path)
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    path.write_bytes(locate(BUILT_IN_DRAFT).read_bytes()[:20_000_000])
    with pytest.raises(ModelError, match=r"does not load .*download it again"):
        LlamaCppEngine.load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"No such file.*check the path"):
        LlamaCppEngine.load(tmp_path / "none.gguf")
    with pytest.raises(ModelError, match="is no file; expected a GGUF file"):
        LlamaCppEngine.load(tmp_path)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("threads", 0),
        ("threads", 10_000),
        ("sequences", 0),
        ("sequences", 257),
        ("context_length", 0),
        ("context_length", 8193),
    ],
)
def test_a_number_out_of_range_is_refused(option: str, value: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} is {value}; expected 1 to"):
        LlamaCppEngine.load(locate(BUILT_IN_DRAFT), **{option: value})


def test_a_cache_larger_than_the_free_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_context, "_available_bytes", lambda: 100_000_000)
    with pytest.raises(ModelError, match=r"256 × 8192 tokens takes 25.8 GB .*expected at most the 0.1 GB"):
        LlamaCppEngine.load(locate(BUILT_IN_DRAFT), context_length=8192, sequences=256)


def test_every_sequence_holds_a_whole_context_at_once(small: LlamaCppEngine) -> None:
    with closing(small.open()) as one, closing(small.open()) as other:
        logits = small.advance([Advance(sequence, [5] * 32) for sequence in (one, other)])
        assert [len(one), len(other)] == [32, 32]
    assert np.array_equal(logits[0], logits[1])


def test_an_overflow_says_how_much_fits(small: LlamaCppEngine) -> None:
    message = "3 more tokens after 30 do not fit; expected at most 32 in all; shorten"
    with closing(small.open()) as sequence:
        sequence.append([5] * 30, rows=0)
        with pytest.raises(ContextOverflow, match=message):
            sequence.append([5] * 3)


def test_the_last_place_taken_says_how_many_there_are(small: LlamaCppEngine) -> None:
    first = small.open()
    with closing(small.open()):
        with pytest.raises(ModelBusy, match="all 2 sequences"):
            small.open()
        first.close()
        with closing(small.open()) as again:
            assert again.place == first.place


def test_a_failed_forward_pass_leaves_everything_as_it_was(
    draft_engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence = draft_engine.open()
    before = sequence.append([5, 6, 7])
    passes: list[object] = []

    def fails_at_the_second_pass(self: llama_context.LlamaContext, part: llama_context._Flat) -> None:
        passes.append(part)
        if len(passes) == 2:
            raise ModelError("no more; expected more; try again")
        forward(self, part)

    forward = llama_context.LlamaContext._forward
    with monkeypatch.context() as patch, pytest.raises(ModelError, match="no more"):
        patch.setattr(llama_context.LlamaContext, "_forward", fails_at_the_second_pass)
        sequence.append([8] * 400)
    assert len(sequence) == 3
    sequence.drop(2)
    assert np.array_equal(sequence.append([7]), before)
    sequence.close()


def test_using_a_closed_engine_is_refused_everywhere() -> None:
    engine = LlamaCppEngine.load(locate(BUILT_IN_DRAFT), context_length=32)
    sequence = engine.open()
    engine.close()
    engine.close()
    for use in (
        engine.open,
        lambda: engine.advance([]),
        lambda: sequence.append([1]),
        lambda: sequence.drop(0),
        lambda: engine.tokenizer.tokenize("a"),
        lambda: engine.tokenizer.piece(5),
    ):
        with pytest.raises(ValueError, match="closed; expected an open one"):
            use()
    sequence.close()
    assert engine.card.name == "smollm2-draft-16l"


def test_a_sequence_of_another_engine_is_refused(draft_engine: LlamaCppEngine) -> None:
    with pytest.raises(ValueError, match="no sequence of this engine"):
        draft_engine.advance([Advance(ToyEngine().open(), [1])])


def test_a_path_with_unusual_characters_loads(tmp_path: Path) -> None:
    path = tmp_path / "модель %s é.gguf"
    path.symlink_to(locate(BUILT_IN_DRAFT))
    engine = LlamaCppEngine.load(path, context_length=32)
    assert engine.card.vocab_size == 49152
    engine.close()


def test_tokens_that_a_file_invents_to_fill_its_rows_are_outside_the_vocabulary(
    draft_engine: LlamaCppEngine, tmp_path: Path
) -> None:
    filled = bytearray(locate(BUILT_IN_DRAFT).read_bytes())
    key = b"tokenizer.ggml.token_type"
    count_at = filled.index(key) + len(key) + 4 + 4  # the kinds of a list and of its elements
    (count,) = struct.unpack_from("<Q", filled, count_at)
    for token in range(count - 100, count):
        struct.pack_into("<i", filled, count_at + 8 + 4 * token, 5)  # LLAMA_TOKEN_TYPE_UNUSED
    path = tmp_path / "filled.gguf"
    path.write_bytes(filled)
    with closing(LlamaCppEngine.load(path, context_length=32)) as engine:
        assert engine.card.vocab_size == 49152 - 100
        assert engine.tokenizer.vocabulary() == draft_engine.tokenizer.vocabulary()[:-100]
        with closing(engine.open()) as sequence, closing(draft_engine.open()) as whole:
            assert np.array_equal(sequence.append([5, 6, 7], rows=2), whole.append([5, 6, 7], rows=2)[:, :-100])


def test_what_a_signal_raises_while_a_model_loads_is_not_lost() -> None:
    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(Interrupted):
            for _ in range(100):
                GgufModel(locate(BUILT_IN_DRAFT)).close()
    finally:
        signal.signal(signal.SIGUSR1, before)
