from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score
from torch import Tensor

from mlemo.labels import LabelSpace
from mlemo.losses import Loss, SigmoidF1Loss, SoftJaccardLoss, SoftMacroF1Loss, SoftMicroF1Loss
from mlemo.metrics import MultiLabelMetrics

from .tester import LossTester, Matrix, make_batch, sigmoid

LOSSES: dict[str, Loss] = {"jaccard": SoftJaccardLoss(), "micro_f1": SoftMicroF1Loss(), "macro_f1": SoftMacroF1Loss()}


class TestSoftJaccardLoss(LossTester):
    losses: ClassVar = {"defaults": SoftJaccardLoss}
    single_class = SoftJaccardLoss

    def reference(self, loss: SoftJaccardLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            entries = [(y, sigmoid(x)) for x, y, annotated in zip(row_logits, row_targets, row_mask) if annotated]
            if entries:
                values.append(1 - sum(y * o for y, o in entries) / sum(y + o - y * o for y, o in entries))
        return sum(values) / len(values)


class TestSoftMicroF1Loss(LossTester):
    losses: ClassVar = {"defaults": SoftMicroF1Loss}
    single_class = SoftMicroF1Loss

    def reference(self, loss: SoftMicroF1Loss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        common = total = 0.0
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            for x, y, annotated in zip(row_logits, row_targets, row_mask):
                if annotated:
                    common += y * sigmoid(x)
                    total += y + sigmoid(x)
        return 1 - 2 * common / total


class TestSoftMacroF1Loss(LossTester):
    losses: ClassVar = {"defaults": SoftMacroF1Loss, "present classes": lambda: SoftMacroF1Loss(skip_absent=True)}
    single_class = SoftMacroF1Loss

    def reference(self, loss: SoftMacroF1Loss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        for c in range(len(logits[0])):
            entries = [(row[c], sigmoid(x[c])) for x, row, known in zip(logits, targets, mask) if known[c]]
            present = any(y > 0 for y, _ in entries)
            if entries and (present or not loss.skip_absent):
                values.append(1 - 2 * sum(y * o for y, o in entries) / sum(y + o for y, o in entries))
        return sum(values) / len(values) if values else 0.0


def test_macro_f1_is_sigmoid_f1_of_the_plain_sigmoid() -> None:
    logits, targets, mask = make_batch(soft=True, masked=True)
    assert torch.equal(SoftMacroF1Loss()(logits, targets, mask), SigmoidF1Loss(1.0, 0.0)(logits, targets, mask))


# --- certain predictions


def random_sets(seed: int) -> tuple[Tensor, Tensor]:
    """Logits whose σ is 0 or 1 and targets, from none to all labels, with empty rows and columns."""
    generator = torch.Generator().manual_seed(seed)
    rows, classes = torch.randint(1, 9, (2,), generator=generator).tolist()
    shares = torch.rand(2, 1, 1, generator=generator)
    decisions, targets = torch.rand(2, rows, classes, generator=generator) < shares
    for part in (decisions, targets):
        part[torch.rand(rows, generator=generator) < 0.2] = False
        part[:, torch.rand(classes, generator=generator) < 0.2] = False
    return torch.where(decisions, 1e3, -1e3).double(), targets


def hard_metrics(logits: Tensor, targets: Tensor, mask: Tensor | None = None, threshold: float = 0.5) -> dict:
    metrics = MultiLabelMetrics(LabelSpace(tuple(f"label {c}" for c in range(logits.shape[1]))))
    probabilities = logits.sigmoid()
    metrics.update(probabilities, targets, probabilities >= threshold, mask)
    return {name: value.item() for name, value in metrics.compute().items()}


@pytest.mark.parametrize("seed", range(40))
def test_certain_predictions_give_the_metric(seed: int) -> None:
    logits, targets = random_sets(seed)
    assert set(logits.sigmoid().unique().tolist()) <= {0.0, 1.0}
    soft = {name: 1 - loss(logits, targets).item() for name, loss in LOSSES.items()}
    y, o = targets.long().numpy(), logits.sigmoid().long().numpy()
    if y.shape[1] > 1:  # one column is a binary problem to scikit-learn
        assert soft["micro_f1"] == pytest.approx(f1_score(y, o, average="micro", zero_division=0))
        assert soft["macro_f1"] == pytest.approx(f1_score(y, o, average="macro", zero_division=0))
        assert soft["jaccard"] == pytest.approx(jaccard_score(y, o, average="samples", zero_division=1))
    hard = hard_metrics(logits, targets)
    for name, value in soft.items():
        assert value == pytest.approx(hard[name], abs=1e-6), name


@pytest.mark.parametrize("seed", range(10))
def test_certain_predictions_give_the_metric_of_annotated_entries(seed: int) -> None:
    logits, targets = random_sets(seed)
    mask = torch.rand(logits.shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[0] = True  # a class without any annotation is 0 in the metric, and not counted by the loss
    hard = hard_metrics(logits, targets, mask)
    for name, loss in LOSSES.items():
        assert 1 - loss(logits, targets, mask).item() == pytest.approx(hard[name], abs=1e-6), name


def test_absent_classes_are_counted_or_skipped() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        y, o = (generator.random((2, 5, 6)) < generator.random()).astype(int)
        y[0, 0], y[:, 1] = 1, 0
        present = np.flatnonzero(y.any(0))
        expected = f1_score(y, o, labels=present, average="macro", zero_division=0)
        logits = torch.from_numpy(np.where(o, 1e3, -1e3))
        value = SoftMacroF1Loss(skip_absent=True)(logits, torch.from_numpy(y)).item()
        assert 1 - value == pytest.approx(expected)


def test_two_empty_sets() -> None:
    nothing, targets = torch.full((1, 3), -1e3), torch.zeros(1, 3)
    assert SoftJaccardLoss()(nothing, targets).item() == 0  # an index of 1
    assert SoftMicroF1Loss()(nothing, targets).item() == 1
    assert SoftMacroF1Loss()(nothing, targets).item() == 1


def test_a_sample_without_positives_teaches_the_jaccard_index_nothing() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    value = SoftJaccardLoss()(logits, torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    value.backward()
    assert value.item() == pytest.approx((1 + 0.75) / 2)  # 0, and 0.5 / 2
    assert logits.grad is not None
    assert torch.all(logits.grad[0] == 0)
    assert torch.all(logits.grad[1] != 0)


# --- is the soft metric a lower bound of the metric?


def test_a_soft_metric_is_no_lower_bound_in_general() -> None:
    logits, targets = torch.tensor([[0.4]]).logit(), torch.ones(1, 1)  # a positive that is nearly found
    hard = hard_metrics(logits, targets)
    expected = {"jaccard": 0.4, "micro_f1": 0.8 / 1.4, "macro_f1": 0.8 / 1.4}
    for name, loss in LOSSES.items():
        assert 1 - loss(logits, targets).item() == pytest.approx(expected[name])
        assert hard[name] == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_soft_metric_is_a_lower_bound_where_wrong_decisions_are_certain(seed: int) -> None:
    logits, targets, _ = make_batch(seed=seed)
    wrong = (logits >= 0) != targets.bool()
    logits = torch.where(wrong, 1e3 * logits.sign(), logits)
    hard = hard_metrics(logits, targets)
    for name, loss in LOSSES.items():
        assert 1 - loss(logits, targets).item() <= hard[name] + 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_a_soft_metric_rises_with_positives_and_falls_with_negatives(seed: int) -> None:
    logits, targets, _ = make_batch(seed=seed)
    for loss in LOSSES.values():
        (gradient,) = torch.autograd.grad(loss(logits.requires_grad_(), targets), logits)
        assert torch.all(gradient[targets == 1] < 0)
        assert torch.all(gradient[targets == 0] >= 0)
