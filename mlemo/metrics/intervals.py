"""How sure a figure is: percentile bootstrap over the samples, and over the runs where there are several.

A resample draws N of the N samples with replacement (Efron 1979; Hurtado et al., section 5); the interval lies between
the quantiles (1 − confidence)/2 and (1 + confidence)/2 of the metric over the resamples. Where several runs of one
system (seeds) are given, each resample also draws that many runs with replacement and averages over them, so that the
interval holds both the chance of the samples and that of the seeds; S runs show (S − 1)/S of the variance of seeds.

Samples without an annotated label are left out. A resample where the metric is not defined (NaN) does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from mlemo.metrics.weighted import (
    DECISION_METRICS,
    PROBABILITY_METRICS,
    Array,
    Evaluate,
    MetricLike,
    WeightedMetrics,
    evaluator,
)
from mlemo.thresholds.base import check_targets

__all__ = ["bootstrap_interval", "bootstrap_intervals", "bootstrap_values", "mean_over_runs", "percentile_interval"]

#: Entries that one block of resamples gathers: some 16 MB, which stay in the cache, or nearly.
BLOCK = 2**22


def bootstrap_interval(
    metric: MetricLike,
    decisions_or_probabilities: Tensor,
    targets: Tensor,
    mask: Tensor | None = None,
    *,
    resamples: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Percentile bootstrap interval of a metric.

    Args:
        metric: A name of :mod:`mlemo.metrics.collection`, or a function ``(outputs, targets) -> number`` that is given
            the mask as a third argument where there is one. A function is called once a resample, on the drawn rows: it
            is as slow as that.
        decisions_or_probabilities: ``(N, C)``, or ``(S, N, C)`` for S runs of one system. A metric of probabilities
            (average precision, AUROC, ranking loss …) takes floats in [0, 1], any other decisions, 0 or 1 in any dtype.
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, ``False`` = not annotated; ``None`` = all annotated.
        resamples: Number of resamples.
        confidence: Share of the resamples inside the interval.
        seed: Seed of the draws. The same seed gives the same resamples of the same number of samples, whatever the
            metric and the outputs.

    Returns:
        ``(low, value, high)``; ``value`` is that of the samples themselves, the mean over the runs.

    Raises:
        ValueError: An unknown metric, outputs of the wrong kind, wrong shapes, dtypes or values, no annotated entry, or
            settings out of range.

    Example:
        >>> import torch
        >>> targets = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]])
        >>> low, value, high = bootstrap_interval("micro_f1", targets.flip(0), targets, resamples=100)
        >>> low <= value <= high, value
        (True, 0.5)
    """
    runs, targets, mask = annotated_samples(decisions_or_probabilities, targets, mask)
    values = [bootstrap_values(evaluator(metric, run, targets, mask), targets.shape, resamples, seed) for run in runs]
    return percentile_interval(mean_over_runs(np.concatenate(values), np.random.default_rng([seed, 1])), confidence)


