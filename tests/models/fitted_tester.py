"""A small problem for models that are fitted to all training rows at once."""

from __future__ import annotations

import torch
from torch import Tensor

LABELS = ("joy", "fear", "anger")


def problem(rows: int = 60, width: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Features, noisy labels that depend on them, and a mask that leaves out a fifth of the entries."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(rows, width, generator=generator)
    noisy = features[:, :3] + 0.7 * torch.randn(rows, 3, generator=generator) + torch.tensor([0.5, -0.3, -0.9])
    mask = torch.rand(rows, 3, generator=generator) < 0.8
    return features, (noisy > 0).float() * mask, mask
