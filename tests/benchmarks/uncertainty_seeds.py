"""How often two systems that are equal in the mean over seeds differ at p < .05, and what intervals of means hold.

python tests/benchmarks/uncertainty_seeds.py --repeats 400

A table by the number of seeds and the ratio of their spread to that of the test samples.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from torch import Tensor
from uncertainty_labels import print_table

from mlemo.metrics import bootstrap_interval, compare
from mlemo.metrics.pseudo_positives import Array
from mlemo.metrics.weighted import WeightedMetrics

#: Rows and labels of the simulated comparisons, and the share of each label.
ROWS, LABELS, SHARE = 300, 5, 0.3


def _system(easy: Array, targets: Array, runs: int, spread: float, generator: np.random.Generator) -> Tensor:
    """Decisions ``(S, N, C)`` of runs whose quality has this spread; rows are easy or hard for all systems alike."""
    own = 0.5 * generator.normal(size=targets.shape)
    quality = 1.2 * (1 + spread * generator.normal(size=(runs, 1, 1)))
    noise = 0.3 * generator.normal(size=(runs, *targets.shape))
    return torch.from_numpy(quality * (2 * targets - 1) + easy + own + noise > 0.3)


@cache
def _spread_of_quality(ratio: float) -> tuple[float, float]:
    """The spread of the runs' quality for a ratio of the seeds' spread to the samples', and the mean Jaccard index."""
    generator = np.random.default_rng(0)
    targets = generator.random((5000, LABELS)) < SHARE
    runs = _system(generator.normal(size=targets.shape), targets, 200, 0.05, generator)
    truth = torch.from_numpy(targets)
    each = (runs & truth).sum(2) / (runs | truth).sum(2).clamp(min=1)
    each[(~(runs | truth)).all(2)] = 1
    samples = float(each[0].std()) / np.sqrt(ROWS)
    return ratio * samples * 0.05 / float(each.mean(1).std()), float(each.mean())


def comparisons(
    runs: tuple[int, int], ratio: float, repeats: int, seed: int = 0
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Decisions of two systems that are equal in the mean over all seeds, and the targets of a test set."""
    generator, spread = np.random.default_rng([seed, *runs]), _spread_of_quality(ratio)[0]
    for _ in range(repeats):
        targets = generator.random((ROWS, LABELS)) < SHARE
        easy = generator.normal(size=targets.shape)
        first, second = (_system(easy, targets, count, spread, generator) for count in runs)
        yield first, second, torch.from_numpy(targets)


def null_p_values(
    runs: int | tuple[int, int], ratio: float, repeats: int, resamples: int = 500, seed: int = 0, former: bool = False
) -> Array:
    """P-values of mlemo's comparison of two systems that are equal in the mean over all seeds.

    Args:
        runs: Seeds of each system.
        ratio: Standard deviation over the seeds over that over the test samples, of one run's Jaccard index.
        repeats: Number of comparisons.
        resamples: Resamples of each.
        seed: Seed of the simulation.
        former: By the percentiles of a bootstrap that draws the seeds as well, as mlemo did before.
    """
    both = (runs, runs) if isinstance(runs, int) else runs
    found = []
    for number, (a, b, targets) in enumerate(comparisons(both, ratio, repeats, seed)):
        if former:
            found.append(_former_p(a, b, targets, resamples, np.random.default_rng(number)))
        else:
            found.append(compare("jaccard", a, b, targets, resamples=resamples, seed=number).p)
    return np.array(found)


def _former_p(a: Tensor, b: Tensor, targets: Tensor, resamples: int, generator: np.random.Generator) -> float:
    counts = generator.multinomial(ROWS, np.full(ROWS, 1 / ROWS), resamples).astype(np.int32)
    means = []
    for system in (a, b):
        values = np.stack([WeightedMetrics(["jaccard"], targets, None, run)(counts)[0] for run in system])
        drawn = generator.integers(0, len(values), values.shape)
        means.append(np.take_along_axis(values, drawn, axis=0).mean(0))
    differences = means[0] - means[1]
    beyond = min((differences <= 0).sum(), (differences >= 0).sum())
    return float(min(1, 2 * (beyond + 1) / (resamples + 1)))


def covered_means(runs: int, ratio: float, repeats: int, resamples: int = 500) -> float:
    """Share of the 95 % intervals of a mean over seeds that hold the mean over all seeds and rows."""
    true = _mean_of_all(ratio)
    found = [
        bootstrap_interval("jaccard", a, targets, resamples=resamples, seed=number)
        for number, (a, _, targets) in enumerate(comparisons((runs, 1), ratio, repeats))
    ]
    return float(np.mean([low <= true <= high for low, _, high in found]))


@cache
def _mean_of_all(ratio: float) -> float:
    values = []
    for a, _, targets in comparisons((1, 1), ratio, 4000, seed=1):
        union = (a[0] | targets).sum(1)
        values.append(float(torch.where(union > 0, (a[0] & targets).sum(1) / union.clamp(min=1), 1.0).mean()))
    return float(np.mean(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=500)
    options = parser.parse_args()
    cases = [(runs, ratio) for runs in ((1, 1), (2, 2), (3, 3), (5, 5), (2, 5), (1, 3)) for ratio in (0.0, 1.0, 2.0)]
    rows = (_row(runs, ratio, options.repeats, options.resamples) for runs, ratio in cases)
    print_table(["seeds", "seeds / samples", "p < .05, former", "p < .05", "mean in its interval"], rows)


def _row(runs: tuple[int, int], ratio: float, repeats: int, resamples: int) -> list[str]:
    shares = [np.mean(null_p_values(runs, ratio, repeats, resamples, former=way) <= 0.05) for way in (True, False)]
    held = f"{covered_means(runs[0], ratio, repeats, resamples):.3f}" if runs[0] == runs[1] else "–"
    return [f"{runs[0]} and {runs[1]}", f"{ratio:g}", *(f"{share:.3f}" for share in shares), held]


if __name__ == "__main__":
    main()
