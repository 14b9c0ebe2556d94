"""Squared error of the probabilities, a baseline objective."""

from __future__ import annotations

from torch import Tensor

from mlemo.losses.base import ElementwiseLoss

__all__ = ["MeanSquaredError"]


class MeanSquaredError(ElementwiseLoss):
    """Squared error between probabilities and targets (the Brier score), averaged over the annotated entries.

    With logit x and target y, each entry is

        (σ(x) − y)²

    The baseline "MSE" of Hurtado et al. (2019). Its gradient fades where the network is certain, be it right or wrong.
    Targets may be soft.

    Example:
        >>> import torch
        >>> MeanSquaredError()(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]))
        tensor(0.2500)
    """

    def _elementwise(self, logits: Tensor, targets: Tensor) -> Tensor:
        return (logits.sigmoid() - targets).square()
