"""Logit adjustment: cross-entropy of logits that are shifted by the prior odds of their class."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.positive_rates import RateLoss

__all__ = ["LogitAdjustedLoss"]


class LogitAdjustedLoss(RateLoss):
    """Binary cross-entropy of ``x_c + τ log(π_c / (1 − π_c))``, averaged over the annotated entries.

    π_c is the share of positives of class c in the training split (`positive_rates`). What the frequency of a class
    explains is left to the shift, which is absent from predictions: the logit x estimates the odds of a class as they
    were if its positives and negatives were equally many, and rare classes are predicted more often. Menon et al.,
    "Long-Tail Learning via Logit Adjustment" (ICLR 2021), eq. 10, have the softmax, where x_c is shifted by τ log π_c;
    this is the same for one sigmoid per class. Targets may be soft.

    Args:
        tau: τ ≥ 0; 0 = no shift.

    Raises:
        ValueError: ``tau`` is negative.

    Example:
        >>> import torch
        >>> loss = LogitAdjustedLoss()
        >>> loss.observe(torch.tensor([[1.0], [0.0]] + 6 * [[0.0]]), torch.ones(8, 1, dtype=torch.bool))  # π = 0.2
        >>> loss(torch.zeros(1, 1), torch.ones(1, 1))  # −ln 0.2
        tensor(1.6094)
    """

    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        if not 0 <= tau < math.inf:
            raise ValueError(f"tau must not be negative, found {tau}")
        self.tau = tau

    def _elementwise(self, logits: Tensor, targets: Tensor) -> Tensor:
        shift = self.tau * self._rates(logits).logit()
        return F.binary_cross_entropy_with_logits(logits + shift, targets, reduction="none")
