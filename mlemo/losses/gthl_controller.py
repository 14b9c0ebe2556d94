"""The weight controller of GTHL-Emo: a small network over statistics of the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mlemo.losses.adaptive_focal import batch_jaccard
from mlemo.losses.base import masked_mean
from mlemo.losses.controller import WeightController
from mlemo.nn.batch_graph import label_entropy

__all__ = ["GTHLController", "batch_statistics"]


class GTHLController(WeightController):
    """``λ_i = base_i · (lo + (hi − lo) · σ(MLP(s)_i))``, smoothed by an exponential moving average over batches.

    The adaptive weights of GTHL-Emo as published (Alrasheedy et al. 2026, eq. 15); s is `batch_statistics`. The paper
    trains the network on the loss that it weighs. Lower weights always lower ``Σ_i λ_i L_i``, so all of them decrease
    together, whatever the batch, until they reach their lower bound ``lo · base_i``. They start at ``base_i``. For
    weights that respond to how each term trains see `GradNorm` and `DynamicWeightAverage`.

    Args:
        low: lo, the lower bound as a multiple of the base weight.
        high: hi, the upper bound as a multiple of the base weight.
        smoothing: Share of the previous value in the moving average (α of Table 2 and Table 10).

    Raises:
        ValueError: ``0 ≤ low < 1 < high`` or ``0 ≤ smoothing < 1`` does not hold.
    """

    smoothed: Tensor

    def __init__(self, low: float = 0.5, high: float = 2.0, smoothing: float = 0.95) -> None:
        super().__init__()
        if not 0 <= low < 1 < high:
            raise ValueError(f"the bounds of the weights must satisfy 0 ≤ low < 1 < high, found {low} and {high}")
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), found {smoothing}")
        self.low, self.high, self.smoothing = low, high, smoothing

    def bind(self, base: Sequence[float]) -> None:
        """Create the network; its first output is the base weights."""
        super().bind(base)
        self.register_buffer("smoothed", self.base.clone())
        self.network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, len(base)))
        middle = (1 - self.low) / (self.high - self.low)  # σ of this point's logit gives λ = base
        nn.init.zeros_(self.network[2].weight)  # type: ignore[arg-type]
        nn.init.constant_(self.network[2].bias, math.log(middle / (1 - middle)))  # type: ignore[arg-type]

    def forward(
        self, terms: Sequence[Tensor], logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> Tensor:
        """See `WeightController.forward`."""
        weights = self.smoothed
        if self.training:
            weights = self.next_weights(batch_statistics(logits.detach(), targets, mask))
        return (weights * torch.stack(list(terms))).sum()

    def next_weights(self, statistics: Tensor) -> Tensor:
        """The weights after a batch with these statistics ``(3,)``, which become the present ones, ``(T,)``."""
        with torch.autocast(self.base.device.type, enabled=False):
            raw = self.network(statistics.to(self.base))
        present = self.base * (self.low + (self.high - self.low) * raw.sigmoid())
        weights = self.smoothing * self.smoothed + (1 - self.smoothing) * present
        self.smoothed.copy_(weights.detach())
        return weights

    def weights(self) -> Tensor:
        """See `WeightController.weights`."""
        return self.smoothed.clone()


def batch_statistics(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean Jaccard index of predictions and labels, label entropy (nats) and mean class frequency of a batch.

    Args:
        logits: ``(N, C)``.
        targets: ``(N, C)`` in [0, 1]; anything where the mask is ``False``.
        mask: ``(N, C)`` bool, ``False`` = not annotated; ``None`` = all are.

    Returns:
        ``(3,)``.
    """
    if mask is None:
        mask = torch.ones_like(targets, dtype=torch.bool)
    targets = targets.to(torch.promote_types(logits.dtype, torch.float32)).masked_fill(~mask, 0.0)
    values = [batch_jaccard(logits, targets, mask), label_entropy(targets, mask), masked_mean(targets, mask)]
    return torch.stack([value.to(targets) for value in values])
