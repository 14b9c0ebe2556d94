import math
from typing import ClassVar

import pytest
import torch

from mlemo.losses import FocalLoss, HillLoss, SPLCLoss

from .tester import LossTester, Matrix, make_batch, sigmoid


def focal(p: float, gamma: float) -> float:
    return -((1 - p) ** gamma) * math.log(p)


def after_epochs(epochs: int, **settings: float) -> SPLCLoss:
    loss = SPLCLoss(**settings)
    for _ in range(epochs):
        loss.start_epoch()
    return loss


class TestHillLoss(LossTester):
    losses: ClassVar = {"defaults": HillLoss, "other settings": lambda: HillLoss(2.0, 0.5, 0.5)}
    single_class = HillLoss

    def reference(self, loss: HillLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            for x, y, annotated in zip(row_logits, row_targets, row_mask):
                p = sigmoid(x)
                if annotated:
                    positive = focal(sigmoid(x - loss.margin), loss.gamma)
                    values.append(y * positive + (1 - y) * (loss.weight - p) * p**2)
        return sum(values) / max(1, len(values))


class TestSPLCLoss(LossTester):
    losses: ClassVar = {
        "warming up": lambda: after_epochs(1),
        "correcting": lambda: after_epochs(2),
        "correcting at once": lambda: after_epochs(1, threshold=0.5, margin=0.5, gamma=1.0, warmup_epochs=0),
    }
    single_class = SPLCLoss

    def reference(self, loss: SPLCLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        correct = loss.epochs.item() > loss.warmup_epochs
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            for x, given, annotated in zip(row_logits, row_targets, row_mask):
                y = 1.0 if correct and sigmoid(x) > loss.threshold else given
                if annotated:
                    positive, negative = focal(sigmoid(x - loss.margin), loss.gamma), focal(sigmoid(-x), loss.gamma)
                    values.append(y * positive + (1 - y) * negative)
        return sum(values) / max(1, len(values))


def test_golden_values() -> None:
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    assert HillLoss()(zero, zero).item() == pytest.approx(0.25)
    # p_m = σ(−1) = 0.268941: 0.731059² · 1.313262
    assert HillLoss()(zero, one).item() == pytest.approx(0.701870, abs=1e-5)
    assert SPLCLoss()(zero, one).item() == pytest.approx(0.701870, abs=1e-5)
    assert SPLCLoss()(zero, zero).item() == pytest.approx(0.25 * math.log(2))


def test_sure_negatives_have_the_shape_of_a_hill() -> None:
    """The gradient of a negative, ``3 p² (1 − p)²``, is gone where the model is sure of a positive."""
    logits = torch.tensor([[-6.0, 0.0, 1.0, 12.0]], requires_grad=True)
    HillLoss()(logits, torch.zeros(1, 4)).backward()
    assert logits.grad is not None
    expected = [3 / 4 * (sigmoid(x) * sigmoid(-x)) ** 2 for x in (-6.0, 0.0, 1.0, 12.0)]
    assert logits.grad[0].tolist() == pytest.approx(expected, abs=1e-7)


def test_the_correction_begins_after_the_warm_up() -> None:
    logits, targets, mask = make_batch(masked=True)
    loss = SPLCLoss(margin=0.0)
    focal_loss = FocalLoss(gamma=2.0)(logits, targets, mask).item()
    corrected = FocalLoss(gamma=2.0)(logits, targets.masked_fill(logits.sigmoid() > 0.6, 1.0), mask).item()
    assert corrected != pytest.approx(focal_loss)
    for expected in (focal_loss, focal_loss, corrected, corrected):  # before training, and in epochs 1 to 3
        assert loss(logits, targets, mask).item() == pytest.approx(expected)
        loss.start_epoch()
    other = SPLCLoss(margin=0.0)
    other.load_state_dict(loss.state_dict())
    assert other(logits, targets, mask).item() == pytest.approx(corrected), "a resumed training goes on correcting"


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weight must be at least 1, found 0\.5"):
        HillLoss(0.5)
    with pytest.raises(ValueError, match=r"margin and gamma must not be negative, found -1 and 2\.0"):
        HillLoss(margin=-1)
    with pytest.raises(ValueError, match=r"margin and gamma must not be negative, found 1\.0 and -2"):
        SPLCLoss(gamma=-2)
    with pytest.raises(ValueError, match="threshold must lie between 0 and 1, found 1"):
        SPLCLoss(1)
    with pytest.raises(ValueError, match="warmup_epochs must not be negative, found -1"):
        SPLCLoss(warmup_epochs=-1)
