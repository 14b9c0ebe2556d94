from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from mlemo.losses import SigmoidF1Loss, SmoothConfusionLoss, UnboundedF1Loss

from .test_smooth_confusion import OFFSETS, SLOPES, reference
from .tester import LossTester, Matrix, make_batch


class TestSigmoidF1Loss(LossTester):
    losses: ClassVar = {
        "defaults": SigmoidF1Loss,
        "the paper's for text": lambda: SigmoidF1Loss(beta=1.0, eta=9.0),
        "per class": lambda: SigmoidF1Loss(SLOPES, OFFSETS),
        "learnable": lambda: SigmoidF1Loss(2.0, 0.5, learnable=True),
        "learnable per class": lambda: SigmoidF1Loss(SLOPES, learnable=True, classes=5),
        "present classes": lambda: SigmoidF1Loss(skip_absent=True),
    }
    single_class = SigmoidF1Loss

    def reference(self, loss: SigmoidF1Loss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        return reference(loss, logits, targets, mask)


def test_values_of_the_formula() -> None:
    # s = σ(2 · (u + 1)): σ(2) = 0.8808 twice; tp = fp = 0.8808, fn = 0.1192: 1 − 1.7616 / (1.7616 + 0.8808 + 0.1192)
    loss = SigmoidF1Loss(beta=2.0, eta=1.0)
    value = loss(torch.zeros(2, 1), torch.tensor([[1.0], [0.0]]))
    assert value.item() == pytest.approx(1 - 1.7615942 / 2.7615942, rel=1e-6)


@pytest.mark.parametrize("skip_absent", [False, True])
def test_it_is_the_smooth_confusion_loss_of_macro_f1(skip_absent: bool) -> None:
    logits, targets, mask = make_batch(masked=True)
    general = SmoothConfusionLoss("f1", "macro", SLOPES, OFFSETS, skip_absent=skip_absent)
    assert torch.equal(
        SigmoidF1Loss(SLOPES, OFFSETS, skip_absent=skip_absent)(logits, targets, mask), general(logits, targets, mask)
    )


class TestUnboundedF1Loss(LossTester):
    losses: ClassVar = {"defaults": UnboundedF1Loss, "present classes": lambda: UnboundedF1Loss(skip_absent=True)}
    single_class = UnboundedF1Loss

    def reference(self, loss: UnboundedF1Loss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        for c in range(len(logits[0])):
            entries = [(row[c], y[c]) for row, y, known in zip(logits, targets, mask) if known[c]]
            tp = sum(u * y for u, y in entries)
            fp = sum(u * (1 - y) for u, y in entries)
            fn = sum((1 - u) * y for u, y in entries)
            positives = sum(y for _, y in entries)
            if positives > 0:
                # eq. 7, unless there are less than no predictions
                values.append(1 - 2 * tp / (2 * tp + fp + fn if tp + fp > 0 else positives))
            elif entries and not loss.skip_absent:
                values.append(1.0)
        return sum(values) / len(values) if values else 0.0


def test_scores_of_0_and_1_give_the_metric_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        y, o = (generator.random((2, 6, 4)) < generator.random()).astype(float)
        expected = f1_score(y, o, average="macro", zero_division=0)
        value = UnboundedF1Loss()(torch.from_numpy(o), torch.from_numpy(y)).item()
        assert 1 - value == pytest.approx(expected, abs=1e-12)


def test_there_is_no_pole_where_scores_and_positives_cancel() -> None:
    # one positive with score 1 and a negative at −2 + t: the denominator of eq. 7 is t
    targets = torch.tensor([[1.0], [0.0]])
    for t in (-1.0, -1e-6, 0.0, 1e-6, 0.5):
        logits = torch.tensor([[1.0], [t - 2]], requires_grad=True)
        value = UnboundedF1Loss()(logits, targets)
        value.backward()
        assert value.item() == pytest.approx(-1.0)  # 1 − 2 / 1
        assert logits.grad is not None
        assert logits.grad.flatten().tolist() == [-2.0, 0.0]


def test_descent_separates_the_classes() -> None:
    _, targets, _ = make_batch(rows=20)
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        UnboundedF1Loss()(logits, targets).backward()
        optimizer.step()
    for c in range(5):
        assert logits[targets[:, c] == 1, c].min() > logits[targets[:, c] == 0, c].max()
