from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cuhlm.distill.conversation import Conversation, TurnTokens
from cuhlm.distill.fitting import FITTED, choose_neurons, fit_layers
from cuhlm.distill.gguf_weights import layer_name, read_weights
from cuhlm.distill.llama import Llama
from cuhlm.distill.text import Text, write_text

TURNS = TurnTokens(opening=(1,), to_answer=(3,), to_user=(5,), ends=frozenset({3}))
NEURONS = 96


@pytest.fixture(scope="module")
def target(tiny_target: Path) -> Llama:
    """In its layers the last 32 neurons do what the 32 before them do, with other outgoing weights."""
    weights = read_weights(tiny_target)
    arrays = dict(weights.arrays)
    for layer in range(weights.shape.layers):
        for part in ("ffn_gate", "ffn_up"):
            matrix = arrays[layer_name(layer, part)].copy()
            matrix[64:] = matrix[32:64]
            arrays[layer_name(layer, part)] = matrix
    return Llama.of(replace(weights, arrays=arrays), device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module")
def text(target: Llama) -> Text:
    conversations = [Conversation(TURNS, (7 + row,)) for row in range(16)]
    return write_text(target, conversations, [1.0] * 16, 64, torch.Generator().manual_seed(0))


def distance(one: Llama, other: Llama, text: Text) -> float:
    """Mean total variation of two models' laws."""
    tokens = text.tokens[:, :-1]
    with torch.no_grad():
        laws = [torch.softmax(each.logits(each.hidden(tokens)), -1) for each in (one, other)]
    return float((laws[0] - laws[1]).abs().sum(-1).mean() / 2)


def test_with_all_its_neurons_a_layer_stays_as_it_is(target: Llama, text: Text) -> None:
    assert distance(fit_layers(target, range(4), text, NEURONS), target, text) < 1e-3


def test_neurons_whose_work_others_can_do_are_not_missed(target: Llama, text: Text) -> None:
    done: list[int] = []
    fitted = fit_layers(target, range(4), text, 64, done.append)
    cut = [replace(layer, **{p: _first(getattr(layer, p), p, 64) for p in FITTED}) for layer in target.layers]
    assert distance(fitted, target, text) < 0.2 * distance(replace(target, layers=cut), target, text)
    assert fitted.shape.neurons == 64
    assert [tuple(getattr(fitted.layers[0], part).shape) for part in FITTED] == [(64, 64)] * 3
    assert done == [1, 2, 3, 4]


def test_those_that_stay_make_up_for_dropped_layers(target: Llama, text: Text) -> None:
    kept = (0, 1, 3)
    fitted, as_it_was = fit_layers(target, kept, text, NEURONS), target.keeping(kept)
    assert distance(fitted, target, text) < distance(as_it_was, target, text)


def test_what_says_little_or_says_it_again_is_left_out() -> None:
    rng = np.random.default_rng(0)
    values = torch.tensor(rng.standard_normal((500, 6)))
    values[:, 4] = 0.1 * values[:, 4]  # hardly ever speaks
    values[:, 5] = values[:, 2] + 0.01 * values[:, 5]  # says what 2 says
    down = torch.tensor(rng.standard_normal((8, 6)))
    down /= down.norm(dim=0)
    chosen, _ = choose_neurons(values.T @ values, down, 4)
    assert chosen.tolist() in ([0, 1, 2, 3], [0, 1, 3, 5])


def _first(matrix: torch.Tensor, part: str, neurons: int) -> torch.Tensor:
    return matrix[:, :neurons] if part == "ffn_down" else matrix[:neurons]
