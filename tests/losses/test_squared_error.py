from typing import ClassVar

import pytest
import torch
from sklearn.metrics import brier_score_loss

from mlemo.losses import MeanSquaredError

from .tester import LossTester, Matrix, make_batch, sigmoid


class TestMeanSquaredError(LossTester):
    losses: ClassVar = {"plain": MeanSquaredError}
    single_class = MeanSquaredError

    def reference(self, loss: MeanSquaredError, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            for x, y, annotated in zip(row_logits, row_targets, row_mask):
                if annotated:
                    values.append((sigmoid(x) - y) ** 2)
        return sum(values) / len(values)


def test_equals_scikit_learn() -> None:
    logits, targets, _ = make_batch()
    expected = brier_score_loss(targets.flatten().numpy(), logits.sigmoid().flatten().numpy())
    assert MeanSquaredError()(logits, targets).item() == pytest.approx(expected)


def test_the_gradient_fades_where_the_network_is_certain() -> None:
    logits = torch.tensor([[0.0, -5.0, -20.0]], requires_grad=True)
    MeanSquaredError()(logits, torch.ones(1, 3)).backward()
    assert logits.grad is not None
    sizes = logits.grad[0].abs().tolist()
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < 1e-8
