from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cuhlm.distill.conversation import Conversation, TurnTokens
from cuhlm.distill.gguf_weights import layer_name, read_weights
from cuhlm.distill.layer_choice import choose_layers
from cuhlm.distill.llama import Llama
from cuhlm.distill.text import write_text

TURNS = TurnTokens(opening=(1,), to_answer=(3,), to_user=(5,), ends=frozenset({3}))


def test_layers_that_do_little_are_dropped_first(tiny_target: Path) -> None:
    weights = read_weights(tiny_target)
    arrays = dict(weights.arrays)
    for layer, strength in ((1, 0.0), (2, 0.02)):
        for part in ("attn_output", "ffn_down"):
            name = layer_name(layer, part)
            arrays[name] = (arrays[name] * strength).astype(np.float32)
    target = Llama.of(replace(weights, arrays=arrays), device=torch.device("cpu"), dtype=torch.float32)
    conversations = [Conversation(TURNS, (7,)), Conversation(TURNS, (8,))]
    text = write_text(target, conversations, [1.0, 1.0], 16, torch.Generator().manual_seed(0))
    dropped: list[int] = []
    assert choose_layers(target, text, 3, dropped.append) == (0, 2, 3)
    assert choose_layers(target, text, 2) == (0, 3)
    assert dropped == [1]
