from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mlemo.losses import PairwiseRankingLoss

from .tester import LossTester, Matrix, sigmoid


def ranking(margin: float, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
    """The formula, by a loop over all pairs of labels."""
    total, samples = 0.0, 0
    for row_logits, row_targets, row_mask in zip(logits, targets, mask):
        known = [c for c, annotated in enumerate(row_mask) if annotated]
        samples += bool(known)
        value = weight = 0.0
        for p in known:
            for n in known:
                pair = row_targets[p] * (1 - row_targets[n])
                value += pair * max(0.0, margin - (sigmoid(row_logits[p]) - sigmoid(row_logits[n])))
                weight += pair
        total += value / weight if weight else 0.0
    return total / max(1, samples)


class TestPairwiseRankingLoss(LossTester):
    losses: ClassVar = {"defaults": PairwiseRankingLoss, "wide": lambda: PairwiseRankingLoss(1.0)}
    single_class = PairwiseRankingLoss

    def reference(self, loss: PairwiseRankingLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        return ranking(loss.margin, logits, targets, mask)


def test_pairs_far_enough_apart_cost_nothing() -> None:
    targets = torch.tensor([[1.0, 0.0, 1.0]])
    assert PairwiseRankingLoss(0.5)(torch.tensor([[3.0, -3.0, 2.0]]), targets).item() == 0
    # p = 0.5 and 0.8 against n = 0.2, with a margin of 0.5: (0.2 + 0) / 2
    logits = torch.tensor([[0.5, 0.2, 0.8]]).logit()
    assert PairwiseRankingLoss(0.5)(logits, targets).item() == pytest.approx(0.1)


def test_a_sample_without_pairs_counts_as_zero() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [9.0, -9.0]])
    targets = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    assert PairwiseRankingLoss(0.5)(logits, targets).item() == pytest.approx(0.5 / 3)


@pytest.mark.parametrize("margin", [0.0, 1.5])
def test_a_margin_is_a_distance_between_probabilities(margin: float) -> None:
    with pytest.raises(ValueError, match=rf"\(0, 1\], found {margin}"):
        PairwiseRankingLoss(margin)


def every_pair(margin: float, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """The loss of each sample from a tensor of all pairs, ``(N, C, C)``."""
    scores, positive, negative = logits.sigmoid(), targets * mask, (1 - targets) * mask
    pairs = positive[:, :, None] * negative[:, None, :]
    short = (margin - scores[:, :, None] + scores[:, None, :]).clamp(min=0)
    return (pairs * short).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1e-12)


def many_labels(kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets and mask of 12 samples with 80 labels, the first three without positives, negatives, labels."""
    generator = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(12, 80, generator=generator, dtype=torch.float64)
    if kind == "ties":  # of few values; σ(−800) = 0, σ(0) = 0.5 and σ(40) = 1 are exactly a margin of 0.5 or 1 apart
        logits = torch.tensor([-800.0, -1, 0, 0, 1, 40], dtype=torch.float64)[(logits.abs() % 6).long()]
    targets = torch.rand(12, 80, generator=generator, dtype=torch.float64)
    targets = targets if kind == "soft" else (targets < 0.1).double()
    mask = torch.rand(12, 80, generator=generator) < 0.8
    targets[0], targets[1], mask[2] = 0, 1, False
    return logits, targets, mask


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["hard", "soft", "ties"])
def test_values_and_gradients_are_those_of_all_pairs(kind: str, margin: float) -> None:
    logits, targets, mask = many_labels(kind)
    found, expected = (logits.clone().requires_grad_() for _ in range(2))
    values = PairwiseRankingLoss(margin).per_sample(found, targets, mask)
    assert values is not None
    direct = every_pair(margin, expected, targets, mask)
    torch.testing.assert_close(values, direct, rtol=1e-12, atol=1e-14)
    weights = torch.linspace(1, 2, 12, dtype=torch.float64)
    (values * weights).sum().backward()
    (direct * weights).sum().backward()
    assert found.grad is not None
    assert found.grad.abs().max() > 1e-3
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_narrow_logits_are_summed_in_single_precision(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (2 * torch.randn(4, 2000, generator=generator)).to(dtype)
    targets = (torch.rand(4, 2000, generator=generator) < 0.02).float()
    exact = every_pair(0.5, logits.double(), targets, torch.ones(4, 2000, dtype=torch.bool)).mean().item()
    loss = PairwiseRankingLoss(0.5)(logits, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact, abs=1e-6)


def test_ten_thousand_labels_make_no_tensor_of_pairs() -> None:
    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            for tensor in made if isinstance(made, (tuple, list)) else [made]:
                self.size = max(self.size, tensor.numel() if isinstance(tensor, Tensor) else 0)
            return made

    logits = torch.randn(8, 10_000, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.zeros(8, 10_000)
    targets[:, :5] = 1
    with Largest() as largest:
        PairwiseRankingLoss()(logits, targets).backward()
    assert largest.size == 8 * 10_001
