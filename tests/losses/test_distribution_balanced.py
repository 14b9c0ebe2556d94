import math
from typing import ClassVar

import pytest
import torch

from mlemo.losses import DistributionBalancedLoss

from .tester import LossTester, Matrix, make_batch, sigmoid


def trained(**settings: float) -> DistributionBalancedLoss:
    loss = DistributionBalancedLoss(**settings)
    _, targets, mask = make_batch(rows=20, masked=True, seed=5)
    loss.observe(targets, mask)
    return loss


class TestDistributionBalancedLoss(LossTester):
    losses: ClassVar = {
        "nothing seen": DistributionBalancedLoss,
        "trained": trained,
        "other settings": lambda: trained(alpha=0.5, beta=3.0, mu=0.4, negative_scale=5.0, bias_scale=0.3),
    }
    single_class = DistributionBalancedLoss

    def reference(
        self, loss: DistributionBalancedLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]
    ) -> float:
        values = []
        rates = loss.rates.tolist() or [0.5] * len(logits[0])
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            drawn = sum(y / rate for y, rate, annotated in zip(row_targets, rates, row_mask) if annotated)
            for x, y, rate, annotated in zip(row_logits, row_targets, rates, row_mask):
                weight = sigmoid(loss.beta * (1 / rate / drawn - loss.mu)) if drawn else 1.0
                z = x + loss.bias_scale * math.log(rate / (1 - rate))
                positive = math.log(1 + math.exp(-z))
                negative = math.log(1 + math.exp(loss.negative_scale * z)) / loss.negative_scale
                if annotated:
                    values.append((loss.alpha + weight) * (y * positive + (1 - y) * negative))
        return sum(values) / max(1, len(values))


def test_golden_values() -> None:
    loss = DistributionBalancedLoss(bias_scale=0.0)
    loss.observe(torch.tensor([[1.0, 1.0]] + 2 * [[1.0, 0.0]]), torch.ones(3, 2, dtype=torch.bool))
    assert loss.rates.tolist() == pytest.approx([4 / 5, 2 / 5])
    # 1/π = 1.25 and 2.5: r = 1/3 and 2/3 of a sample with both labels, 1 and 2 of one with the first alone
    both, first = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    weights = [0.1 + sigmoid(10 * (r - 0.2)) for r in (1 / 3, 2 / 3, 1, 2)]
    assert loss(torch.zeros(1, 2), both).item() == pytest.approx(sum(weights[:2]) / 2 * math.log(2))
    expected = (weights[2] + weights[3] / 2) / 2 * math.log(2)
    assert loss(torch.zeros(1, 2), first).item() == pytest.approx(expected)


def test_a_frequent_label_weighs_less_beside_a_rare_one() -> None:
    loss = DistributionBalancedLoss()
    loss.bind(2)
    loss.rates = torch.tensor([0.5, 0.01])
    logits = torch.zeros(2, 2, requires_grad=True)
    loss(logits, torch.tensor([[1.0, 1.0], [1.0, 0.0]])).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].abs() < 0.3 * logits.grad[1, 0].abs()


def test_negatives_far_below_zero_are_left_alone() -> None:
    loss = DistributionBalancedLoss(negative_scale=5.0)
    logits = torch.tensor([[-2.0]], requires_grad=True)
    loss(logits, torch.zeros(1, 1)).backward()
    assert logits.grad is not None
    assert logits.grad.item() == pytest.approx(1.1 * sigmoid(-10))


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be positive, found 0\.1, 0\.05 and 0"):
        DistributionBalancedLoss(beta=0)
    with pytest.raises(ValueError, match=r"must not be negative .* found -1, 0\.05 and 10\.0"):
        DistributionBalancedLoss(alpha=-1)
    with pytest.raises(ValueError, match=r"negative_scale must be at least 1, found 0\.5"):
        DistributionBalancedLoss(negative_scale=0.5)
