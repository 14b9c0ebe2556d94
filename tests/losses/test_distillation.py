"""Distillation against its formula in NumPy."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from mlemo.losses import BinaryCrossEntropy, DistillationLoss, FocalLoss, SoftMacroF1Loss
from mlemo.losses import WeightedDifferenceLoss as WDL

from .test_hybrid import cross_entropy as mean_cross_entropy
from .tester import CLASSES, ROWS, LossTester, Matrix, make_batch


class TestDistillationLossInEvaluation(LossTester):
    """Without a teacher, as in evaluation."""

    losses: ClassVar = {"default": lambda: DistillationLoss("nowhere").eval()}

    @staticmethod
    def single_class() -> DistillationLoss:
        return DistillationLoss("nowhere").eval()

    def reference(self, loss: DistillationLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        return mean_cross_entropy(logits, targets, mask)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def cross_entropy(q: np.ndarray, z: np.ndarray) -> np.ndarray:
    return -q * np.log(sigmoid(z)) - (1 - q) * np.log(1 - sigmoid(z))


def taught(**settings: object) -> tuple[DistillationLoss, torch.Tensor]:
    """A loss with the logits of a teacher for twice as many rows as a batch, and these logits."""
    loss = DistillationLoss("nowhere", **settings)  # type: ignore[arg-type]
    teacher = 3 * torch.randn(2 * ROWS, CLASSES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss.teach(teacher)
    return loss, teacher


INDEX = torch.tensor([7, 0, 3, 11, 2, 5])


@pytest.mark.parametrize(("weight", "temperature"), [(0.5, 1.0), (0.3, 2.5), (1.0, 4.0)])
@pytest.mark.parametrize("masked", [False, True])
def test_value(weight: float, temperature: float, masked: bool) -> None:
    loss, teacher = taught(weight=weight, temperature=temperature)
    logits, targets, mask = make_batch(masked=masked)
    z, y, v = logits.numpy(), targets.numpy(), teacher[INDEX].numpy()
    hard = cross_entropy(y, z)[mask.numpy()].mean()
    soft = cross_entropy(sigmoid(v / temperature), z / temperature).mean()  # over every entry, annotated or not
    expected = (1 - weight) * hard + weight * temperature**2 * soft
    assert float(loss(logits, targets, mask, index=INDEX)) == pytest.approx(expected)
    assert {name: float(value) for name, value in loss.last_components.items()} == pytest.approx(
        {"hard": hard, "soft": soft}
    )
    weighed = sum(
        loss.weights()[name] * value for name, value in loss.components(logits, targets, mask, index=INDEX).items()
    )
    assert float(weighed) == pytest.approx(expected)


def test_the_gradient_of_the_soft_term_is_the_difference_of_the_softened_probabilities() -> None:
    temperature = 2.5
    loss, teacher = taught(weight=1.0, temperature=temperature)
    logits, targets, mask = make_batch()
    logits.requires_grad_()
    loss(logits, targets, mask, index=INDEX).backward()
    z, v = logits.detach().numpy(), teacher[INDEX].numpy()
    expected = temperature * (sigmoid(z / temperature) - sigmoid(v / temperature)) / z.size
    np.testing.assert_allclose(logits.grad.numpy(), expected, atol=1e-12)  # type: ignore[union-attr]


def test_in_evaluation_it_is_the_loss_on_the_labels_and_needs_no_teacher() -> None:
    loss = DistillationLoss("nowhere", hard=FocalLoss(gamma=2.0)).eval()
    batch = make_batch(masked=True)
    assert loss(*batch, index=INDEX) == FocalLoss(gamma=2.0)(*batch)
    assert torch.equal(loss.per_sample(*batch, index=INDEX), FocalLoss(gamma=2.0).per_sample(*batch))
    assert loss.last_components.keys() == {"hard"}


def test_targets_that_are_not_annotated_have_no_effect() -> None:
    loss, _ = taught(weight=0.4)
    logits, targets, mask = make_batch(masked=True)
    value = loss(logits, targets.masked_fill(~mask, float("nan")), mask, index=INDEX)
    assert torch.equal(value, loss(logits, targets, mask, index=INDEX))
    assert value.isfinite()


def test_rows_without_labels_are_learned_from_the_teacher_alone() -> None:
    loss, teacher = taught(weight=0.4)
    logits, targets, mask = make_batch()
    soft = cross_entropy(sigmoid(teacher[INDEX].numpy()), logits.numpy()).mean()
    value = loss(logits, targets, torch.zeros_like(mask), index=INDEX)
    assert float(value) == pytest.approx(0.4 * soft)


def test_the_values_of_the_samples_have_the_loss_of_the_batch_as_their_mean() -> None:
    loss, _ = taught(weight=0.3, temperature=2.0)
    batch = make_batch()
    values = loss.per_sample(*batch, index=INDEX)
    assert values is not None
    assert float(values.mean()) == pytest.approx(float(loss(*batch, index=INDEX)))
    assert taught(hard=SoftMacroF1Loss())[0].per_sample(*batch, index=INDEX) is None


def test_the_loss_on_the_labels_is_told_of_classes_and_labels_and_keeps_its_own_parameters() -> None:
    hard = BinaryCrossEntropy("balanced")
    loss, _ = taught(hard=hard)
    loss.bind(CLASSES)
    _, targets, mask = make_batch()
    loss.observe(targets, mask)
    assert hard.class_weights is not None
    assert len(set(hard.class_weights.tolist())) > 1
    wdl = WDL(weighting="softmax")
    assert taught(hard=wdl)[0].weight_parameters() == wdl.weight_parameters() != []


def test_logits_of_the_teacher_are_in_no_checkpoint() -> None:
    loss, _ = taught()
    assert loss.state_dict() == {}
    assert list(loss.buffers()) == []


def test_low_precision_logits_are_computed_in_float32() -> None:
    loss, _ = taught()
    logits, targets, mask = make_batch()
    value = loss(logits.bfloat16(), targets, mask, index=INDEX)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(loss(logits.bfloat16().float(), targets, mask, index=INDEX)))


def test_wrong_settings_and_a_missing_teacher_are_refused() -> None:
    for weight in (0.0, -0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="weight must be above 0 and at most 1"):
            DistillationLoss("nowhere", weight=weight)
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="temperature must be positive"):
            DistillationLoss("nowhere", temperature=temperature)
    with pytest.raises(ValueError, match=r"logits of the teacher nowhere were not given"):
        DistillationLoss("nowhere")(*make_batch(), index=INDEX)
