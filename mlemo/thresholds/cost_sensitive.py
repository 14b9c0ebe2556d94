"""A decision rule for given costs of the two kinds of error."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from mlemo.thresholds.base import PerClassRule
from mlemo.thresholds.search import best_place, candidate_thresholds, rank

__all__ = ["CostSensitive"]

Method = Literal["bayes", "empirical"]
Cost = float | list[float]


class CostSensitive(PerClassRule):
    """One threshold per label that minimizes the cost of false positives and false negatives.

    With the costs c_fp and c_fn of an error (correct decisions cost nothing), predicting label c costs (1 − p) c_fp in
    expectation and not predicting it p c_fn, so that the label is predicted where

        p ≥ τ = c_fp / (c_fp + c_fn)    (Elkan 2001, eq. 2).

    - ``"bayes"``: this threshold. It learns nothing, and is the best one where probabilities are calibrated: wrap the
      rule in :class:`Calibrated` unless they are. :meth:`predict` works without a fit.
    - ``"empirical"``: the threshold with the least cost c_fp FP + c_fn FN on the data of the fit, over every distinct
      score of the label. It needs no calibration, but many positives. The threshold lies midway between two
      neighboring scores; of several equally good ones the nearest to 0.5 is chosen, and a label without annotated
      entries has 0.5.

    Only the ratio of the costs matters. Equal costs give 0.5, the threshold for the fewest errors.

    Args:
        false_positive: Cost of a label that is predicted and absent, positive; one number, or one per label in order.
        false_negative: Cost of a label that is present and not predicted, likewise.
        method: ``"bayes"`` or ``"empirical"``.

    Raises:
        ValueError: A cost is not positive, the lists differ in length, an unknown method, or (in ``fit`` and
            ``predict``) costs of another number of labels.

    Example:
        >>> CostSensitive(false_negative=[1.0, 4.0]).predict(torch.tensor([[0.3, 0.3]]))
        tensor([[False,  True]])
    """

    def __init__(self, false_positive: Cost = 1.0, false_negative: Cost = 1.0, method: Method = "bayes") -> None:
        if method not in get_args(Method):
            raise ValueError(f"method must be one of {get_args(Method)}, found {method!r}")
        self.false_positive = false_positive
        self.false_negative = false_negative
        self.method = method
        self.learns = method == "empirical"
        costs = [torch.tensor(cost, dtype=torch.float64).reshape(-1) for cost in (false_positive, false_negative)]
        if not all(len(cost) and ((cost > 0) & cost.isfinite()).all() for cost in costs):
            raise ValueError(f"costs must be positive, found {false_positive} and {false_negative}")
        lengths = {len(cost) for cost in costs} - {1}
        if len(lengths) > 1:
            raise ValueError(f"costs must have the same number of labels, found {len(costs[0])} and {len(costs[1])}")
        self._optimum = costs[0] / (costs[0] + costs[1])

    def _optimum_of(self, labels: int) -> Tensor:
        """Return τ of each label, ``(C,)`` float64."""
        if len(self._optimum) not in (1, labels):
            raise ValueError(f"costs of {len(self._optimum)} labels were given, found {labels} columns")
        return self._optimum.expand(labels)

    def _fit_thresholds(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        optimum = self._optimum_of(probabilities.shape[1])
        if self.method == "bayes":
            return optimum
        ranking = rank(probabilities.T.contiguous(), targets.T.contiguous(), mask.T.contiguous())
        thresholds = candidate_thresholds(ranking.scores)
        # c_fp FP + c_fn FN over c_fp + c_fn, without the constant share of all positives
        cost = optimum[:, None] * ranking.predicted - ranking.hits
        return thresholds.gather(1, best_place(-cost / len(probabilities), thresholds)[:, None])[:, 0]

    def _predict(self, probabilities: Tensor) -> Tensor:
        if self._thresholds is None and self.method == "bayes":
            return probabilities >= self._optimum_of(probabilities.shape[1]).float().to(probabilities.device)
        return super()._predict(probabilities)

    def thresholds(self) -> Tensor:
        """Return the thresholds, ``(C,)`` float32; ``(1,)``, which broadcasts, for common costs before a fit.

        Raises:
            ValueError: An ``"empirical"`` rule is not fitted.
        """
        if self._thresholds is None and self.method == "bayes":
            return self._optimum.float()
        return super().thresholds()

    def describe(self) -> str:
        """Describe the rule in one line, for tables of results."""
        name = "Bayes threshold" if self.method == "bayes" else "a threshold per class"
        costs = f"{_listed(self.false_positive)} (false positive) and {_listed(self.false_negative)} (false negative)"
        return f"{name} for costs {costs}"


def _listed(cost: Cost) -> str:
    return f"{cost:g}" if isinstance(cost, int | float) else f"[{', '.join(f'{value:g}' for value in cost)}]"
