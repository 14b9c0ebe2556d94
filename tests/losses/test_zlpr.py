import math
from typing import ClassVar

import pytest
import torch

from mlemo.losses import ZLPRLoss
from mlemo.losses.log_sum_exp import log_sum_exp

from .tester import LossTester, Matrix


class TestZLPRLoss(LossTester):
    losses: ClassVar = {"defaults": ZLPRLoss}
    single_class = ZLPRLoss

    def reference(self, loss: ZLPRLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            known = [(x, y) for x, y, annotated in zip(row_logits, row_targets, row_mask) if annotated]
            if known:
                negative = sum((1 - y) * math.exp(x) for x, y in known)
                positive = sum(y * math.exp(-x) for x, y in known)
                values.append(math.log(1 + negative) + math.log(1 + positive))
        return sum(values) / max(1, len(values))


def test_golden_values() -> None:
    logits, targets = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([[1.0, 0.0, 0.0]])
    expected = math.log(1 + math.exp(-2) + math.exp(0.5)) + math.log(1 + math.exp(-1))
    assert ZLPRLoss()(logits, targets).item() == pytest.approx(expected)


def test_it_ranks_pairs_of_labels() -> None:
    targets = torch.tensor([[1.0, 0.0]])
    values = [ZLPRLoss()(torch.tensor([row]), targets).item() for row in ([3.0, -3.0], [0.0, 0.0], [-3.0, 3.0])]
    assert values == sorted(values)
    assert values[2] == pytest.approx(2 * math.log(1 + math.exp(3)))


def test_weights_of_zero_leave_no_trace_in_a_logarithm_of_a_sum() -> None:
    values = torch.tensor([1.0, 80.0], requires_grad=True)
    log_sum_exp(values, torch.tensor([2.0, 0.0]), 0).backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1.0, 0.0]
    assert log_sum_exp(values, torch.tensor([2.0, 0.0]), 0).item() == pytest.approx(1 + math.log(2))
    assert log_sum_exp(values, torch.zeros(2), 0).item() < -9e5
