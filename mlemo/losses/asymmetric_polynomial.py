"""Asymmetric polynomial loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.asymmetric import AsymmetricLoss

__all__ = ["AsymmetricPolynomialLoss"]


class AsymmetricPolynomialLoss(AsymmetricLoss):
    """Asymmetric loss whose positive part has other leading coefficients in its Taylor expansion.

    With p = σ(x), the cross-entropy of a positive is ``−log p = Σ_m (1 − p)^m / m``. Its first M coefficients, 1/m, are
    replaced by a_m, so that each entry is that of `AsymmetricLoss` plus

        y · (1 − p)^γ⁺ · Σ_{m ≤ M} (a_m − 1/m) (1 − p)^m

    Huang et al., "Asymmetric Polynomial Loss for Multi-Label Classification" (ICASSP 2023). The defaults are those of
    the authors' code, which leaves the negative part as it is, and so does this loss. Targets may be soft.

    Args:
        coefficients: a_1 … a_M.
        gamma_positive: See `AsymmetricLoss`.
        gamma_negative: See `AsymmetricLoss`.
        clip: See `AsymmetricLoss`.

    Raises:
        ValueError: See `AsymmetricLoss`.

    Example:
        >>> AsymmetricPolynomialLoss()(torch.zeros(1, 1), torch.ones(1, 1))  # ln 2 − 0.5 + 1.25 · 0.5²
        tensor(0.5056)
    """

    def __init__(
        self,
        coefficients: Sequence[float] = (0.0, 1.75),
        gamma_positive: float = 0.0,
        gamma_negative: float = 4.0,
        clip: float = 0.05,
    ) -> None:
        super().__init__(gamma_positive, gamma_negative, clip)
        self.coefficients = tuple(coefficients)

    def _elementwise(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_not_p = F.logsigmoid(-logits)
        value = super()._elementwise(logits, targets)
        for m, coefficient in enumerate(self.coefficients, 1):
            value = value + targets * (coefficient - 1 / m) * torch.exp((self.gamma_positive + m) * log_not_p)
        return value
