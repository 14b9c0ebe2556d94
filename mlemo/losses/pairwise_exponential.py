"""Pairwise exponential ranking loss: relevant labels above irrelevant ones (BP-MLL, C2AE, MPVAE)."""

from __future__ import annotations

import torch
from torch import Tensor

from mlemo.losses.base import SamplewiseLoss

__all__ = ["PairwiseExponentialLoss", "pairwise_exponential"]


def pairwise_exponential(scores: Tensor, targets: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The loss of each sample; see `PairwiseExponentialLoss`.

    The double sum over pairs is a product of two sums, so that nothing of size ``C × C`` is made.

    Args:
        scores: ``(…, N, C)`` within [0, 1].
        targets: ``(N, C)``.
        mask: ``(N, C)`` bool.
        scale: s.

    Returns:
        ``(…, N)``.
    """
    relevant, irrelevant = targets * mask, (1 - targets) * mask
    pairs = relevant.sum(-1) * irrelevant.sum(-1)
    below = (relevant * (-scale * scores).exp()).sum(-1)
    above = (irrelevant * (scale * scores).exp()).sum(-1)
    return torch.where(pairs > 0, below * above / (scale * pairs.clamp(min=1e-12)), 0.0)


class PairwiseExponentialLoss(SamplewiseLoss):
    """``mean_i 1/(s |Y_i| |Ȳ_i|) Σ_{p ∈ Y_i, n ∉ Y_i} exp(−s (σ(z_ip) − σ(z_in)))``.

    The output loss of C2AE (Yeh et al. 2017, eq. 4), after Zhang and Zhou (2006), on probabilities. A sample with no
    relevant or no irrelevant label has no pair and a loss of 0. Soft targets weigh the pairs.

    Args:
        scale: s, how hard a wrong order is punished; 5 in the authors' code.

    Raises:
        ValueError: ``scale`` is not positive.

    Example:
        >>> PairwiseExponentialLoss(1.0)(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
        tensor(1.)
    """

    def __init__(self, scale: float = 5.0) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"scale must be positive, found {scale}")
        self.scale = scale

    def _per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        return pairwise_exponential(logits.sigmoid(), targets, mask, self.scale)
