"""A Llama small enough to train in a second, in a GGUF file with the real target's chat template and first tokens."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuhlm.engines.locate import BUILT_IN_TARGET, locate

if find_spec("torch") is None or find_spec("gguf") is None:  # the extra `train`; CI installs it (make setup-train)
    collect_ignore_glob = ["test_*.py"]
else:
    import torch

    torch.set_num_threads(1)  # these matrices are too small to share

WIDTH, HEADS, KV_HEADS, HEAD_WIDTH, FEED_FORWARD, LAYERS = 64, 4, 2, 16, 96, 4
VOCAB_SIZE = 4096
_MATRICES = {
    "attn_q": (HEADS * HEAD_WIDTH, WIDTH),
    "attn_k": (KV_HEADS * HEAD_WIDTH, WIDTH),
    "attn_v": (KV_HEADS * HEAD_WIDTH, WIDTH),
    "attn_output": (WIDTH, HEADS * HEAD_WIDTH),
    "ffn_gate": (FEED_FORWARD, WIDTH),
    "ffn_up": (FEED_FORWARD, WIDTH),
    "ffn_down": (WIDTH, FEED_FORWARD),
}


@pytest.fixture(scope="session")
def tiny_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    _write(path)
    return path


@pytest.fixture(scope="session")
def other_rotation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like the tiny target, but for the base of its rotary positions."""
    path = tmp_path_factory.mktemp("other") / "other.gguf"
    _write(path, rope_base=500.0)
    return path


@pytest.fixture(scope="session")
def scaled_rotation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like the tiny target, but its rotary positions are scaled."""
    path = tmp_path_factory.mktemp("scaled") / "scaled.gguf"
    _write(path, rope_scale=4.0)
    return path


@pytest.fixture(scope="session")
def prompt_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    path.write_text("".join(f'{{"prompt": "Name {count} fruits."}}\n' for count in ("two", "three", "four", "five")))
    return path


def _vocabulary(reader: Any) -> dict[str, tuple[Any, Any, Any]]:
    """The real target's first tokens: all special ones and bytes, and what the first merges make."""
    fields = {
        field.name: (field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None)
        for field in reader.fields.values()
        if field.name.startswith("tokenizer.")
    }
    known = set(fields["tokenizer.ggml.tokens"][0][:VOCAB_SIZE])
    kept = {"tokens": lambda all_tokens: all_tokens[:VOCAB_SIZE], "token_type": lambda kinds: kinds[:VOCAB_SIZE]}
    kept["merges"] = lambda merges: [merge for merge in merges if merge.replace(" ", "") in known]
    for name, cut in kept.items():
        value, kind, inner = fields[f"tokenizer.ggml.{name}"]
        fields[f"tokenizer.ggml.{name}"] = (cut(value), kind, inner)
    return fields


def _write(path: Path, *, rope_base: float = 10000.0, rope_scale: float | None = None) -> None:
    from gguf import GGUFReader, GGUFWriter, RopeScalingType  # noqa: PLC0415

    rng = np.random.default_rng(0)
    writer = GGUFWriter(path, "llama")
    for name, (value, kind, inner) in _vocabulary(GGUFReader(locate(BUILT_IN_TARGET))).items():
        writer.add_key_value(name, value, kind, inner)
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_WIDTH)
    writer.add_rope_freq_base(rope_base)
    if rope_scale is not None:
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope_scale)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB_SIZE)

    def matrix(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.3).astype(np.float32)

    writer.add_tensor("token_embd.weight", matrix(VOCAB_SIZE, WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for part, shape in _MATRICES.items():
            writer.add_tensor(f"blk.{layer}.{part}.weight", matrix(*shape))
        for part in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
