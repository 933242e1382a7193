from pathlib import Path

import numpy as np
import pytest
import torch

from cuhlm.distill.gguf_weights import read_weights
from cuhlm.distill.llama import Llama
from cuhlm.engines.llama_cpp import LlamaCppEngine
from cuhlm.engines.locate import BUILT_IN_TARGET, locate
from cuhlm.errors import ModelError
from cuhlm.theory.distributions import softmax
from cuhlm.theory.quality import total_variation

CPU = torch.device("cpu")


def loaded(path: Path) -> Llama:
    return Llama.of(read_weights(path), device=CPU, dtype=torch.float32)


def test_the_laws_are_those_of_llama_cpp_within_its_own_rounding(target_engine: LlamaCppEngine) -> None:
    """Design 3: two honest evaluations of one 4-bit model differ by a mean TV of 0.03; a wrong rotation by 0.5."""
    tokens = target_engine.tokenizer.tokenize("The old lighthouse keeper walked down the stairs and asked why")
    sequence = target_engine.open()
    theirs = softmax(sequence.append(tokens, len(tokens)))
    sequence.close()
    llama = loaded(locate(BUILT_IN_TARGET))
    with torch.no_grad():
        ours = softmax(llama.logits(llama.hidden(torch.tensor([tokens])))[0].numpy())
    assert np.mean([total_variation(x, y) for x, y in zip(theirs, ours, strict=True)]) < 0.08


def test_token_by_token_with_a_cache_is_the_same_as_at_once(tiny_target: Path) -> None:
    llama = loaded(tiny_target)
    length = 70  # the cache has room for 64 at first
    tokens = torch.randint(1000, (3, length), generator=torch.Generator().manual_seed(0))
    cache = llama.new_cache(3)
    with torch.no_grad():
        at_once = llama.hidden(tokens)
        one_by_one = torch.cat([llama.hidden(tokens[:, [position]], cache) for position in range(length)], 1)
    assert torch.allclose(at_once, one_by_one, atol=1e-4)


def test_another_architecture_is_refused(tiny_target: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    length = (5).to_bytes(8, "little")
    other.write_bytes(tiny_target.read_bytes().replace(length + b"llama", length + b"mamba", 1))
    with pytest.raises(ModelError, match="'mamba'; expected 'llama'"):
        read_weights(other)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_text("hello there, this is no model")
    with pytest.raises(ModelError, match="GGUF"):
        read_weights(other)
