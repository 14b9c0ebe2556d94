"""Confidence intervals of metrics from resampled test samples, pseudo-positives of rare labels and several runs.

A resample draws N of the N samples with replacement (Efron 1979; Hurtado et al., section 5) and adds pseudo-positives
to the means over labels (:mod:`mlemo.metrics.pseudo_positives`), without which the coverage of an interval of macro-F1
is too low where labels are rare. Several runs of one system (seeds) are scored on the same resamples, and their
variance is added (:mod:`mlemo.metrics.estimate`). ``docs/uncertainty.md`` reports the coverage in simulations.

Samples without an annotated label are left out. A resample where the metric is not defined (NaN) is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from mlemo.metrics.estimate import estimate
from mlemo.metrics.pseudo_positives import Array, draw_pseudo_positives
from mlemo.metrics.weighted import (
    DECISION_METRICS,
    PROBABILITY_METRICS,
    Evaluate,
    MetricLike,
    WeightedMetrics,
    evaluator,
)
from mlemo.thresholds.base import check_targets

__all__ = [
    "BUDGET",
    "FEWEST",
    "FEW_POSITIVES",
    "bootstrap_interval",
    "bootstrap_intervals",
    "bootstrap_values",
    "resamples_within_budget",
    "with_few_positives",
]

#: Number of positives below which the interval of a label's F1 spans half of [0, 1] (``docs/uncertainty.md``).
FEW_POSITIVES = 10
#: Largest number of entries R · N · C that the resamples at the end of a run visit. All metrics of 1e7 (C = 10,000) to
# 8e7 (C =
#: 28) of them take a second on one core.
BUDGET = 2**30
#: Number of resamples below which no interval is computed: its ends are the fifth of 200 values from either end.
FEWEST = 200
#: Number of entries gathered by one block of resamples: some 16 MB, which about fit in the cache.
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
    """Compute the interval of a metric by resampling, for one run or for the mean over several.

    Args:
        metric: A name of :mod:`mlemo.metrics.collection`, or a function ``(outputs, targets) -> number`` with the mask
        as a third argument, if any. A function is called once per resample, on the drawn rows, which is slow, and
        without pseudo-positives.
        decisions_or_probabilities: ``(N, C)``, or ``(S, N, C)`` for S runs of one system. Metrics of probabilities
        (average precision, AUROC, ranking loss …) need floats in [0, 1], the others decisions, 0 or 1 in any dtype.
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, ``False`` = not annotated; ``None`` = all annotated.
        resamples: Number of resamples.
        confidence: Confidence level of the interval.
        seed: Seed of the draws. With the same seed and number of samples the resamples are the same for all metrics and
            outputs.

    Returns:
        ``(low, value, high)``; ``value`` is that of the samples themselves, the mean over the runs. The interval of a
        single run includes the variance between samples only, not between seeds.

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
    return estimate(np.concatenate(values)).interval(confidence)


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
    """Compute the intervals of several metrics for one run, from the same resamples.

    Args:
        probabilities: ``(N, C)`` float in [0, 1].
        targets: ``(N, C)``, 0 or 1.
        decisions: ``(N, C)``, 0 or 1; ``probabilities >= 0.5`` if left out.
        mask: ``(N, C)`` bool, ``False`` = not annotated; ``None`` = all annotated.
        metrics: Names of :class:`~mlemo.metrics.MultiLabelMetrics`; all of them if left out.
        resamples: Number of resamples.
        confidence: Confidence level of the interval.
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
    ranked = scores if set(metrics).intersection(PROBABILITY_METRICS) else None  # sorting them takes most of the time
    evaluate = WeightedMetrics(metrics, some, some_mask, decisions, ranked)
    values = bootstrap_values(evaluate, some.shape, resamples, seed)
    return {name: estimate(row[None]).interval(confidence) for name, row in zip(metrics, values)}


def annotated_samples(outputs: Tensor, targets: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Select the samples with at least one annotated label; outputs are returned as ``(S, N, C)``.

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
    """Compute metrics on the samples themselves, then on each resample with its pseudo-positives.

    Args:
        evaluate: Function from counts ``(R, N)`` to the values ``(K, R)`` of K metrics, such as
            :class:`~mlemo.metrics.weighted.WeightedMetrics`.
        shape: N and C.
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
    generator, pseudo = np.random.default_rng(seed), draw_pseudo_positives(resamples, labels, seed)
    start = 0
    for size in blocks(resamples, samples * labels):
        counts = _counts(generator.integers(0, samples, (size, samples)), samples)
        values.append(evaluate(counts, pseudo[start : start + size]))
        start += size
    return np.concatenate(values, axis=1)


def resamples_within_budget(resamples: int, samples: int, labels: int) -> int:
    """Limit the number of resamples so that R · N · C is at most `BUDGET`.

    Args:
        resamples: Requested number.
        samples: N.
        labels: C.

    Returns:
        R; 0 where the budget does not allow `FEWEST` resamples, or the requested number if that is smaller.

    Example:
        >>> [resamples_within_budget(1000, 3000, labels) for labels in (28, 1000, 10_000)]
        [1000, 357, 0]
    """
    found = min(resamples, BUDGET // max(1, samples * labels))
    return found if found >= min(resamples, FEWEST) else 0


def blocks(resamples: int, entries: int) -> Iterator[int]:
    """Yield the sizes of the blocks in which resamples of that many entries are computed."""
    size = max(1, BLOCK // entries)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def with_few_positives(targets: Tensor, mask: Tensor | None, names: Sequence[str]) -> dict[str, int]:
    """Find labels with fewer than :data:`FEW_POSITIVES` positives, whose intervals depend on the pseudo-positives.

    Args:
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, ``False`` = not annotated; ``None`` = all annotated.
        names: The C labels.

    Returns:
        The number of positives by label name, in the order of ``names``; labels without annotations are left out.
    """
    truth, annotated = check_targets(targets, mask, tuple(targets.shape))
    found = zip(names, truth.sum(0).tolist(), annotated.any(0).tolist())
    return {name: count for name, count, known in found if known and count < FEW_POSITIVES}


def _counts(drawn: Array, samples: int) -> Array:
    """Count how often each sample was drawn: ``(R, N)`` int32, from the drawn rows ``(R, N)``."""
    drawn += np.arange(len(drawn))[:, None] * samples
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.int32)
