"""Shares of positives of the classes in the training split, for losses that depend on them."""

from __future__ import annotations

import torch
from torch import Tensor

from mlemo.losses.base import ElementwiseLoss

__all__ = ["RateLoss", "positive_rates"]


class RateLoss(ElementwiseLoss):
    """Base of losses that depend on π_c, the share of positives of class c in the training split.

    π_c is 1/2 until `observe` was called, and is kept in the checkpoint.
    """

    rates: Tensor  #: π, ``(C,)``

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rates", torch.zeros(0))

    def bind(self, classes: int) -> None:
        """Start with a share of 1/2 for each of so many classes."""
        self.rates = torch.full((classes,), 0.5, device=self.rates.device)

    def observe(self, targets: Tensor, mask: Tensor) -> None:
        """Take the shares from the training split."""
        self.rates = positive_rates(targets, mask).to(self.rates)

    def _rates(self, logits: Tensor) -> Tensor:
        """π in the precision of the logits."""
        if self.rates.shape != logits.shape[1:]:
            self.bind(logits.shape[1])
        return self.rates.to(logits.dtype)


def positive_rates(targets: Tensor, mask: Tensor) -> Tensor:
    """``π_c = (positives of c + 1) / (annotated entries of c + 2)``.

    One positive and one negative more than there are (Laplace) keep π between 0 and 1 for classes of one value.

    Args:
        targets: ``(N, C)`` in [0, 1].
        mask: ``(N, C)`` bool, ``False`` = not annotated.

    Returns:
        ``(C,)`` float32.

    Example:
        >>> positive_rates(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.ones(2, 2, dtype=torch.bool))
        tensor([0.5000, 0.2500])
    """
    return (targets.float().masked_fill(~mask, 0.0).sum(0) + 1) / (mask.sum(0) + 2)
