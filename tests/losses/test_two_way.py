import math
from typing import ClassVar

import pytest
import torch

from mlemo.losses import TwoWayLoss

from .tester import LossTester, Matrix

Entries = list[tuple[float, float]]


def one_way(loss: TwoWayLoss, lines: list[Entries]) -> float:
    """Mean over the lines, rows or columns of annotated logits and targets, that have a positive."""
    high, low, values = loss.negative_temperature, loss.positive_temperature, []
    for line in lines:
        negative = sum((1 - y) * math.exp(x / high) for x, y in line)
        positive = sum(y * math.exp(-x / low) for x, y in line)
        if positive:
            product = negative**high * positive**low
            values.append(math.log(1 + product))
    return sum(values) / max(1, len(values))


class TestTwoWayLoss(LossTester):
    losses: ClassVar = {"defaults": TwoWayLoss, "other temperatures": lambda: TwoWayLoss(1.0, 2.0)}
    single_class = TwoWayLoss
    grows_with_batch = True

    def reference(self, loss: TwoWayLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        entries = [list(zip(*rows)) for rows in zip(logits, targets, mask)]
        of_samples = [[(x, y) for x, y, annotated in row if annotated] for row in entries]
        of_labels = [[(x, y) for x, y, annotated in column if annotated] for column in zip(*entries)]
        return one_way(loss, of_samples) + one_way(loss, of_labels)


def test_golden_values() -> None:
    logits, targets = torch.tensor([[1.0, -1.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # samples: ln(1 + e⁻²) twice; labels: ln(1 + e⁻¹) and ln(1 + e⁻³)
    expected = math.log(1 + math.exp(-2)) + (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 2
    assert TwoWayLoss()(logits, targets).item() == pytest.approx(expected)


def test_each_way_orders_its_own_entries() -> None:
    """A logit that is the same in all rows matters to samples alone, one that is the same in all columns to labels."""
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    rows = torch.tensor([[5.0, 5.0], [-5.0, -5.0]], requires_grad=True)
    assert TwoWayLoss()(rows, targets).item() == pytest.approx(
        math.log(2) + (math.log(1 + math.exp(-10)) + math.log(1 + math.exp(10))) / 2
    )


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"temperatures must be positive, found 0 and 1\.0"):
        TwoWayLoss(0)
    with pytest.raises(ValueError, match=r"temperatures must be positive, found 4\.0 and -1"):
        TwoWayLoss(negative_temperature=-1)
