"""Focal loss whose focus follows the training, with weights from the class frequencies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.base import ElementwiseLoss, check_inputs, masked_mean

__all__ = ["AdaptiveFocalLoss", "batch_jaccard", "effective_number_weights"]


class AdaptiveFocalLoss(ElementwiseLoss):
    """``−α_c y (1 − p)^γ log p [− α_c (1 − y) p^γ log(1 − p)]``, with γ and α set by the data.

    The focal term of GTHL-Emo (Alrasheedy et al. 2026, eq. 17, which has the positive part only), with p = σ(x) and

        γ = γ_min + (γ_max − γ_min) · (1 − J)

    where J is a running average of the mean Jaccard index between the labels and the predictions at 0.5 of the training
    batches before the present one: the better the predictions, the less the focus on the hard ones. α_c are the inverse
    effective numbers of positives of the training split (``effective_number_weights``), 1 until `observe` was called.
    J moves with every call in training mode, and rests in evaluation.

    Args:
        gamma_min: γ at J = 1.
        gamma_max: γ at J = 0, where training starts.
        momentum: Of the running average of J.
        negative_term: Whether entries with y = 0 count (the two-sided form).

    Raises:
        ValueError: ``0 ≤ gamma_min ≤ gamma_max`` or ``0 ≤ momentum < 1`` does not hold.
    """

    alpha: Tensor
    jaccard: Tensor

    def __init__(
        self, gamma_min: float = 1.0, gamma_max: float = 3.0, momentum: float = 0.95, negative_term: bool = False
    ) -> None:
        super().__init__()
        if not 0 <= gamma_min <= gamma_max:
            raise ValueError(f"gamma_min and gamma_max must hold 0 ≤ min ≤ max, found {gamma_min} and {gamma_max}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), found {momentum}")
        self.gamma_min, self.gamma_max, self.momentum = gamma_min, gamma_max, momentum
        self.negative_term = negative_term
        self.register_buffer("alpha", torch.ones(0))
        self.register_buffer("jaccard", torch.zeros(()))

    def bind(self, classes: int) -> None:
        """Start with a weight of 1 for each of so many classes."""
        self.alpha = torch.ones(classes, device=self.alpha.device)

    def observe(self, targets: Tensor, mask: Tensor) -> None:
        """Take the weights of the classes from the training split."""
        self.alpha = effective_number_weights((targets * mask).sum(0)).to(self.alpha)

    def gamma(self) -> Tensor:
        """The present γ, a scalar."""
        return self.gamma_min + (self.gamma_max - self.gamma_min) * (1 - self.jaccard)

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """Mean of `elementwise` over the annotated entries; see `Loss.forward`."""
        return self.compute(*check_inputs(logits, targets, mask))

    def compute(self, logits: Tensor, targets: Tensor, mask: Tensor, **context: Any) -> Tensor:
        """`forward` of inputs that `check_inputs` has returned."""
        value = masked_mean(self._elementwise(logits, targets), mask)
        if self.training:
            jaccard = batch_jaccard(logits.detach(), targets, mask).to(self.jaccard)
            self.jaccard.lerp_(jaccard, (1 - self.momentum) * mask.any().to(jaccard))
        return value

    def _elementwise(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.alpha.shape != logits.shape[1:]:
            self.bind(logits.shape[1])
        gamma = self.gamma().to(logits.dtype)
        log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
        value = -targets * torch.exp(gamma * log_not_p) * log_p
        if self.negative_term:
            value = value - (1 - targets) * torch.exp(gamma * log_p) * log_not_p
        return value * self.alpha.to(logits.dtype)


def effective_number_weights(positives: Tensor, beta: float = 0.999) -> Tensor:
    """``α_c ∝ (1 − β) / (1 − β^{n_c})``, scaled to a mean of 1 (Cui et al., CVPR 2019).

    Args:
        positives: n_c, ``(C,)``; a class without positives counts as one with 1.
        beta: β in [0, 1).

    Returns:
        ``(C,)`` float32.

    Example:
        >>> effective_number_weights(torch.tensor([1.0, 1.0]))
        tensor([1., 1.])
    """
    inverse = (1 - beta) / (1 - beta ** positives.double().clamp(min=1))
    return (inverse / inverse.mean()).float()


def batch_jaccard(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean Jaccard index between labels and predictions at 0.5 over the annotated samples of a batch; 1 for 0/0.

    Args:
        logits: ``(N, C)``.
        targets: ``(N, C)``.
        mask: ``(N, C)`` bool, ``False`` = not annotated.

    Returns:
        Scalar; 0 where nothing is annotated.

    Example:
        >>> labels = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
        >>> batch_jaccard(torch.tensor([[2.0, -2.0], [-2.0, -2.0]]), labels, torch.ones(2, 2, dtype=torch.bool))
        tensor(0.7500)
    """
    on = (logits >= 0) & mask
    truth = (targets >= 0.5) & mask
    union = (on | truth).sum(1)
    index = torch.where(union > 0, (on & truth).sum(1) / union.clamp(min=1), 1.0)
    known = mask.any(1)
    return (index * known).sum() / known.sum().clamp(min=1)
