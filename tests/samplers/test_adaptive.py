import math

import pytest
import torch

from mlemo.samplers import AdaptiveBatchSampler


def probabilities(losses: list[float], pressure: float, weights: list[float] | None = None) -> list[float]:
    """Eq. 5-7, one sample at a time."""
    weighted = [loss * weight for loss, weight in zip(losses, weights or [1.0] * len(losses))]
    n, step = len(weighted), max(weighted) / len(weighted)
    chances = [math.exp(math.log(pressure) / n) ** math.ceil(loss / step) for loss in weighted]
    return [chance / sum(chances) for chance in chances]


@pytest.mark.parametrize("pressure", [2.0, 64.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_formulas(pressure: float, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    losses = torch.rand(80, generator=generator) ** 3
    weights = 1 + torch.rand(80, generator=generator) if weighted else None
    sampler = AdaptiveBatchSampler(80, 8, pressure, weights)
    sampler.update(range(80), losses)
    expected = probabilities(losses.tolist(), pressure, None if weights is None else weights.tolist())
    torch.testing.assert_close(sampler.probabilities(), torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(sampler.losses, losses), "the weights do not change the losses"


def test_only_a_loss_of_zero_has_step_zero() -> None:
    sampler = AdaptiveBatchSampler(4, 2, 16.0)
    sampler.update(range(4), [0.0, 1e-9, 0.25, 1.0])  # Q = 0, 1, 1, 4
    p = sampler.probabilities()
    torch.testing.assert_close(p / p[0], torch.tensor([1.0, 2.0, 2.0, 16.0], dtype=torch.float64))


def test_borders_of_the_steps_belong_to_the_step_below() -> None:
    sampler = AdaptiveBatchSampler(10, 2, 2.0**10)
    sampler.update(range(10), [0.1 * step for step in range(1, 11)])  # 0.3 / 0.1 is not 3 in binary fractions
    p = sampler.probabilities()
    torch.testing.assert_close((p / p[0]).log2(), torch.arange(10, dtype=torch.float64))


@pytest.mark.parametrize("n", [2, 7, 1000, 100_003])
def test_extremes_differ_by_exactly_the_pressure(n: int) -> None:
    sampler = AdaptiveBatchSampler(n, 2, 64.0)
    losses = torch.rand(n, generator=torch.Generator().manual_seed(n))
    losses[0] = 0
    sampler.update(range(n), losses)
    p = sampler.probabilities()
    assert float(p.max() / p.min()) == pytest.approx(64.0, rel=1e-12)
    assert int(p.argmin()) == 0
    assert p[losses.argmax()] == p.max()


def test_all_probabilities_follow_the_largest_loss() -> None:
    sampler = AdaptiveBatchSampler(10, 2, 16.0)
    sampler.update(range(10), [0.5] * 10)
    sampler.update([3], [1.0])  # the step doubles for all
    p = sampler.probabilities()
    torch.testing.assert_close(p[3] / p[0], torch.tensor(4.0, dtype=torch.float64))


@pytest.mark.parametrize("weights", [torch.ones(4), torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1.0, torch.nan, 1.0])])
def test_wrong_weights_are_refused(weights: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="expected 3 positive, finite weights"):
        AdaptiveBatchSampler(3, 2, weights=weights)
