import math
from typing import ClassVar

import pytest
import torch
from torch.nn import functional as F

from mlemo.losses import PairwiseExponentialLoss
from mlemo.losses.pairwise_exponential import pairwise_exponential

from .tester import LossTester, Matrix, make_batch, sigmoid


class TestPairwiseExponentialLoss(LossTester):
    losses: ClassVar = {
        "scale 5": PairwiseExponentialLoss,
        "scale 1": lambda: PairwiseExponentialLoss(1.0),
    }
    single_class = PairwiseExponentialLoss

    def reference(
        self, loss: PairwiseExponentialLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]
    ) -> float:
        total, rows = 0.0, 0
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            known = [(sigmoid(x), y) for x, y, annotated in zip(row_logits, row_targets, row_mask) if annotated]
            rows += bool(known)
            relevant, irrelevant = sum(y for _, y in known), sum(1 - y for _, y in known)
            if relevant and irrelevant:
                pairs = sum(y * (1 - other) * math.exp(-loss.scale * (p - n)) for p, y in known for n, other in known)
                total += pairs / (loss.scale * relevant * irrelevant)
        return total / max(rows, 1)


def test_rows_without_a_pair_count_as_zero() -> None:
    logits = torch.tensor([[2.0, -1.0], [2.0, -1.0], [2.0, -1.0]], requires_grad=True)
    targets = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    value = PairwiseExponentialLoss()(logits, targets)
    assert value.item() == pytest.approx(PairwiseExponentialLoss()(logits[:1], targets[:1]).item() / 3)
    value.backward()
    assert logits.grad is not None
    assert logits.grad[0].all()
    assert not logits.grad[1:].any()


def test_a_wrong_order_costs_more() -> None:
    targets = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    right, tied, wrong = torch.tensor([[3.0, 2.0, -2.0, -3.0]]), torch.zeros(1, 4), torch.tensor([[-3.0, -2, 2, 3]])
    values = [PairwiseExponentialLoss()(logits, targets).item() for logits in (right, tied, wrong)]
    assert values == sorted(values)
    assert values[1] == pytest.approx(1 / 5)
    assert values[2] <= math.exp(5) / 5


def test_leading_dimensions_are_samples_of_the_scores() -> None:
    _, targets, mask = make_batch(masked=True)
    scores = torch.rand(3, *targets.shape, dtype=torch.float64)
    values = pairwise_exponential(scores, targets, mask, 5.0)
    assert values.shape == (3, len(targets))
    for sample, row in zip(scores, values):
        assert torch.allclose(pairwise_exponential(sample, targets, mask, 5.0), row)


def test_nothing_as_large_as_all_pairs_is_made() -> None:
    # 4096 labels: all pairs of 64 samples would be 8 GB
    logits, targets = torch.randn(64, 4096), F.one_hot(torch.arange(64), 4096).float()
    assert PairwiseExponentialLoss()(logits, targets).isfinite()


@pytest.mark.parametrize("scale", [0, -1.0, float("nan")])
def test_an_impossible_scale_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be positive, found"):
        PairwiseExponentialLoss(scale)
