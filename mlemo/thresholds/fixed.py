"""A decision rule with one given threshold for all labels."""

from __future__ import annotations

import torch
from torch import Tensor

from mlemo.thresholds.base import PerClassRule

__all__ = ["FixedThreshold"]


class FixedThreshold(PerClassRule):
    """Predict a label where its probability is at least ``threshold``.

    :meth:`predict` works without a fit; :meth:`fit` only stores the number of labels. Hurtado et al. and the larger
    data sets of Bénédict et al. use 0.5, the small data sets of the latter 0.05.

    Args:
        threshold: Within [0, 1].

    Raises:
        ValueError: ``threshold`` is outside [0, 1].

    Example:
        >>> FixedThreshold(0.5).predict(torch.tensor([[0.5, 0.4]]))
        tensor([[ True, False]])
    """

    learns = False

    def __init__(self, threshold: float = 0.5) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must lie in [0, 1], found {threshold}")
        self.threshold = threshold

    def _fit_thresholds(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        return torch.full((probabilities.shape[1],), float(self.threshold))

    def _predict(self, probabilities: Tensor) -> Tensor:
        if self._thresholds is None:
            return probabilities >= self.thresholds().to(probabilities.device)
        return super()._predict(probabilities)

    def thresholds(self) -> Tensor:
        """Return the threshold as float32: ``(C,)`` after a fit, ``(1,)``, which broadcasts, before."""
        return torch.tensor([float(self.threshold)]) if self._thresholds is None else super().thresholds()

    def describe(self) -> str:
        """Describe the rule in one line, for tables of results."""
        return f"fixed threshold {self.threshold:g}"
