"""Dynamic weight averaging: weights from the recent descent of each term of a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mlemo.losses.controller import WeightController

__all__ = ["DynamicWeightAverage"]


class DynamicWeightAverage(WeightController):
    """Weights, set once per epoch, that are larger for terms which have decreased less.

        λ_i = base_i · T · softmax(r / τ)_i,   r_i = L_i(e − 1) / L_i(e − 2)

    L_i(e) is the mean of the term over the batches of epoch e, T the number of terms; ``λ_i = base_i`` in the first two
    epochs. Liu et al., "End-to-End Multi-Task Learning with Attention" (CVPR 2019), eq. 7. Under several processes
    the means are those of the first process, whose buffers all share.

    Args:
        temperature: τ; the larger, the closer the weights stay to their base.

    Raises:
        ValueError: A temperature that is not positive.
    """

    multipliers: Tensor
    total: Tensor
    batches: Tensor
    previous: Tensor

    def __init__(self, temperature: float = 2.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, found {temperature}")
        self.temperature = temperature

    def bind(self, base: Sequence[float]) -> None:
        """Create the running means."""
        super().bind(base)
        self.register_buffer("multipliers", torch.ones(len(base)))
        self.register_buffer("total", torch.zeros(len(base)))
        self.register_buffer("batches", torch.zeros(()))
        self.register_buffer("previous", torch.zeros(len(base)))

    def start_epoch(self) -> None:
        """Set the weights from the means of the two epochs before."""
        ended = self.batches > 0
        mean = self.total / self.batches.clamp(min=1)
        # a term that was 0, or an epoch that is not there yet, gives no ratio
        ratios = torch.where(self.previous > 0, mean / self.previous, 1.0)
        multipliers = len(ratios) * (ratios / self.temperature).softmax(0)
        self.multipliers.copy_(torch.where(ended, multipliers, self.multipliers))
        self.previous.copy_(torch.where(ended, mean, self.previous))
        self.total.zero_()
        self.batches.zero_()

    def forward(
        self, terms: Sequence[Tensor], logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> Tensor:
        """See `WeightController.forward`."""
        values = torch.stack(list(terms))
        if self.training:
            self.total += values.detach()
            self.batches += 1
        return (self.weights() * values).sum()

    def weights(self) -> Tensor:
        """See `WeightController.weights`."""
        return self.base * self.multipliers
