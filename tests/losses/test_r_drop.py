import math
from collections.abc import Callable
from itertools import chain
from typing import Any, ClassVar

import pytest
import torch

from mlemo.callbacks import LabelShuffle
from mlemo.losses import BinaryCrossEntropy, FocalLoss, RDropLoss, SoftMacroF1Loss, WeightedDifferenceLoss

from .tester import LossTester, Matrix, make_batch, sigmoid

Mask = list[list[bool]]


def cross_entropy(logits: Matrix, targets: Matrix, mask: Mask) -> float:
    entries = zip(*(chain.from_iterable(rows) for rows in (logits, targets, mask)))
    values = [-y * math.log(sigmoid(x)) - (1 - y) * math.log(sigmoid(-x)) for x, y, annotated in entries if annotated]
    return sum(values) / max(1, len(values))


def divergence(p: float, q: float) -> float:
    """KL(p ‖ q) of Bernoulli distributions."""
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


class TestRDropLoss(LossTester):
    """Without copies it is the loss of its passes."""

    losses: ClassVar = {"defaults": RDropLoss, "alpha 5": lambda: RDropLoss(BinaryCrossEntropy(), alpha=5.0)}
    single_class = RDropLoss

    def reference(self, loss: RDropLoss, logits: Matrix, targets: Matrix, mask: Mask) -> float:
        return cross_entropy(logits, targets, mask)


@pytest.mark.parametrize("seed", range(3))
def test_the_divergence_of_copies_by_loops(seed: int) -> None:
    _, targets, mask = make_batch(masked=True, seed=seed)
    logits = torch.cat([make_batch(seed=seed)[0], make_batch(seed=seed + 10)[0]])
    targets, mask, index = targets.repeat(2, 1), mask.repeat(2, 1), torch.arange(6).repeat(2)
    loss = RDropLoss(alpha=3.0)
    values = []
    for first, second, known in zip(logits[:6].tolist(), logits[6:].tolist(), mask.tolist()):
        for x, z, annotated in zip(first, second, known):
            p, q = sigmoid(x), sigmoid(z)
            if annotated:
                values.append((divergence(p, q) + divergence(q, p)) / 2)
    expected = cross_entropy(logits.tolist(), targets.tolist(), mask.tolist()) + 3 / 2 * sum(values) / len(values)
    assert loss(logits, targets, mask, index=index).item() == pytest.approx(expected)
    assert list(loss.last_components) == ["passes", "divergence"]
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, targets, mask, index=index), (logits,))


def test_rows_of_other_samples_do_not_have_to_agree() -> None:
    logits, targets, mask = make_batch(rows=4)
    plain = BinaryCrossEntropy()(logits, targets, mask).item()
    assert RDropLoss()(logits, targets, mask, index=torch.tensor([1, 2, 3, 4])).item() == pytest.approx(plain)
    assert RDropLoss()(logits, targets, mask, index=torch.tensor([1, 2, 3, 2])).item() > plain + 1e-3


def test_equal_passes_leave_the_loss_alone() -> None:
    logits, targets, mask = make_batch(masked=True)
    copies = [part.repeat(2, 1) for part in (logits, targets, mask)]
    for inner in (FocalLoss(), SoftMacroF1Loss()):
        loss = RDropLoss(inner, alpha=4.0)
        value = loss(*copies, index=torch.arange(6).repeat(2)).item()
        assert value == pytest.approx(inner(logits, targets, mask).item())


def test_the_loss_of_the_passes_is_bound_and_sees_the_training_labels() -> None:
    loss = RDropLoss(BinaryCrossEntropy("balanced"))
    loss.bind(1)
    loss.observe(torch.tensor([[1.0], [0.0], [0.0]]), torch.ones(3, 1, dtype=torch.bool))
    assert loss(torch.zeros(1, 1), torch.ones(1, 1)).item() == pytest.approx(2 * math.log(2))


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="alpha must not be negative, found -1"):
        RDropLoss(alpha=-1)


def test_both_passes_have_the_orders_that_were_drawn_for_the_loss(
    bert_wdl: Callable[..., Any], data: Callable[..., Any], trainer: Callable[..., Any]
) -> None:
    inner, orders = WeightedDifferenceLoss(permutation="sampled"), []
    inner.register_forward_pre_hook(lambda _, args, kwargs: orders.append(kwargs["label_order"]), with_kwargs=True)
    model = bert_wdl(loss=RDropLoss(inner))
    trainer(callbacks=LabelShuffle(k=2, level="loss"), limit_val_batches=0).fit(model, datamodule=data(batch_size=23))
    (order,) = orders
    assert order.shape == (2, 46, 5)
    assert order[:, :23].equal(order[:, 23:])
