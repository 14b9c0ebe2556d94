"""One linear unit per label, over label-specific features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["PerLabelLinear"]


class PerLabelLinear(nn.Module):
    """``logit_k = w_k · f_k + b_k``.

    Args:
        labels: C.
        width: Number of features per label.
    """

    def __init__(self, labels: int, width: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width)
        self.weight = nn.Parameter(torch.empty(labels, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(labels))

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits ``(B, C)`` from ``(B, C, width)``, or from ``(B, 1, width)`` shared by all labels."""
        return (features * self.weight).sum(-1) + self.bias
