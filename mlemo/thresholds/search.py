"""Exact search for thresholds: one sort and cumulative sums, every distinct score a candidate, O(N C log(N C)).

In a row of scores in descending order, place k means "the k highest are predicted". The functions below tabulate values
over the places k = 0..K of each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = [
    "Ranking",
    "best_global_threshold",
    "best_place",
    "candidate_thresholds",
    "f1",
    "highest",
    "jaccard",
    "places_of",
    "rank",
]

NOT_ANNOTATED = -1.0  # below every probability, so that such entries sort last and are never predicted
TIE = 1e-12  # values closer than this are equal: cumulative sums in float64 carry rounding of about 1e-14


@dataclass(frozen=True)
class Ranking:
    """``R`` rows of ``K`` scores in descending order, entries that are not annotated last.

    Attributes:
        scores: ``(R, K)`` float32; ``NOT_ANNOTATED`` where not annotated.
        order: ``(R, K)`` long, column of the unsorted row.
        hits: ``(R, K + 1)`` float64, number of positives among the k highest.
        predicted: ``(K + 1,)`` float64, the places k themselves; never used beyond the annotated entries.
        positives: ``(R, 1)`` float64.
    """

    scores: Tensor
    order: Tensor
    hits: Tensor
    predicted: Tensor
    positives: Tensor


def rank(scores: Tensor, targets: Tensor, mask: Tensor) -> Ranking:
    """Sort each row and count the positives along it.

    Args:
        scores: ``(R, K)`` float32 in [0, 1].
        targets: ``(R, K)`` bool, ``False`` where not annotated.
        mask: ``(R, K)`` bool, ``False`` = not annotated.
    """
    ordered, order = scores.masked_fill(~mask, NOT_ANNOTATED).sort(dim=1, descending=True)
    zero = torch.zeros(len(scores), 1, dtype=torch.float64)
    hits = torch.cat([zero, targets.gather(1, order).cumsum(1, dtype=torch.float64)], dim=1)
    predicted = torch.arange(scores.shape[1] + 1, dtype=torch.float64)
    return Ranking(ordered, order, hits, predicted, hits[:, -1:])


def candidate_thresholds(scores: Tensor, grid: Sequence[float] | None = None) -> Tensor:
    """Compute the threshold of each place; NaN for unreachable places (within a tie, among entries not annotated).

    A threshold lies midway between the lowest predicted score and the highest one not predicted; above all scores
    midway to 1 (just above 1 where the highest score is 1), below all scores midway to 0. So no decision on the data of
    the fit depends on the last bit of a score, and without any score the threshold is 0.5. With a grid, the thresholds
    are the grid's values; of several that give the same decisions the one nearest to 0.5.

    Args:
        scores: ``(R, K)`` float32, each row descending, as in :class:`Ranking`.
        grid: The values to choose from, or ``None`` for every distinct score.

    Returns:
        ``(R, K + 1)`` float32.

    Example:
        >>> candidate_thresholds(torch.tensor([[0.75, 0.25, 0.25]]))
        tensor([[0.8750, 0.5000,    nan, 0.1250]])
    """
    rows = len(scores)
    if grid is not None:
        values = torch.tensor(sorted(grid, key=lambda value: -abs(value - 0.5)), dtype=torch.float32)
        thresholds = torch.full((rows, scores.shape[1] + 1), torch.nan)
        places = places_of(scores, values.expand(rows, -1))
        for column, value in enumerate(values):  # in turn, so that the value nearest to 0.5 is written last
            thresholds[torch.arange(rows), places[:, column]] = value
        return thresholds
    above = torch.cat([torch.ones(rows, 1), scores], dim=1)
    below = torch.cat([scores, torch.full((rows, 1), NOT_ANNOTATED)], dim=1)
    # The middle of two neighboring floats rounds to one of them; it must not be the lower one.
    thresholds = torch.maximum((above + below.clamp(min=0)) / 2, torch.nextafter(below, torch.tensor(2.0)))
    reachable = above > below
    reachable[:, 0] = True
    return thresholds.masked_fill(~reachable, torch.nan)


def places_of(scores: Tensor, thresholds: Tensor) -> Tensor:
    """Count the scores of each descending row ``(R, K)`` that are at least as high as the thresholds ``(R, M)``."""
    return torch.searchsorted(-scores, -thresholds.contiguous(), right=True)


def best_place(values: Tensor, thresholds: Tensor) -> Tensor:
    """Find the place of the highest value in each row; among equals the one whose threshold is nearest to 0.5.

    Args:
        values: ``(R, K + 1)`` float64.
        thresholds: ``(R, K + 1)``, NaN where a place cannot be chosen.

    Returns:
        ``(R,)`` long.
    """
    values = values.masked_fill(thresholds.isnan(), -torch.inf)
    behind = values < values.amax(dim=1, keepdim=True) - TIE
    return (thresholds - 0.5).abs().masked_fill(behind | thresholds.isnan(), torch.inf).argmin(dim=1)


def highest(probabilities: Tensor, sizes: Tensor) -> Tensor:
    """Select the ``sizes`` (``(N,)`` long) highest probabilities per row, equal ones by label order: ``(N, C)`` bool.

    Example:
        >>> highest(torch.tensor([[0.25, 0.5, 0.25]]), torch.tensor([2]))
        tensor([[ True,  True, False]])
    """
    order = probabilities.argsort(dim=1, descending=True, stable=True)
    on = torch.arange(probabilities.shape[1], device=probabilities.device) < sizes[:, None]
    return torch.empty_like(on).scatter_(1, order, on)


def f1(hits: Tensor, predicted: Tensor, positives: Tensor, empty: float) -> Tensor:
    """2 hits / (predicted + positives), ``empty`` for 0/0."""
    total = predicted + positives
    return torch.where(total > 0, 2 * hits / total.clamp(min=1), empty)


def jaccard(hits: Tensor, predicted: Tensor, positives: Tensor) -> Tensor:
    """Hits / (predicted + positives − hits), 1 for 0/0."""
    union = predicted + positives - hits
    return torch.where(union > 0, hits / union.clamp(min=1), 1.0)


def best_global_threshold(
    probabilities: Tensor,
    targets: Tensor,
    mask: Tensor,
    metric: Literal["macro_f1", "micro_f1", "jaccard", "samples_f1"],
    grid: Sequence[float] | None = None,
) -> float:
    """Find the one threshold for all labels that maximizes a metric.

    Each metric is a mean over rows (classes for macro-F1, samples for Jaccard and samples-F1, everything in one row
    for micro-F1). Lowering the threshold past one score changes the value of one row only; the cumulative sum of these
    changes, pooled over all rows in the order of their scores, gives the metric at every distinct score at once.

    Args:
        probabilities: ``(N, C)`` float32 in [0, 1].
        targets: ``(N, C)`` bool, ``False`` where not annotated.
        mask: ``(N, C)`` bool.
        metric: The objective, named as in :class:`mlemo.metrics.MultiLabelMetrics`.
        grid: As in :func:`candidate_thresholds`.
    """
    if metric == "macro_f1":
        parts = [tensor.T.contiguous() for tensor in (probabilities, targets, mask)]
    elif metric == "micro_f1":
        parts = [tensor.reshape(1, -1) for tensor in (probabilities, targets, mask)]
    else:
        parts = [probabilities, targets, mask]
    ranking = rank(*parts)
    counts = (ranking.hits, ranking.predicted, ranking.positives)
    values = jaccard(*counts) if metric == "jaccard" else f1(*counts, empty=1.0 if metric == "samples_f1" else 0.0)
    annotated = ranking.scores != NOT_ANNOTATED
    scores, order = ranking.scores[annotated].sort(descending=True)
    changes = values.diff(dim=1)[annotated][order].cumsum(0) / len(values)
    thresholds = candidate_thresholds(scores[None], grid)
    return thresholds[0, best_place(torch.cat([torch.zeros(1, dtype=torch.float64), changes])[None], thresholds)].item()
