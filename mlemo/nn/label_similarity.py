"""Similarity of texts and label descriptions, and the offsets between texts with and without a label."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

__all__ = ["cosines", "offsets"]


def cosines(texts: Tensor, descriptions: Tensor) -> Tensor:
    """Cosines ``(N, C)`` of texts ``(N, d)`` and label descriptions ``(C, d)``, in float32 also in mixed precision."""
    with torch.autocast(texts.device.type, enabled=False):
        return normalize(texts.float(), dim=1) @ normalize(descriptions.float(), dim=1).T


def offsets(similarities: Tensor, shares: Tensor) -> Tensor:
    """Offsets above which a share of the texts is: the quantile ``1 − share_c`` of column c.

    Args:
        similarities: ``(N, C)``.
        shares: ``(C,)`` within [0, 1].

    Returns:
        ``(C,)``.

    Example:
        >>> offsets(torch.tensor([[0.1], [0.2], [0.3], [0.4], [0.5]]), torch.tensor([0.25]))
        tensor([0.4000])
    """
    return torch.stack([column.quantile(1 - share) for column, share in zip(similarities.T, shares)])
