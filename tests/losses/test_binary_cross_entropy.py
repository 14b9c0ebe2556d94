import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.losses import BinaryCrossEntropy, positive_weights

from .tester import LossTester, Matrix, make_batch, sigmoid

WEIGHTS = [1.0, 2.0, 0.5, 3.0, 8.0]


class TestBinaryCrossEntropy(LossTester):
    losses: ClassVar = {
        "plain": BinaryCrossEntropy,
        "weighted": lambda: BinaryCrossEntropy(WEIGHTS),
        "smoothed": lambda: BinaryCrossEntropy(smoothing=0.2),
    }
    single_class = BinaryCrossEntropy

    def reference(self, loss: BinaryCrossEntropy, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        values = []
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            for c, (x, y, annotated) in enumerate(zip(row_logits, row_targets, row_mask)):
                weight = 1.0 if loss.class_weights is None else WEIGHTS[c]
                target = (1 - loss.smoothing) * y + loss.smoothing * 0.5
                if annotated:
                    values.append(-weight * target * math.log(sigmoid(x)) - (1 - target) * math.log(1 - sigmoid(x)))
        return sum(values) / len(values)


def test_equals_torch() -> None:
    logits, targets, _ = make_batch(soft=True)
    assert BinaryCrossEntropy()(logits, targets).item() == pytest.approx(
        F.binary_cross_entropy_with_logits(logits, targets).item()
    )
    weights = torch.tensor(WEIGHTS)
    assert BinaryCrossEntropy(weights)(logits, targets).item() == pytest.approx(
        F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights).item()
    )


def test_smoothed_targets_bound_the_best_logit() -> None:
    logits = torch.zeros(1, 2, requires_grad=True)
    loss, targets = BinaryCrossEntropy(smoothing=0.1), torch.tensor([[1.0, 0.0]])
    best = math.log(0.95 / 0.05) * (2 * targets - 1)
    loss(logits + best, targets).backward()
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([0, 0], abs=1e-7)
    for smoothing in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"smoothing must lie in \[0, 1\), found {smoothing}"):
            BinaryCrossEntropy(smoothing=smoothing)


def test_weights_for_another_number_of_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="2 class_weights for logits of 3 classes"):
        BinaryCrossEntropy([1.0, 2.0])(torch.zeros(1, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"class_weights must be positive and finite, found \[-1\.0\]"):
        BinaryCrossEntropy([-1.0])


@pytest.fixture
def labels() -> Tensor:
    return torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]])


def test_positive_weights(labels: Tensor) -> None:
    # One in four, none, all, two in four.
    assert positive_weights(labels).tolist() == [3.0, 1.0, 1.0, 1.0]


def test_positive_weights_count_annotated_labels_only(labels: Tensor) -> None:
    mask = torch.ones_like(labels, dtype=torch.bool)
    mask[3, 0] = mask[1, 3] = False
    labels[3, 0] = float("nan")
    assert positive_weights(labels, mask).tolist() == [2.0, 1.0, 1.0, 2.0]


def test_positive_weights_balance_the_classes(labels: Tensor) -> None:
    # At p = 1/2 positives and negatives of a class then pull equally hard.
    column = labels[:, :1]
    logits = torch.zeros(4, 1, requires_grad=True)
    BinaryCrossEntropy(positive_weights(column))(logits, column).backward()
    assert logits.grad is not None
    assert logits.grad.sum().item() == pytest.approx(0.0, abs=1e-7)


def test_balanced_weights_are_those_of_the_training_split_and_travel_with_the_state(labels: Tensor) -> None:
    mask = torch.ones_like(labels, dtype=torch.bool)
    loss = BinaryCrossEntropy("balanced")
    logits = torch.linspace(-2, 2, 16).view(4, 4)
    assert loss(logits, labels).item() == pytest.approx(BinaryCrossEntropy()(logits, labels).item())
    loss.bind(4)
    loss.observe(labels, mask)
    expected = BinaryCrossEntropy(positive_weights(labels))(logits, labels).item()
    assert loss(logits, labels).item() == pytest.approx(expected)
    again = BinaryCrossEntropy("balanced")
    again.bind(4)
    again.load_state_dict(loss.state_dict())
    assert again(logits, labels).item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="class_weights must be numbers, balanced or null, found 'even'"):
        BinaryCrossEntropy("even")  # type: ignore[arg-type]


def test_positive_weights_refuse_what_is_no_label_matrix() -> None:
    with pytest.raises(ValueError, match=r"targets must have shape \(N, C\), found \(3,\)"):
        positive_weights(torch.ones(3))
    with pytest.raises(ValueError, match=r"found 2\.0 at row 0, label 1"):
        positive_weights(torch.tensor([[0.0, 2.0]]))
