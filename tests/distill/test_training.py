from pathlib import Path

import pytest
import torch

from cuhlm.distill.conversation import Conversation, TurnTokens
from cuhlm.distill.gguf_weights import keep_layers, read_weights
from cuhlm.distill.llama import Llama
from cuhlm.distill.plan import Objective
from cuhlm.distill.rounding import round_q4_0
from cuhlm.distill.student import Student
from cuhlm.distill.text import Text, write_text
from cuhlm.distill.training import Schedule, Trainer

CPU = torch.device("cpu")
TURNS = TurnTokens(opening=(1,), to_answer=(3,), to_user=(5,), ends=frozenset({3}))


@pytest.fixture(scope="module")
def text(tiny_target: Path) -> Text:
    target = Llama.of(read_weights(tiny_target), device=CPU, dtype=torch.float32)
    conversations = [Conversation(TURNS, (number,)) for number in range(10, 18)]
    return write_text(target, conversations, [1.0] * 8, 24, torch.Generator().manual_seed(0))


def trainer(tiny_target: Path, objective: Objective = Objective.KL) -> tuple[Student, Trainer]:
    weights = keep_layers(read_weights(tiny_target), (0, 3))
    student = Student(weights, device=CPU, dtype=torch.float32, generator=torch.Generator().manual_seed(0))
    return student, Trainer(student, Schedule(3e-3, 2, 20), objective)


@pytest.mark.parametrize("objective", [Objective.KL, Objective.TV])
def test_training_lowers_the_loss(tiny_target: Path, text: Text, objective: Objective) -> None:
    _, training = trainer(tiny_target, objective)
    losses = [training.train(text, rows_per_pass=4) for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_forward_pass_sees_rounded_weights_and_the_latent_ones_move(tiny_target: Path, text: Text) -> None:
    student, training = trainer(tiny_target)
    before = {name: tensor.clone() for name, tensor in student.latent.items()}
    training.train(text, rows_per_pass=8)
    matrix = student.llama.layers[0].ffn_up.detach()
    assert torch.equal(matrix, round_q4_0(matrix))
    assert all(not torch.equal(tensor, before[name]) for name, tensor in student.latent.items())
    assert torch.equal(student.llama.embedding, round_q4_0(student.llama.embedding))


def test_gradients_of_several_passes_make_the_same_step(tiny_target: Path, text: Text) -> None:
    students = []
    for rows in (8, 2):
        student, training = trainer(tiny_target)
        training.train(text, rows_per_pass=rows)
        students.append(student)
    for name, tensor in students[0].latent.items():
        # Adam's first step has the size of the learning rate whatever the gradient: rounding may turn a tiny one.
        assert torch.isclose(tensor, students[1].latent[name], atol=1e-5).float().mean() > 0.99


def test_a_run_that_stopped_goes_on_to_the_same_student(tiny_target: Path, text: Text, tmp_path: Path) -> None:
    whole, training = trainer(tiny_target)
    for _ in range(4):
        training.train(text, rows_per_pass=8)
    _, first = trainer(tiny_target)
    for _ in range(2):
        first.train(text, rows_per_pass=8)
    first.save(tmp_path / "checkpoint.pt")
    resumed, second = trainer(tiny_target)
    second.load(tmp_path / "checkpoint.pt")
    for _ in range(2):
        second.train(text, rows_per_pass=8)
    assert second.step == 4
    for name, tensor in whole.latent.items():
        assert torch.equal(tensor, resumed.latent[name])


def test_kl_leads_and_tv_follows() -> None:
    assert [Objective.KL_THEN_TV.at(step, 10) for step in (0, 4, 5, 9)] == [*[Objective.KL] * 2, *[Objective.TV] * 2]
    assert Objective.KL.at(9, 10) is Objective.KL


def test_the_learning_rate_rises_then_falls_to_a_tenth() -> None:
    schedule = Schedule(peak=1.0, warmup_steps=4, steps=104)
    assert [schedule.rate(step) for step in (0, 3, 4)] == [0.25, 1.0, 1.0]
    assert schedule.rate(54) == pytest.approx(0.55)
    assert schedule.rate(104) == pytest.approx(0.1)
