"""A decision rule with the same number of labels for each sample."""

from __future__ import annotations

import torch
from torch import Tensor

from mlemo.thresholds.base import StatelessRule
from mlemo.thresholds.search import highest

__all__ = ["TopK"]


class TopK(StatelessRule):
    """Predict the k labels with the highest probabilities; equal ones by label order, so that exactly k are predicted.

    Args:
        k: Number of labels, at least 1.

    Raises:
        ValueError: ``k`` is below 1, or (in ``predict``) above the number of labels.

    Example:
        >>> TopK(2).predict(torch.tensor([[0.5, 0.25, 0.5], [0.25, 0.25, 0.25]]))
        tensor([[ True, False,  True],
                [ True,  True, False]])
    """

    def __init__(self, k: int) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, found {k}")
        self.k = k

    def _predict(self, probabilities: Tensor) -> Tensor:
        if self.k > probabilities.shape[1]:
            raise ValueError(
                f"k={self.k} labels cannot be predicted, the probabilities have {probabilities.shape[1]} columns"
            )
        return highest(probabilities, torch.full((len(probabilities),), self.k, device=probabilities.device))

    def describe(self) -> str:
        """Describe the rule in one line, for tables of results."""
        return "highest label" if self.k == 1 else f"{self.k} highest labels"
