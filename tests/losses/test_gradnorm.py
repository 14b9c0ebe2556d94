"""GradNorm against the algorithm of its paper, with second derivatives and loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mlemo.losses import GradNorm

RATE = 0.1


def terms_of(logits: Tensor, affinity: Tensor, targets: Tensor) -> list[Tensor]:
    """Three positive terms: two of the logits, one of another tensor alone."""
    errors = logits.sigmoid() - targets
    return [errors.square().mean(), 0.1 * errors.abs().mean() + errors.square().sum(), affinity.exp().sum()]


def by_the_paper(alpha: float, batches: list[tuple[Tensor, Tensor]], affinity: Tensor) -> list[list[float]]:
    """Multipliers in every step: Algorithm 1 with the gradient of L_grad by automatic differentiation, and SGD."""
    w = torch.ones(3, requires_grad=True)
    initial: list[float] = []
    history = []
    for logits, targets in batches:
        history.append(w.tolist())
        shared = (logits.clone().requires_grad_(), affinity.clone().requires_grad_())
        losses = terms_of(*shared, targets)
        initial = initial or [loss.item() for loss in losses]
        sizes = []
        for weight, loss in zip(w, losses):
            parts = torch.autograd.grad(weight * loss, shared, create_graph=True, allow_unused=True)
            sizes.append(torch.cat([part.flatten() for part in parts if part is not None]).norm())
        mean = sum(size.item() for size in sizes) / 3
        ratios = [loss.item() / first for loss, first in zip(losses, initial)]
        objective = torch.zeros(())
        for size, ratio in zip(sizes, ratios):
            objective = objective + (size - mean * (3 * ratio / sum(ratios)) ** alpha).abs()
        (gradient,) = torch.autograd.grad(objective, w)
        moved = [max(weight - RATE * slope, 1e-3) for weight, slope in zip(w.tolist(), gradient.tolist())]
        w = torch.tensor([3 * weight / sum(moved) for weight in moved], requires_grad=True)
    return history


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.5])
def test_the_weights_are_those_of_the_papers_algorithm(alpha: float) -> None:
    generator = torch.Generator().manual_seed(3)
    affinity = torch.randn(3, 3, generator=generator)
    batches = [
        (torch.randn(4, 3, generator=generator), torch.rand(4, 3, generator=generator).round()) for _ in range(12)
    ]
    controller = GradNorm(alpha)
    controller.bind([1.0, 0.5, 0.2])
    optimizer = torch.optim.SGD(controller.weight_parameters(), lr=RATE)
    for (logits, targets), expected in zip(batches, by_the_paper(alpha, batches, affinity)):
        x, context = logits.clone().requires_grad_(), affinity.clone().requires_grad_()
        optimizer.zero_grad()
        total = controller(terms_of(x, context, targets), x, targets, label_affinity=context, index=torch.arange(4))
        multipliers = controller.weights() / torch.tensor([1.0, 0.5, 0.2])
        assert multipliers.tolist() == pytest.approx(expected, rel=1e-4)
        values = [term.item() for term in terms_of(x, context, targets)]
        assert total.item() == pytest.approx(sum(w * v for w, v in zip(controller.weights().tolist(), values)))
        total.backward()
        optimizer.step()
    assert max(abs(multiplier - 1) for multiplier in multipliers.tolist()) > 0.1, "the weights hardly moved"


def test_the_term_that_trains_slowly_gains_weight() -> None:
    """Three terms with gradients of the same size; the first halves every ten steps, the last stays where it is."""
    controller = GradNorm()
    controller.bind([1.0, 1.0, 1.0])
    optimizer = torch.optim.SGD(controller.weight_parameters(), lr=0.01)
    logits = torch.zeros(1, 3, requires_grad=True)
    for step in range(40):
        values = (0.5 ** (step / 10), 0.5 ** (step / 20), 1.0)
        terms = [value + logits[0, i] - logits[0, i].detach() for i, value in enumerate(values)]
        optimizer.zero_grad()
        controller(terms, logits, torch.zeros(1, 3)).backward()
        optimizer.step()
    fast, middle, slow = controller.weights().tolist()
    assert fast < middle < slow
    assert fast < 0.8
    assert slow > 1.2


def test_a_term_without_value_or_gradient_is_no_reason_to_move() -> None:
    """Such as a ranking of labels in a batch without positive labels: nothing is divided by 0."""
    controller = GradNorm()
    controller.bind([1.0, 1.0])
    logits = torch.zeros(1, 2, requires_grad=True)
    zero = torch.zeros(())
    controller([zero, zero], logits, torch.zeros(1, 2))
    controller([logits.sum() * 0, logits.sum() * 0], logits, torch.zeros(1, 2)).backward()
    assert controller.raw.grad is not None
    assert controller.raw.grad.tolist() == [0, 0]
    assert controller.initial.tolist() == [0, 0]
    controller([zero, (logits + 2).sum()], logits, torch.zeros(1, 2))
    assert controller.initial.tolist() == [0, 4]
