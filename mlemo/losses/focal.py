"""Focal loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.base import ElementwiseLoss, class_vector

__all__ = ["FocalLoss"]


class FocalLoss(ElementwiseLoss):
    """Focal loss: binary cross-entropy that fades where the prediction is already right.

    With logit x, target y and p = σ(x), each entry is

        −a⁺ · y · (1 − p)^γ · log p − a⁻ · (1 − y) · p^γ · log(1 − p)

    and the loss is the mean over the annotated entries. Lin et al., "Focal Loss for Dense Object Detection" (ICCV
    2017), eq. 5: a⁺ = α, a⁻ = 1 − α for one number α. With one number per class, α_c is the weight of class c, a⁺ =
    a⁻ = α_c, and without the negative term the loss is eq. 17 of GTHL-Emo (Alrasheedy et al., Electronics 2026).
    Targets may be soft.

    Args:
        alpha: ``None`` (a⁺ = a⁻ = 1), one number in [0, 1] that balances positives against negatives, or one positive
            weight per class.
        gamma: γ ≥ 0, how fast well-classified entries fade; 0 gives the (weighted) cross-entropy.
        negative_term: Whether entries with y = 0 count.

    Raises:
        ValueError: Settings outside these ranges, or (when called) not as many weights as there are classes.

    Example:
        >>> FocalLoss(alpha=0.25, gamma=2.0)(torch.zeros(1, 1), torch.ones(1, 1))  # 0.25 · 0.5² · ln 2
        tensor(0.0433)
    """

    class_weights: Tensor | None

    def __init__(
        self,
        alpha: float | Sequence[float] | Tensor | None = None,
        gamma: float = 2.0,
        negative_term: bool = True,
    ) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f"gamma must not be negative, found {gamma}")
        self.gamma = gamma
        self.negative_term = negative_term
        self.balance: float | None = None
        weights: Tensor | None = None
        if isinstance(alpha, (int, float)):
            if not 0 <= alpha <= 1:
                raise ValueError(f"one alpha for all classes must lie in [0, 1], found {alpha}")
            self.balance = float(alpha)
        elif alpha is not None:
            weights = class_vector("alpha", alpha)
        self.register_buffer("class_weights", weights, persistent=False)

    def _elementwise(self, logits: Tensor, targets: Tensor) -> Tensor:
        # Powers are taken as exp(γ log ·): exact for large logits, and no infinite slope at 0 where γ < 1.
        log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
        positive = -targets * torch.exp(self.gamma * log_not_p) * log_p
        negative = -(1 - targets) * torch.exp(self.gamma * log_p) * log_not_p
        if self.balance is not None:
            positive, negative = self.balance * positive, (1 - self.balance) * negative
        value = positive + negative if self.negative_term else positive
        if self.class_weights is None:
            return value
        if len(self.class_weights) != logits.shape[1]:
            raise ValueError(f"{len(self.class_weights)} values of alpha for logits of {logits.shape[1]} classes")
        return value * self.class_weights
