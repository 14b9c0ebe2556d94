"""Pairwise ranking loss with a margin."""

from __future__ import annotations

from torch import Tensor

from mlemo.losses.base import SamplewiseLoss

__all__ = ["PairwiseRankingLoss"]


class PairwiseRankingLoss(SamplewiseLoss):
    """``mean_i 1/(|P_i| |N_i|) Σ_{p ∈ P_i, n ∈ N_i} max(0, m − (σ(x_ip) − σ(x_in)))``.

    Alrasheedy et al. (2026), eq. 18, on probabilities. A sample without a positive or without a negative label has no
    pair and a loss of 0. Soft targets weigh the pairs by ``y_p (1 − y_n)``. A tensor of N·C² numbers is made.

    Args:
        margin: m, the distance in probability from which a pair costs nothing.

    Raises:
        ValueError: ``margin`` outside (0, 1].

    Example:
        >>> import torch
        >>> PairwiseRankingLoss(0.5)(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
        tensor(0.5000)
    """

    def __init__(self, margin: float = 0.5) -> None:
        super().__init__()
        if not 0 < margin <= 1:
            raise ValueError(f"margin is a distance between probabilities in (0, 1], found {margin}")
        self.margin = margin

    def _per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        probabilities = logits.sigmoid()
        pairs = (targets * mask)[:, :, None] * ((1 - targets) * mask)[:, None, :]
        short = (self.margin - probabilities[:, :, None] + probabilities[:, None, :]).clamp(min=0)
        return (pairs * short).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1e-12)
