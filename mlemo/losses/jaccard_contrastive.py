"""Supervised contrastive loss for overlapping label sets: pairs weighted by the Jaccard index of their label sets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mlemo.losses.base import check_targets

__all__ = ["jaccard_contrastive", "jaccard_similarity"]


def jaccard_similarity(targets: Tensor, mask: Tensor) -> Tensor:
    """``J_ij = |Y_i ∩ Y_j| / |Y_i ∪ Y_j|`` over the labels that are annotated in both rows; 1 for two empty sets.

    Args:
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, ``False`` where not annotated.

    Returns:
        ``(N, N)``; 0 for two rows without a label that is annotated in both.

    Example:
        >>> jaccard_similarity(torch.tensor([[1.0, 1.0], [1.0, 0.0]]), torch.ones(2, 2, dtype=torch.bool))
        tensor([[1.0000, 0.5000],
                [0.5000, 1.0000]])
    """
    with torch.autocast(targets.device.type, enabled=False):  # counts of labels are exact
        known = mask.to(targets.dtype)
        on = targets * known
        both = on @ on.T
        either = on @ known.T + known @ on.T - both
        annotated = known @ known.T > 0
    return torch.where(either > 0, both / either.clamp(min=1), annotated.to(targets.dtype))


def jaccard_contrastive(
    vectors: Tensor, targets: Tensor, mask: Tensor | None = None, temperature: float = 0.1
) -> Tensor:
    """``−mean_i Σ_{j≠i} J_ij / Σ_{k≠i} J_ik · log (exp(s_ij / τ) / Σ_{k≠i} exp(s_ik / τ))``, s the cosine.

    The supervised contrastive loss of Khosla et al. (NeurIPS 2020, eq. 2) has positive pairs of one class and negative
    ones; here a pair is as positive as its label sets overlap (`jaccard_similarity`). With one label per row both are
    the same. Rows that overlap with no other row are left out of the mean.

    Args:
        vectors: ``(N, d)``, of any length.
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, ``False`` where not annotated; ``None`` if all are.
        temperature: τ.

    Returns:
        Scalar; 0, with a gradient of zero, where no label sets overlap.

    Raises:
        ValueError: Targets and mask that do not fit.
    """
    mask = check_targets(targets, mask)
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    weights = jaccard_similarity(targets.float(), mask).masked_fill(itself, 0.0)
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = normalize(vectors.float(), dim=1)
        scores = vectors @ vectors.T / temperature
    scores = scores.masked_fill(itself, -1e9).log_softmax(1)  # −1e9 and not −∞: 0 · ∞ would be NaN
    overlap = weights.sum(1)
    losses = -(weights * scores).sum(1) / overlap.clamp(min=1e-12)
    return losses.sum() / (overlap > 0).sum().clamp(min=1)
