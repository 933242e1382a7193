import numpy as np
import pytest
import torch

from cuhlm.distill.losses import kl, tv
from cuhlm.distill.text import Laws
from cuhlm.theory.quality import kl_divergence, total_variation


def laws() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(5, 40, generator=generator) * 2 for _ in range(2))


def kept(logits: torch.Tensor, entries: int, temperature: float = 0.7) -> Laws:
    top = (logits / temperature).log_softmax(-1).topk(entries)
    return Laws(torch.full((len(logits), 1), temperature), top.indices, top.values)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_with_all_entries_kept_the_losses_are_the_exact_distances(temperature: float) -> None:
    student, target = laws()
    top = kept(target, 40, temperature)
    for row in range(5):
        x, y = ((logits[row] / temperature).softmax(-1).double().numpy() for logits in (student, target))
        assert float(tv(student, top)[row]) == pytest.approx(total_variation(x, y), abs=1e-5)
        assert float(kl(student, top)[row]) == pytest.approx(kl_divergence(y, x), abs=2e-4)


@pytest.mark.parametrize("loss", [kl, tv])
def test_with_few_entries_kept_a_loss_is_a_lower_bound_above_zero(loss) -> None:
    student, target = laws()
    few, all_of_them = loss(student, kept(target, 8)), loss(student, kept(target, 40))
    assert bool((few <= all_of_them + 1e-5).all())
    assert bool((few > 0.1 * all_of_them).all())


@pytest.mark.parametrize("loss", [kl, tv])
def test_the_target_itself_loses_nothing(loss) -> None:
    _, target = laws()
    assert np.allclose(loss(target, kept(target, 8)).numpy(), 0, atol=1e-5)
