import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from mlemo.losses import LabelCorrelationLoss

from .tester import CLASSES, LossTester, Matrix, make_batch, sigmoid

Mask = list[list[bool]]


def stochastic(counts: Matrix, smoothing: float) -> Matrix:
    """Rows with smoothing added, scaled to a sum of 1."""
    return [[(value + smoothing) / sum(other + smoothing for other in row) for value in row] for row in counts]


def together(values: Matrix, mask: Mask, weights: list[float] | None = None) -> Matrix:
    """Mean co-occurrence over the annotated samples."""
    labels = range(len(mask[0]) if mask else CLASSES)
    rows = max(1, sum(any(row) for row in mask))
    weights = [1.0] * len(values) if weights is None else weights
    return [
        [sum(w * v[i] * k[i] * v[j] * k[j] for v, k, w in zip(values, mask, weights)) / rows for j in labels]
        for i in labels
    ]


def confidence(logits: Matrix, mask: Mask) -> list[float]:
    """Mean distance of a sample's annotated probabilities from 0.5, doubled."""
    result = []
    for row, known in zip(logits, mask):
        values = [abs(2 * sigmoid(x) - 1) for x, annotated in zip(row, known) if annotated]
        result.append(sum(values) / max(1, len(values)))
    return result


def divergence(q: Matrix, a: Matrix) -> float:
    """Mean over the rows of Σ q log(q / a)."""
    return sum(x * math.log(x / y) for p, r in zip(q, a) for x, y in zip(p, r)) / len(q)


def correlation(
    logits: Matrix, targets: Matrix, mask: Mask, known: Matrix | None = None, weights: list[float] | None = None
) -> float:
    """The formula without a model's affinities; ``known`` are the co-occurrences, or those of the batch."""
    if not any(any(row) for row in mask):
        return 0.0
    probabilities = [[sigmoid(x) for x in row] for row in logits]
    known = together(targets, mask, weights) if known is None else known
    return divergence(stochastic(together(probabilities, mask), 0.01), stochastic(known, 0.01))


def trained(**settings: bool) -> LabelCorrelationLoss:
    """A running average after three batches, in evaluation mode, where nothing moves."""
    loss = LabelCorrelationLoss("running", **settings)
    for seed in (7, 8, 9):
        loss(*make_batch(masked=True, seed=seed))
    return loss.eval()


def dataset() -> LabelCorrelationLoss:
    loss = LabelCorrelationLoss("dataset")
    _, targets, mask = make_batch(rows=20, masked=True, seed=5)
    loss.observe(targets, mask)
    return loss


class TestLabelCorrelationLoss(LossTester):
    # a running average moves with each call in training mode, so that the same batch has another loss
    losses: ClassVar = {
        "batch": lambda: LabelCorrelationLoss("batch"),
        "running, nothing seen": lambda: LabelCorrelationLoss("running").eval(),
        "running": trained,
        "dataset": dataset,
        "dataset, nothing seen": lambda: LabelCorrelationLoss("dataset"),
    }

    @staticmethod
    def single_class() -> LabelCorrelationLoss:
        return LabelCorrelationLoss("batch")

    def reference(self, loss: LabelCorrelationLoss, logits: Matrix, targets: Matrix, mask: Mask) -> float:
        known = (loss.average / loss.seen).tolist() if loss.seen else None
        return correlation(logits, targets, mask, known)


@pytest.fixture
def log_affinity() -> Tensor:
    return torch.randn(CLASSES, CLASSES, generator=torch.Generator().manual_seed(3)).log_softmax(1)


def test_a_models_affinities_take_the_place_of_those_of_the_probabilities(log_affinity: Tensor) -> None:
    _, targets, mask = make_batch(masked=True)
    loss = LabelCorrelationLoss("batch")
    log_affinity.requires_grad_()
    logits = torch.zeros(6, 5, requires_grad=True)
    value = loss(logits, targets, mask, label_affinity=log_affinity)
    a = stochastic(together(targets.tolist(), mask.tolist()), 0.01)
    assert value.item() == pytest.approx(divergence(log_affinity.exp().tolist(), a), rel=1e-6)
    value.backward()
    assert log_affinity.grad is not None
    assert log_affinity.grad.abs().sum() > 0
    assert loss(logits, targets, mask & False, label_affinity=log_affinity).item() == 0


def test_it_is_zero_where_affinities_are_the_co_occurrences() -> None:
    _, targets, mask = make_batch(rows=30)
    counts = torch.tensor(stochastic(together(targets.tolist(), mask.tolist()), 0.01))
    value = LabelCorrelationLoss("batch")(torch.zeros(30, 5), targets, mask, label_affinity=counts.log())
    assert value.item() == pytest.approx(0, abs=1e-6)


def test_a_label_that_never_occurs_has_a_uniform_row() -> None:
    uniform = torch.full((3, 3), 1 / 3).log()
    assert LabelCorrelationLoss("batch")(
        torch.zeros(4, 3), torch.zeros(4, 3), label_affinity=uniform
    ).item() == pytest.approx(0, abs=1e-6)


def test_the_running_average_by_a_loop(log_affinity: Tensor) -> None:
    loss = LabelCorrelationLoss("running", momentum=0.8)
    average, seen = [[0.0] * CLASSES for _ in range(CLASSES)], 0.0
    for seed in range(4):
        logits, targets, mask = make_batch(rows=2, seed=seed)
        batch = together(targets.tolist(), mask.tolist())
        average = [[0.8 * x + 0.2 * y for x, y in zip(p, q)] for p, q in zip(average, batch)]
        seen = 0.8 * seen + 0.2
        known = stochastic([[x / seen for x in row] for row in average], 0.01)
        value = loss(logits, targets, mask, label_affinity=log_affinity).item()
        assert value == pytest.approx(divergence(log_affinity.exp().tolist(), known), rel=1e-5)
    state = {name: tensor.clone() for name, tensor in loss.state_dict().items()}
    loss(logits, targets, mask & False)
    loss.eval()(*make_batch(seed=11))
    assert all(torch.equal(tensor, state[name]) for name, tensor in loss.state_dict().items())


def test_samples_count_by_confidence() -> None:
    # the confidence is a weight and has no gradient of its own, so that the gradient is not that of the value
    loss = LabelCorrelationLoss("batch", confidence=True)
    for seed in range(3):
        batch = make_batch(masked=True, seed=seed)
        logits, targets, mask = (part.tolist() for part in batch)
        expected = correlation(logits, targets, mask, weights=confidence(logits, mask))
        assert loss(*batch).item() == pytest.approx(expected, rel=1e-6)
        assert expected != pytest.approx(correlation(logits, targets, mask), rel=1e-3)


def test_a_running_average_of_one_batch_is_that_batch(log_affinity: Tensor) -> None:
    batch = make_batch()
    running, alone = LabelCorrelationLoss("running"), LabelCorrelationLoss("batch")
    assert running(*batch, label_affinity=log_affinity).item() == pytest.approx(
        alone(*batch, label_affinity=log_affinity).item(), rel=1e-5
    )


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one of \('batch', 'running', 'dataset'\), found 'epoch'"):
        LabelCorrelationLoss("epoch")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="smoothing must be positive"):
        LabelCorrelationLoss(smoothing=0)
    with pytest.raises(ValueError, match="counted before there is any confidence"):
        LabelCorrelationLoss("dataset", confidence=True)
    with pytest.raises(ValueError, match=r"label_affinity has shape \(3, 3\) for 5 classes"):
        LabelCorrelationLoss()(*make_batch(), label_affinity=torch.zeros(3, 3))
