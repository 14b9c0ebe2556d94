import math
from typing import ClassVar

import pytest
import torch

from mlemo.losses import BinaryCrossEntropy, FocalLoss

from .tester import LossTester, Matrix, make_batch, sigmoid

ALPHA = [0.5, 2.0, 1.0, 1.25, 0.25]


class TestFocalLoss(LossTester):
    losses: ClassVar = {
        "defaults": FocalLoss,
        "balanced": lambda: FocalLoss(alpha=0.25, gamma=1.0),
        "class weights": lambda: FocalLoss(alpha=ALPHA, gamma=0.5),
        "positive term of one alpha": lambda: FocalLoss(alpha=0.75, negative_term=False),
        "positive term of class weights": lambda: FocalLoss(alpha=ALPHA, gamma=3.0, negative_term=False),
        "no focus": lambda: FocalLoss(gamma=0.0),
    }
    single_class = FocalLoss

    def reference(self, loss: FocalLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            for c, (x, y, annotated) in enumerate(zip(row_logits, row_targets, row_mask)):
                if loss.balance is not None:
                    positive, negative = loss.balance, 1 - loss.balance
                elif loss.class_weights is not None:
                    positive = negative = ALPHA[c]
                else:
                    positive = negative = 1.0
                p = sigmoid(x)
                value = -positive * y * (1 - p) ** loss.gamma * math.log(p)
                if loss.negative_term:
                    value -= negative * (1 - y) * p**loss.gamma * math.log(1 - p)
                if annotated:
                    values.append(value)
        return sum(values) / len(values)


def test_values_of_the_formula() -> None:
    # p = 0.8: 0.25 · 0.2² · (−ln 0.8) for a positive, 0.75 · 0.8² · (−ln 0.2) for a negative.
    logits = torch.full((1, 1), math.log(4.0))
    loss = FocalLoss(alpha=0.25, gamma=2.0)
    assert loss(logits, torch.ones(1, 1)).item() == pytest.approx(0.0022314355, rel=1e-5)
    assert loss(logits, torch.zeros(1, 1)).item() == pytest.approx(0.7725301979, rel=1e-5)


def test_without_focus_it_is_cross_entropy() -> None:
    logits, targets, mask = make_batch(masked=True)
    assert FocalLoss(gamma=0.0)(logits, targets, mask).item() == pytest.approx(
        BinaryCrossEntropy()(logits, targets, mask).item()
    )


def test_without_the_negative_term_negatives_have_no_gradient() -> None:
    logits, targets, _ = make_batch()
    logits.requires_grad_()
    FocalLoss(negative_term=False)(logits, targets).backward()
    assert logits.grad is not None
    assert torch.all(logits.grad[targets == 0] == 0)
    assert torch.all(logits.grad[targets == 1] < 0)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="gamma must not be negative, found -1"):
        FocalLoss(gamma=-1)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], found 1.5"):
        FocalLoss(alpha=1.5)
    with pytest.raises(ValueError, match="alpha must be positive"):
        FocalLoss(alpha=[0.5, 0.0])
    with pytest.raises(ValueError, match="2 values of alpha for logits of 3 classes"):
        FocalLoss(alpha=[1.0, 1.0])(torch.zeros(1, 3), torch.zeros(1, 3))
