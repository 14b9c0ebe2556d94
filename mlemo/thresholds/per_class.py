"""A decision rule with one threshold per label, tuned on validation data."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from mlemo.thresholds.base import PerClassRule
from mlemo.thresholds.search import (
    TIE,
    Ranking,
    best_global_threshold,
    best_place,
    candidate_thresholds,
    f1,
    jaccard,
    places_of,
    rank,
)

__all__ = ["PerClassThreshold"]

Metric = Literal["f1", "micro_f1", "jaccard"]
Method = Literal["exact", "grid"]
TABLE = 2**21  # entries of the tables of one search
DEFAULT_GRID = [step / 100 for step in range(1, 100)]


class PerClassThreshold(PerClassRule):
    """One threshold per label; together they maximize a metric on the data of the fit.

    ŷ_ic = 1 where p_ic ≥ τ*_c (GTHL-Emo, eq. 21). With ``method="exact"`` every distinct score of a label is a
    candidate and the threshold lies midway between two neighboring scores. The objectives:

    - ``"f1"``: τ*_c = argmax_τ F1_c(τ), label by label, which maximizes macro-F1.
    - ``"micro_f1"``: the best of all combinations, by Dinkelbach's method: maximize Σ_c (2 TP_c − λ PP_c), again
      label by label, and set λ to the micro-F1 reached, until λ is constant (PP: predicted positives).
    - ``"jaccard"`` (mean over samples): coordinate ascent, one label after another, once from the thresholds for F1 and
      once from the best single threshold; the better result. A local optimum, never worse than either start.

    Where the data does not determine the threshold:

    - Equally good thresholds: the one nearest to 0.5.
    - A label without positives: nothing is predicted on the data of the fit. Its threshold is midway between its
      highest score and 1, hence never below 0.5 on new data (with a grid: the grid's value above that score which is
      nearest to 0.5, if any). All its thresholds give an F1 of 0, but any prediction would lower the other metrics.
    - Constant scores: the threshold is half the score (all predicted) or midway to 1 (none predicted).
    - A label without annotated entries: 0.5 (with a grid: its value nearest to 0.5).

    Few validation rows overfit: in a simulation with 11 labels the tuned macro-F1 was optimistic by 0.06 on 116 rows
    and by 0.02 on 886. Two remedies, ``shrinkage`` and ``cross_fit``, give up the optimum on the data of the fit.

    Args:
        metric: ``"f1"``, ``"micro_f1"`` or ``"jaccard"``.
        method: ``"exact"``, or ``"grid"`` to choose among the values of ``grid`` only, as is often done.
        shrinkage: Within [0, 1]: each threshold moves by this share of the distance to the one threshold for the same
            objective (macro-F1 for ``"f1"``), which is fitted on all rows.
        cross_fit: Number of folds (at most the number of rows), or 0 for none. The thresholds are the mean of those
            fitted on all folds but one; row i is in fold i mod k, so a fit is repeatable and does not depend on files
            being sorted by label. A fold without positives of a label in the other folds contributes a threshold that
            predicts nothing, as above.
        grid: Values within [0, 1] for ``method="grid"``; 0.01, 0.02, …, 0.99 if left out.

    Raises:
        ValueError: A setting is unknown or out of range, or a grid is given without ``method="grid"``.

    Example:
        >>> scores = torch.tensor([[0.75, 0.125], [0.5, 0.25], [0.25, 0.5]])
        >>> PerClassThreshold().fit(scores, torch.tensor([[1, 0], [0, 1], [0, 1]])).thresholds()
        tensor([0.6250, 0.1875])
    """

    def __init__(
        self,
        metric: Metric = "f1",
        method: Method = "exact",
        shrinkage: float = 0.0,
        cross_fit: int = 0,
        grid: list[float] | None = None,
    ) -> None:
        if metric not in get_args(Metric):
            raise ValueError(f"metric must be one of {get_args(Metric)}, found {metric!r}")
        if method not in get_args(Method):
            raise ValueError(f"method must be one of {get_args(Method)}, found {method!r}")
        if not 0 <= shrinkage <= 1:
            raise ValueError(f"shrinkage must lie in [0, 1], found {shrinkage}")
        if cross_fit < 0 or cross_fit == 1:
            raise ValueError(f"cross_fit must be 0 (none) or at least 2 folds, found {cross_fit}")
        if grid is not None and (method != "grid" or not grid or not all(0 <= value <= 1 for value in grid)):
            raise ValueError(f"grid must hold values in [0, 1] and needs method='grid', found {grid} with {method!r}")
        self.metric = metric
        self.method = method
        self.shrinkage = shrinkage
        self.cross_fit = self.folds = cross_fit
        self.grid = grid

    def _fit_thresholds(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        rows = len(probabilities)
        folds = min(self.cross_fit, rows)
        if folds > 1:
            fold = torch.arange(rows) % folds
            parts = [fold != left_out for left_out in range(folds)]
            fits = [self._search(probabilities[part], targets[part], mask[part]) for part in parts]
            thresholds = torch.stack(fits).double().mean(dim=0)
        else:
            thresholds = self._search(probabilities, targets, mask)
        if self.shrinkage:
            single = best_global_threshold(
                probabilities, targets, mask, "macro_f1" if self.metric == "f1" else self.metric
            )
            thresholds = torch.lerp(thresholds, torch.full_like(thresholds, single), self.shrinkage)
        return thresholds

    def _search(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        if self.metric != "f1":
            return self._search_together(probabilities, targets, mask)
        # labels are searched independently: as many at a time as fit in a table of some 100 MB
        labels = max(1, TABLE // len(probabilities))
        parts = zip(*(tensor.split(labels, dim=1) for tensor in (probabilities, targets, mask)))
        return torch.cat([self._search_together(*part) for part in parts])

    def _search_together(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        grid = (self.grid or DEFAULT_GRID) if self.method == "grid" else None
        ranking = rank(probabilities.T.contiguous(), targets.T.contiguous(), mask.T.contiguous())
        thresholds = candidate_thresholds(ranking.scores, grid)
        # 0/0 is 1 here, so that a label without positives is not predicted.
        places = best_place(f1(ranking.hits, ranking.predicted, ranking.positives, empty=1.0), thresholds)
        if self.metric == "micro_f1":
            places = _maximize_micro_f1(ranking, thresholds, places)
        elif self.metric == "jaccard":
            single = places_of(
                ranking.scores,
                torch.full((len(thresholds), 1), best_global_threshold(probabilities, targets, mask, "jaccard", grid)),
            )[:, 0]
            # Not predicting a label without positives may not change the index, and the ascent would not choose it.
            starts = [places, torch.where(ranking.positives[:, 0] > 0, single, torch.minimum(single, places))]
            ends = [_ascend_jaccard(ranking, thresholds, start, targets.T) for start in starts]
            places = max(ends, key=lambda end: end[0])[1]
        return thresholds.gather(1, places[:, None])[:, 0]

    def describe(self) -> str:
        """Describe the rule in one line, for tables of results."""
        details: list[str] = [self.method]
        if self.shrinkage:
            details.append(f"shrinkage {self.shrinkage:g}")
        if self.cross_fit:
            details.append(f"{self.cross_fit} folds")
        return f"a threshold per class for {self.metric} ({', '.join(details)})"


def _maximize_micro_f1(ranking: Ranking, thresholds: Tensor, places: Tensor) -> Tensor:
    """Find the places, one per label, with the highest micro-F1 of all combinations (Dinkelbach 1967), from a start."""
    positives = ranking.positives.sum()

    def value(places: Tensor) -> Tensor:
        return f1(ranking.hits.gather(1, places[:, None]).sum(), places.sum(), positives, empty=1.0)

    rate = value(places)
    while True:
        gain = (2 * ranking.hits - rate * ranking.predicted) / positives.clamp(min=1)
        places = best_place(gain, thresholds)
        reached = value(places)
        if reached <= rate + TIE:
            return places
        rate = reached


def _ascend_jaccard(ranking: Ranking, thresholds: Tensor, places: Tensor, targets: Tensor) -> tuple[float, Tensor]:
    """Maximize the mean Jaccard index of the samples by coordinate ascent; return the value and places reached.

    With all labels but c fixed, sample i has the index J_i(0) without and J_i(1) with label c. The cumulative sums of
    the changes J_i(1) − J_i(0) along label c's descending scores give the mean at each place of label c.

    Args:
        ranking: Of the ``C`` labels over the ``N`` samples.
        thresholds: ``(C, N + 1)``, NaN where a place cannot be chosen.
        places: ``(C,)`` long, the starting point.
        targets: ``(C, N)`` bool, ``False`` where not annotated.
    """
    labels, rows = targets.shape
    ranks = torch.arange(rows)
    truth, places = targets.double(), places.clone()
    on = torch.zeros(labels, rows, dtype=torch.float64)
    on.scatter_(1, ranking.order, (ranks < places[:, None]).double())
    hits, predicted, positives = (on * truth).sum(0), on.sum(0), truth.sum(0)
    zero = torch.zeros(1, dtype=torch.float64)
    improved = True
    while improved:
        improved = False
        for label in range(labels):
            hits -= on[label] * truth[label]
            predicted -= on[label]
            change = jaccard(hits + truth[label], predicted + 1, positives) - jaccard(hits, predicted, positives)
            order = ranking.order[label]
            values = torch.cat([zero, change[order].cumsum(0)]) / rows
            place = best_place(values[None], thresholds[label, None])[0]
            if values[place] > values[places[label]] + TIE:
                places[label] = place
                on[label, order] = (ranks < place).double()
                improved = True
            hits += on[label] * truth[label]
            predicted += on[label]
    return jaccard(hits, predicted, positives).mean().item(), places
