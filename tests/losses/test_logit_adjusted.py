import math
from typing import ClassVar

import pytest
import torch

from mlemo.losses import BinaryCrossEntropy, LogitAdjustedLoss
from mlemo.losses.positive_rates import positive_rates

from .tester import LossTester, Matrix, make_batch, sigmoid


def trained(tau: float = 1.0) -> LogitAdjustedLoss:
    loss = LogitAdjustedLoss(tau)
    _, targets, mask = make_batch(rows=20, masked=True, seed=5)
    loss.observe(targets, mask)
    return loss


class TestLogitAdjustedLoss(LossTester):
    losses: ClassVar = {"nothing seen": LogitAdjustedLoss, "trained": trained, "tau 0.5": lambda: trained(0.5)}
    single_class = LogitAdjustedLoss

    def reference(self, loss: LogitAdjustedLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        rates = loss.rates.tolist() or [0.5] * len(logits[0])
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            for x, y, rate, annotated in zip(row_logits, row_targets, rates, row_mask):
                p = sigmoid(x + loss.tau * math.log(rate / (1 - rate)))
                if annotated:
                    values.append(-y * math.log(p) - (1 - y) * math.log(1 - p))
        return sum(values) / max(1, len(values))


def test_rates_by_hand() -> None:
    targets = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, float("nan")], [0.0, 0.0, 1.0]])
    mask = torch.tensor([[True, True, True], [True, True, False], [True, True, True]])
    assert positive_rates(targets, mask).tolist() == pytest.approx([3 / 5, 1 / 5, 3 / 4])


def test_the_best_logit_of_a_class_forgets_its_frequency() -> None:
    """Where labels depend on nothing, p = π is the best prediction, and the logit that is left is 0."""
    targets = torch.zeros(100, 1)
    targets[:9] = 1
    loss = LogitAdjustedLoss()
    loss.observe(targets, torch.ones(100, 1, dtype=torch.bool))
    logit = torch.zeros(1, 1, requires_grad=True)
    loss(logit.expand(100, 1), targets).backward()
    assert logit.grad is not None
    assert logit.grad.item() == pytest.approx(10 / 102 - 9 / 100)
    plain = torch.zeros(1, 1, requires_grad=True)
    BinaryCrossEntropy()(plain.expand(100, 1), targets).backward()
    assert plain.grad is not None
    assert plain.grad.item() == pytest.approx(0.41)


def test_rates_travel_with_the_state() -> None:
    loss, other = trained(), LogitAdjustedLoss()
    other.bind(5)
    other.load_state_dict(loss.state_dict())
    batch = make_batch()
    assert other(*batch).item() == loss(*batch).item()
    assert other(*batch).item() != pytest.approx(LogitAdjustedLoss()(*batch).item())


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="tau must not be negative, found -1"):
        LogitAdjustedLoss(-1)
