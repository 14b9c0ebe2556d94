"""Losses for corpora in which positive labels are missing: Hill and self-paced loss correction."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.base import ElementwiseLoss

__all__ = ["HillLoss", "SPLCLoss"]


class HillLoss(ElementwiseLoss):
    """Negatives that the model is sure of are taken for missing positives and lose their gradient.

    With logit x, target y, p = σ(x) and p_m = σ(x − m), each entry is

        −y · (1 − p_m)^γ · log p_m + (1 − y) · (λ − p) · p²

    At λ = 1.5 the gradient of a negative in p, ``2λp − 3p²``, rises from p = 0 and returns to 0 at p = 1. Zhang et al.,
    "Simple and Robust Loss Design for Multi-Label Learning with Missing Labels" (2021). Targets may be soft.

    Args:
        weight: λ ≥ 1, the weight of negatives at p = 0.
        margin: m ≥ 0, by which the logits of positives are lowered.
        gamma: γ ≥ 0, how fast well-classified positives fade.

    Raises:
        ValueError: Settings outside these ranges.

    Example:
        >>> HillLoss()(torch.zeros(1, 1), torch.zeros(1, 1))  # (1.5 − 0.5) · 0.5²
        tensor(0.2500)
    """

    def __init__(self, weight: float = 1.5, margin: float = 1.0, gamma: float = 2.0) -> None:
        super().__init__()
        if not weight >= 1:
            raise ValueError(f"weight must be at least 1, found {weight}")
        _check_focus(margin, gamma)
        self.weight, self.margin, self.gamma = weight, margin, gamma

    def _elementwise(self, logits: Tensor, targets: Tensor) -> Tensor:
        p = logits.sigmoid()
        return targets * _positive(logits - self.margin, self.gamma) + (1 - targets) * (self.weight - p) * p**2


class SPLCLoss(ElementwiseLoss):
    """Self-paced loss correction: negatives with a probability above a threshold are trained as positives.

    With logit x, target y, p = σ(x) and p_m = σ(x − m), each entry is

        y' · L⁺ + (1 − y') · L⁻,    y' = 1 where p > τ, else y
        L⁺ = −(1 − p_m)^γ log p_m,    L⁻ = −p^γ log(1 − p)

    Zhang et al., "Simple and Robust Loss Design for Multi-Label Learning with Missing Labels" (2021), with their focal
    margin loss for L⁺ and L⁻ (their code leaves the margin out where it corrects). In the first epochs, in which the
    model knows little, y' = y. Targets may be soft.

    Args:
        threshold: τ in (0, 1).
        margin: m ≥ 0, by which the logits of positives are lowered.
        gamma: γ ≥ 0, how fast well-classified entries fade.
        warmup_epochs: Epochs of training before the correction begins.

    Raises:
        ValueError: Settings outside these ranges.

    Example:
        >>> loss = SPLCLoss(margin=0.0, gamma=0.0, warmup_epochs=0)
        >>> loss.start_epoch()
        >>> loss(torch.tensor([[2.0]]), torch.zeros(1, 1))  # ln(1 + e⁻²), as of a positive
        tensor(0.1269)
    """

    epochs: Tensor

    def __init__(self, threshold: float = 0.6, margin: float = 1.0, gamma: float = 2.0, warmup_epochs: int = 1) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must lie between 0 and 1, found {threshold}")
        if warmup_epochs < 0:
            raise ValueError(f"warmup_epochs must not be negative, found {warmup_epochs}")
        _check_focus(margin, gamma)
        self.threshold, self.margin, self.gamma, self.warmup_epochs = threshold, margin, gamma, warmup_epochs
        self.register_buffer("epochs", torch.zeros((), dtype=torch.long))  # that have begun

    def start_epoch(self) -> None:
        """Count the epochs of training."""
        self.epochs += 1

    def _elementwise(self, logits: Tensor, targets: Tensor) -> Tensor:
        missing = (logits.sigmoid() > self.threshold) & (self.epochs > self.warmup_epochs)
        targets = targets.masked_fill(missing, 1.0)
        return targets * _positive(logits - self.margin, self.gamma) + (1 - targets) * _positive(-logits, self.gamma)


def _positive(logits: Tensor, gamma: float) -> Tensor:
    """``−(1 − p)^γ log p``; that of ``−logits`` is ``−p^γ log(1 − p)``."""
    return -torch.exp(gamma * F.logsigmoid(-logits)) * F.logsigmoid(logits)


def _check_focus(margin: float, gamma: float) -> None:
    if not (margin >= 0 and gamma >= 0):
        raise ValueError(f"margin and gamma must not be negative, found {margin} and {gamma}")
