"""Asymmetric loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.base import ElementwiseLoss

__all__ = ["AsymmetricLoss"]


class AsymmetricLoss(ElementwiseLoss):
    """Asymmetric loss: focusing of its own for positives and negatives, and a margin below which negatives are free.

    With logit x, target y, p = σ(x) and p_m = max(p − m, 0), each entry is

        −y · (1 − p)^γ⁺ · log p − (1 − y) · p_m^γ⁻ · log(1 − p_m)

    Ridnik et al., "Asymmetric Loss For Multi-Label Classification" (ICCV 2021), eq. 4, 5 and 7. The loss is the mean
    over the annotated entries (the authors' code sums), its gradient is that of the formula (theirs may hold the
    focusing factor constant), and the gradient mode of the caller is left alone. Targets may be soft.

    Args:
        gamma_positive: γ⁺ ≥ 0.
        gamma_negative: γ⁻ ≥ 0, usually above γ⁺.
        clip: The probability margin m in [0, 1).

    Raises:
        ValueError: Settings outside these ranges.

    Example:
        >>> loss = AsymmetricLoss(clip=0.2)
        >>> loss(torch.tensor([[-2.0]]), torch.tensor([[0.0]]))  # p = 0.12 lies below the margin
        tensor(0.)
    """

    def __init__(self, gamma_positive: float = 0.0, gamma_negative: float = 4.0, clip: float = 0.05) -> None:
        super().__init__()
        if gamma_positive < 0 or gamma_negative < 0:
            raise ValueError(
                f"gamma_positive and gamma_negative must not be negative, found {gamma_positive} and {gamma_negative}"
            )
        if not 0 <= clip < 1:
            raise ValueError(f"clip must lie in [0, 1), found {clip}")
        self.gamma_positive = gamma_positive
        self.gamma_negative = gamma_negative
        self.clip = clip

    def _elementwise(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
        positive = targets * torch.exp(self.gamma_positive * log_not_p) * log_p
        if self.clip > 0:
            shifted = logits.sigmoid() - self.clip
            # Bounded before the logarithm, which has no slope to offer at 0; log(1 − p_m) is exactly 0 there.
            log_p = shifted.clamp(min=torch.finfo(logits.dtype).tiny).log()
            log_not_p = torch.log1p(-shifted.clamp(min=0.0))
        negative = (1 - targets) * torch.exp(self.gamma_negative * log_p) * log_not_p
        return -(positive + negative)
