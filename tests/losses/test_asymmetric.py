import math
from typing import ClassVar

import pytest
import torch

from mlemo.losses import AsymmetricLoss, BinaryCrossEntropy, FocalLoss

from .tester import LossTester, Matrix, make_batch, sigmoid


class TestAsymmetricLoss(LossTester):
    losses: ClassVar = {
        "defaults": AsymmetricLoss,
        "no margin": lambda: AsymmetricLoss(clip=0.0),
        "both focused": lambda: AsymmetricLoss(gamma_positive=1.0, gamma_negative=2.5, clip=0.2),
        "slope without bound at the margin": lambda: AsymmetricLoss(gamma_negative=0.5, clip=0.1),
        "margin alone": lambda: AsymmetricLoss(gamma_negative=0.0),
    }
    single_class = AsymmetricLoss

    def reference(self, loss: AsymmetricLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            for x, y, annotated in zip(row_logits, row_targets, row_mask):
                p = sigmoid(x)
                shifted = max(p - loss.clip, 0.0)
                positive = (1 - p) ** loss.gamma_positive * math.log(p)
                negative = shifted**loss.gamma_negative * math.log(1 - shifted)
                if annotated:
                    values.append(-y * positive - (1 - y) * negative)
        return sum(values) / len(values)


def test_special_cases() -> None:
    logits, targets, _ = make_batch(soft=True)
    assert AsymmetricLoss(0.0, 0.0, 0.0)(logits, targets).item() == pytest.approx(
        BinaryCrossEntropy()(logits, targets).item()
    )
    assert AsymmetricLoss(2.0, 2.0, 0.0)(logits, targets).item() == pytest.approx(FocalLoss()(logits, targets).item())


def test_easy_negatives_are_free() -> None:
    logits = torch.tensor([[-3.0, 0.0]], requires_grad=True)  # p = 0.047 and 0.5
    AsymmetricLoss(clip=0.05)(logits, torch.zeros(1, 2)).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] == 0
    assert logits.grad[0, 1] > 0


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 4.0])
def test_the_gradient_is_finite_around_the_margin(gamma: float) -> None:
    # p = 1/2 is the margin itself, to the last bit.
    logits = torch.tensor([[-1e-7, 0.0, 1e-7, 1e-4]], requires_grad=True)
    AsymmetricLoss(gamma_negative=gamma, clip=0.5)(logits, torch.zeros(1, 4)).backward()
    assert logits.grad is not None
    assert torch.all(logits.grad.isfinite())
    assert torch.all(logits.grad >= 0)


def test_a_confident_error_is_large_and_finite_in_half_precision() -> None:
    logits = torch.tensor([[-100.0, -100.0]], dtype=torch.float16)
    assert AsymmetricLoss()(logits, torch.ones(1, 2)).item() == pytest.approx(100.0)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative, found -1 and 4"):
        AsymmetricLoss(gamma_positive=-1)
    with pytest.raises(ValueError, match=r"must not be negative, found 0\.0 and -2"):
        AsymmetricLoss(gamma_negative=-2)
    with pytest.raises(ValueError, match=r"clip must lie in \[0, 1\), found 1"):
        AsymmetricLoss(clip=1)
