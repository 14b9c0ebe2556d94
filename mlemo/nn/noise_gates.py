"""Gates for noise on dimensions that are not informative for a label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["NoiseGates"]


class NoiseGates(nn.Module):
    """One gate per label and dimension, sampled in training from a binary Concrete distribution (Hang and Zhang 2022).

    With logits ``g = P W + b``, P ∈ R^{C×D} and W ∈ R^{D×D} learned, and logistic noise l, the soft gate is
    ``σ((g + l) / τ)``; the gate is 1 where it exceeds ½ and else ``off_noise``, with the gradient of the soft gate.

    Args:
        labels: C.
        width: D.
        off_noise: Value of a closed gate.
        temperature: τ.

    Raises:
        ValueError: ``off_noise`` is outside [0, 1].
    """

    def __init__(self, labels: int, width: int, off_noise: float = 0.5, temperature: float = 2 / 3) -> None:
        super().__init__()
        if not 0 <= off_noise <= 1:
            raise ValueError(f"model.off_noise must lie in [0, 1], found {off_noise}")
        self.label_vectors = nn.Parameter(torch.empty(labels, width).uniform_(-10, 10))
        self.scale = nn.Linear(width, width)
        nn.init.constant_(self.scale.bias, 2.0)
        self.off_noise, self.temperature = off_noise, temperature

    def forward(self) -> Tensor:
        """Sample gates ``(C, D)`` for one batch."""
        logits = self.scale(self.label_vectors).float()
        uniform = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
        soft = ((logits + uniform.logit()) / self.temperature).sigmoid()
        hard = torch.where(soft > 0.5, 1.0, self.off_noise)
        return soft + (hard - soft).detach()