def bootstrap_intervals(
    probabilities: Tensor,
    targets: Tensor,
    decisions: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    metrics: Sequence[str] = DECISION_METRICS + PROBABILITY_METRICS,
    resamples: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:
    """Percentile bootstrap intervals of metrics of the collection, from the same resamples.

    Args:
        probabilities: ``(N, C)`` float in [0, 1].
        targets: ``(N, C)``, 0 or 1.
        decisions: ``(N, C)``, 0 or 1; ``probabilities >= 0.5`` if left out.
        mask: ``(N, C)`` bool, ``False`` = not annotated; ``None`` = all annotated.
        metrics: Names of :class:`~mlemo.metrics.MultiLabelMetrics`; all of them if left out.
        resamples: Number of resamples.
        confidence: Share of the resamples inside the interval.
        seed: Seed of the draws.

    Returns:
        ``(low, value, high)`` by the names of ``metrics``.

    Raises:
        ValueError: Unknown metrics, wrong shapes, dtypes or values, no annotated entry, or settings out of range.

    Example:
        >>> import torch
        >>> intervals = bootstrap_intervals(torch.tensor([[0.9, 0.2], [0.6, 0.7]]), torch.tensor([[1, 0], [0, 1]]))
        >>> intervals["jaccard"]
        (0.5, 0.75, 1.0)
    """
    if decisions is None:
        decisions = probabilities >= 0.5
    (decisions,), some, some_mask = annotated_samples(decisions, targets, mask)
    (scores,), _, _ = annotated_samples(probabilities, targets, mask)
    ranked = scores if set(metrics).intersection(PROBABILITY_METRICS) else None  # sorting them is most of the work
    evaluate = WeightedMetrics(metrics, some, some_mask, decisions, ranked)
    values = bootstrap_values(evaluate, some.shape, resamples, seed)
    return {name: percentile_interval(row, confidence) for name, row in zip(metrics, values)}


def annotated_samples(outputs: Tensor, targets: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Outputs as ``(S, N, C)``, targets and mask of the samples that are annotated for some label.

    Raises:
        ValueError: Wrong shapes, or no annotated entry.
    """
    runs = outputs[None] if outputs.ndim == 2 else outputs
    if runs.ndim != 3 or not len(runs) or runs.shape[1:] != targets.shape:
        raise ValueError(
            f"outputs must be (N, C), or (S, N, C) for S runs, like the targets of shape {tuple(targets.shape)}, "
            f"found {tuple(outputs.shape)}"
        )
    _, annotated = check_targets(targets, mask, tuple(targets.shape))
    some = annotated.any(dim=1)
    if not some.any():
        raise ValueError(f"resampling needs at least one annotated entry, found none in {len(targets)} samples")
    return runs[:, some], targets[some], None if mask is None else mask[some]


def bootstrap_values(evaluate: Evaluate, shape: Sequence[int], resamples: int, seed: int) -> Array:
    """Metrics of the samples themselves, then of each resample.

    Args:
        evaluate: Counts ``(R, N)`` to the values ``(K, R)`` of K metrics, such as
            :class:`~mlemo.metrics.weighted.WeightedMetrics`.
        shape: N and C; only the size of the blocks depends on C.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Returns:
        ``(K, 1 + resamples)`` float64.

    Raises:
        ValueError: ``resamples`` is below 1.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, found {resamples}")
    samples, labels = shape
    values = [evaluate(np.ones((1, samples), dtype=np.int32))]
    generator = np.random.default_rng(seed)
    for size in blocks(resamples, samples * labels):
        values.append(evaluate(_counts(generator.integers(0, samples, (size, samples)), samples)))
    return np.concatenate(values, axis=1)


def blocks(resamples: int, entries: int) -> Iterator[int]:
    """Sizes of the blocks in which resamples of that many entries are computed."""
    size = max(1, BLOCK // entries)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def mean_over_runs(values: Array, generator: np.random.Generator) -> Array:
    """Mean over the runs, which each resample draws with replacement: the second level of the bootstrap.

    Args:
        values: ``(S, 1 + R)``: a row a run, as from :func:`bootstrap_values`.
        generator: Draws the runs; each system that is compared has one of its own.

    Returns:
        ``(1 + R,)``; the first is the mean over all runs.
    """
    runs, columns = values.shape
    drawn = generator.integers(0, runs, (runs, columns))
    drawn[:, 0] = np.arange(runs)
    mean: Array = np.take_along_axis(values, drawn, axis=0).mean(axis=0)
    return mean


def percentile_interval(values: Array, confidence: float) -> tuple[float, float, float]:
    """The interval of values ``(1 + R,)``: that of the samples themselves, then that of each resample.

    Returns:
        ``(low, value, high)``; all NaN where the metric is not defined for the samples.

    Raises:
        ValueError: ``confidence`` is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, found {confidence}")
    value, resampled = float(values[0]), values[1:][~np.isnan(values[1:])]
    if np.isnan(value) or not len(resampled):
        return np.nan, value, np.nan
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), value, float(high)


def _counts(drawn: Array, samples: int) -> Array:
    """How often each sample was drawn: ``(R, N)`` int32, from the drawn rows ``(R, N)``."""
    drawn += np.arange(len(drawn))[:, None] * samples
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.int32)
