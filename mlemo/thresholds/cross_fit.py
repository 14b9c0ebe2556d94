"""Cross-fitted decisions for the rows that a rule is fitted on."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from mlemo.thresholds.base import ThresholdRule

__all__ = ["FOLDS", "cross_fitted_decisions"]

FOLDS = 5


def cross_fitted_decisions(
    rule: ThresholdRule, probabilities: Tensor, targets: Tensor, mask: Tensor | None = None, folds: int = FOLDS
) -> Tensor:
    """Decide on each fold with the rule fitted on all other folds.

    ``ŷ_i = rule(p_i; D without fold(i))`` with ``fold(i) = i mod k``, the folds of ``PerClassThreshold``. A score of
    these decisions estimates the score on new rows; a score on the rows that the rule is fitted on is optimistic. The
    rule itself is not changed.

    Args:
        rule: Any rule; one without fitted parameters decides as it would without folds.
        probabilities: ``(N, C)``, within [0, 1].
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, ``False`` = not annotated; ``None`` = all annotated.
        folds: Number of folds, at most the number of rows.

    Returns:
        ``(N, C)`` bool.

    Raises:
        ValueError: Fewer than two folds.

    Example:
        >>> from mlemo.thresholds import PerClassThreshold
        >>> scores = torch.tensor([[0.4], [0.3], [0.15], [0.1]])
        >>> cross_fitted_decisions(PerClassThreshold(), scores, torch.tensor([[1], [1], [0], [0]]), folds=2).T
        tensor([[ True,  True, False, False]])
    """
    if folds < 2:
        raise ValueError(f"cross-fitting needs at least 2 folds, found {folds}")
    if not rule.learns or len(probabilities) < 2:
        return rule.predict(probabilities)
    fold = torch.arange(len(probabilities), device=probabilities.device) % min(folds, len(probabilities))
    decisions = torch.zeros_like(probabilities, dtype=torch.bool)
    for left_out in range(int(fold.max()) + 1):
        rest, own = fold != left_out, fold == left_out
        fitted = copy.deepcopy(rule).fit(probabilities[rest], targets[rest], None if mask is None else mask[rest])
        decisions[own] = fitted.predict(probabilities[own])
    return decisions
