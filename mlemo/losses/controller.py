"""Weights of the terms of a loss, set batch by batch by a small network within bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["WeightController"]


class WeightController(nn.Module):
    """``λ_i = base_i · (lo + (hi − lo) · σ(MLP(s)_i))``, smoothed by an exponential moving average.

    The adaptive weights of GTHL-Emo (Alrasheedy et al. 2026, eq. 15): s are statistics of the batch. Whatever lowers
    ``Σ λ_i L_i`` lowers every λ_i, to 0 if nothing holds it; the bounds do. The average keeps them, as it is a mean of
    values within them. At the start λ_i = base_i.

    Args:
        base: Weight of each term around which it may move.
        statistics: Numbers in s.
        low: lo.
        high: hi.
        smoothing: Share of the former value in the moving average.

    Raises:
        ValueError: ``0 ≤ low < 1 < high`` or ``0 ≤ smoothing < 1`` does not hold, or a base weight is negative.
    """

    base: Tensor
    smoothed: Tensor

    def __init__(
        self, base: Sequence[float], statistics: int, low: float = 0.5, high: float = 2.0, smoothing: float = 0.95
    ) -> None:
        super().__init__()
        if not 0 <= low < 1 < high:
            raise ValueError(f"the bounds of the weights must hold 0 ≤ low < 1 < high, found {low} and {high}")
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), found {smoothing}")
        if min(base) < 0:
            raise ValueError(f"base weights must not be negative, found {list(base)}")
        self.low, self.high, self.smoothing = low, high, smoothing
        self.register_buffer("base", torch.tensor(list(base)), persistent=False)
        self.register_buffer("smoothed", torch.tensor(list(base)))
        self.network = nn.Sequential(nn.Linear(statistics, 16), nn.Tanh(), nn.Linear(16, len(base)))
        middle = (1 - low) / (high - low)  # σ of this point's logit gives λ = base
        nn.init.zeros_(self.network[2].weight)  # type: ignore[arg-type]
        nn.init.constant_(self.network[2].bias, math.log(middle / (1 - middle)))  # type: ignore[arg-type]

    def forward(self, statistics: Tensor) -> Tensor:
        """The weights for a batch with these statistics ``(S,)``; in evaluation those of the last training batch."""
        if not self.training:
            return self.smoothed
        with torch.autocast(self.base.device.type, enabled=False):
            raw = self.network(statistics.detach().to(self.base))
        present = self.base * (self.low + (self.high - self.low) * raw.sigmoid())
        weights = self.smoothing * self.smoothed + (1 - self.smoothing) * present
        self.smoothed.copy_(weights.detach())
        return weights
