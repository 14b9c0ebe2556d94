from typing import ClassVar

import pytest
import torch
from sklearn.metrics import roc_auc_score

from mlemo.losses import PairwiseAUCLoss

from .tester import LossTester, Matrix, make_batch


class TestPairwiseAUCLoss(LossTester):
    losses: ClassVar = {"margin 1": PairwiseAUCLoss, "margin 3": lambda: PairwiseAUCLoss(3.0)}
    single_class = PairwiseAUCLoss

    def reference(self, loss: PairwiseAUCLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        for columns in zip(*(zip(*rows) for rows in zip(logits, targets, mask))):
            known = [(x, y) for x, y, annotated in columns if annotated]
            pairs = sum(y * (1 - other) for _, y in known for _, other in known)
            short = sum(y * (1 - other) * max(0.0, loss.margin - (p - n)) ** 2 for p, y in known for n, other in known)
            if pairs:
                values.append(short / pairs)
        return sum(values) / max(1, len(values))


def test_golden_values() -> None:
    logits, targets = torch.tensor([[0.5], [0.0], [2.0]]), torch.tensor([[1.0], [0.0], [0.0]])
    assert PairwiseAUCLoss()(logits, targets).item() == pytest.approx((0.5**2 + 2.5**2) / 2)
    right, wrong = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]])
    assert PairwiseAUCLoss()(right, targets[:2]).item() == 0
    assert PairwiseAUCLoss()(wrong, targets[:2]).item() == 4


@pytest.mark.parametrize("seed", range(3))
def test_it_bounds_one_minus_the_area_under_the_curve(seed: int) -> None:
    logits, targets, _ = make_batch(rows=40, seed=seed)
    area = roc_auc_score(targets, logits, average="macro")
    assert 1 - area < PairwiseAUCLoss()(logits, targets).item()
    level = 100 * torch.arange(5)
    assert PairwiseAUCLoss()(logits + level, targets).item() == pytest.approx(
        PairwiseAUCLoss()(logits, targets).item()
    ), "the level of a label does not matter"


def test_descent_puts_positives_above_negatives() -> None:
    logits, targets, _ = make_batch(rows=40)
    logits.requires_grad_()
    optimizer = torch.optim.SGD([logits], lr=30)
    before = roc_auc_score(targets, logits.detach())
    for _ in range(100):
        optimizer.zero_grad()
        PairwiseAUCLoss()(logits, targets).backward()
        optimizer.step()
    assert before < 0.6
    assert roc_auc_score(targets, logits.detach()) == 1


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="margin must be positive, found 0"):
        PairwiseAUCLoss(0)
