import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from mlemo.samplers import RankBatchSampler


def expected(losses: np.ndarray, pressure: float) -> np.ndarray:
    """Eq. 3 in float64."""
    n = len(losses)
    chance = np.exp(np.log(pressure) / n) ** rankdata(losses)
    return chance / chance.sum()


@pytest.mark.parametrize("values", [None, 7])
def test_ranks_stay_exact_while_losses_change(values: int | None) -> None:
    # with few values many losses are equal; small batches are moved, large ones are sorted anew
    generator = np.random.default_rng(0)
    n = 300
    sampler = RankBatchSampler(n, 8, 16.0)
    losses = np.full(n, np.inf)
    for size in [0, 5, 20, 1, 200, 300, *[10] * 40, 300, 3]:
        rows = generator.choice(n, size, replace=False)
        new = generator.random(size).astype(np.float32) if values is None else generator.integers(values, size=size)
        losses[rows] = new
        sampler.update(rows.tolist(), new.tolist())
        np.testing.assert_allclose(sampler.probabilities(), expected(losses, 16.0), rtol=1e-12)


def test_extremes_differ_by_the_pressure_but_for_one_rank() -> None:
    sampler = RankBatchSampler(500, 8, 8.0)
    sampler.update(range(500), torch.rand(500, generator=torch.Generator().manual_seed(0)))
    probabilities = sampler.probabilities()
    assert float(probabilities.max() / probabilities.min()) == pytest.approx(8.0 ** (499 / 500))


def test_only_the_order_of_the_losses_counts() -> None:
    losses = torch.rand(50, generator=torch.Generator().manual_seed(0))
    first, second = RankBatchSampler(50, 8), RankBatchSampler(50, 8)
    first.update(range(50), losses)
    second.update(range(50), losses.exp() * 100)
    assert torch.equal(first.probabilities(), second.probabilities())
