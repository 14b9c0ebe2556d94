import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mlemo.losses import GTHLController


def controller(**settings: float) -> GTHLController:
    torch.manual_seed(0)
    module = GTHLController(**settings)
    module.bind([0.1, 0.2])
    return module


def perturbed(module: GTHLController, size: float = 1.0) -> GTHLController:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return module


def by_hand(module: GTHLController, statistics: Tensor) -> list[float]:
    """λ before smoothing, by loops."""
    first, _, second = module.network
    hidden = [
        math.tanh(sum(w * s for w, s in zip(row, statistics.tolist())) + bias)
        for row, bias in zip(first.weight.tolist(), first.bias.tolist())
    ]
    raw = [
        sum(w * h for w, h in zip(row, hidden)) + bias
        for row, bias in zip(second.weight.tolist(), second.bias.tolist())
    ]
    return [
        base * (module.low + (module.high - module.low) / (1 + math.exp(-x)))
        for base, x in zip(module.base.tolist(), raw)
    ]


def test_the_weights_by_a_loop() -> None:
    module = perturbed(controller(smoothing=0.8))
    smoothed = [0.1, 0.2]
    for statistics in torch.rand(5, 3):
        present = by_hand(module, statistics)
        smoothed = [0.8 * old + 0.2 * new for old, new in zip(smoothed, present)]
        assert module.next_weights(statistics).tolist() == pytest.approx(smoothed, rel=1e-5)
    assert module.weights().tolist() == pytest.approx(smoothed, rel=1e-5)


def test_the_weights_start_at_their_base_whatever_the_batch() -> None:
    module = controller()
    for statistics in torch.rand(4, 3):
        assert module.next_weights(statistics).tolist() == pytest.approx([0.1, 0.2])


def test_gradients_reach_the_network() -> None:
    module = perturbed(controller())
    (module.next_weights(torch.rand(3)) * torch.tensor([1.0, 2.0])).sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def descend(module: Any, steps: int, rate: float) -> list[list[float]]:
    """Lower Σ λ_i L_i over λ alone, for losses of 0.5 and 2 and batches that differ."""
    optimizer = torch.optim.Adam(module.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(1)
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        weights = module.next_weights(torch.rand(3, generator=generator))
        (weights * torch.tensor([0.5, 2.0])).sum().backward()
        optimizer.step()
        history.append(weights.tolist())
    return history


class Unbounded(nn.Module):
    """λ = base · exp(MLP(s)), smoothed alike: what the paper's text says, with nothing that holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = controller()
        self.smoothed = self.inner.base.clone()

    def next_weights(self, statistics: Tensor) -> Tensor:
        raw = self.inner.network(statistics)
        weights = 0.95 * self.smoothed + 0.05 * self.inner.base * (raw - 0.693).exp()
        self.smoothed = weights.detach()
        return weights


def test_the_bounds_hold_in_a_long_run_and_the_unbounded_form_decays_to_zero() -> None:
    history = descend(controller(), steps=600, rate=0.02)
    for base, values in zip((0.1, 0.2), zip(*history)):
        assert 0.5 * base <= min(values)
        assert max(values) <= 2 * base
        assert values[0] == pytest.approx(base)
        assert values[-1] < 0.55 * base, "the run is too short to show the trend towards the lower bound"
    free = descend(Unbounded(), steps=600, rate=0.02)
    assert max(free[-1]) < 1e-3
    assert free[-1][0] < free[300][0] < free[0][0]


def test_wild_outputs_stay_within_bounds() -> None:
    module = perturbed(controller(low=0.2, high=5.0, smoothing=0.5), size=100.0)
    values = torch.stack([module.next_weights(1000 * torch.randn(3)).detach() for _ in range(50)])
    assert values.isfinite().all()
    assert (values >= 0.2 * module.base * (1 - 1e-6)).all()
    assert (values <= 5.0 * module.base * (1 + 1e-6)).all()
    assert values.amax(0).gt(2 * module.base).all(), "the test shows nothing: the weights hardly move"


def test_mixed_precision_changes_nothing() -> None:
    statistics = torch.rand(3)
    expected = perturbed(controller()).next_weights(statistics)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(perturbed(controller()).next_weights(statistics), expected)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"0 ≤ low < 1 < high, found 1\.0 and 2\.0"):
        controller(low=1.0)
    with pytest.raises(ValueError, match=r"smoothing must lie in \[0, 1\), found 1\.0"):
        controller(smoothing=1.0)
