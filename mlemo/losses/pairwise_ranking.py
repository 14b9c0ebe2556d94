"""Pairwise ranking loss with a margin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.base import SamplewiseLoss

__all__ = ["PairwiseRankingLoss"]


class PairwiseRankingLoss(SamplewiseLoss):
    """``mean_i 1/(|P_i| |N_i|) Σ_{p ∈ P_i, n ∈ N_i} max(0, m − (σ(x_ip) − σ(x_in)))``.

    Alrasheedy et al. (2026), eq. 18, on probabilities. A sample without a positive or without a negative label has no
    pair and a loss of 0. Soft targets weigh the pairs by ``y_p (1 − y_n)``.

    No pair is made. With the labels in ascending order of s = σ(x), the negatives that cost positive p something are
    those from place k_p on, the first with ``s_n ≥ s_p − m``, and their sum is

        (m − s_p) Σ_{n ≥ k_p} (1 − y_n) + Σ_{n ≥ k_p} (1 − y_n) s_n,

    two sums that are cumulated once for all p: O(C log C) a sample in time, O(C) in memory.

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
        positive, negative = targets * mask, (1 - targets) * mask
        ordered, order = probabilities.sort(dim=1)
        weights = negative.gather(1, order)
        reach = self.margin - probabilities
        # m − s_p + s_n ≥ 0 exactly where s_n ≥ −(m − s_p), also after rounding: at the kink a pair has a gradient
        first = torch.searchsorted(ordered.detach(), -reach.detach())
        short = reach * _from(weights).gather(1, first) + _from(weights * ordered).gather(1, first)
        pairs = positive.sum(1) * negative.sum(1)
        return (positive * short).sum(1) / pairs.clamp(min=1e-12)


def _from(values: Tensor) -> Tensor:
    """Sum of each row's values from each place on, ``(N, C + 1)``; the last, of no value, is 0."""
    return F.pad(values.flip(1).cumsum(1).flip(1), (0, 1))
