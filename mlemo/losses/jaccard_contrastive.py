"""Supervised contrastive loss for overlapping label sets: pairs weighted by the Jaccard index of their label sets."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mlemo.losses.base import Loss, check_inputs, check_targets

__all__ = ["JaccardContrastiveLoss", "jaccard_contrastive", "jaccard_similarity"]


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
    vectors = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    weights = jaccard_similarity(targets.to(vectors.dtype), mask).masked_fill(itself, 0.0)
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = normalize(vectors, dim=1)
        scores = vectors @ vectors.T / temperature
    scores = scores.masked_fill(itself, -1e9).log_softmax(1)  # −1e9 and not −∞: 0 · ∞ would be NaN
    overlap = weights.sum(1)
    losses = -(weights * scores).sum(1) / overlap.clamp(min=1e-12)
    return losses.sum() / (overlap > 0).sum().clamp(min=1)


class JaccardContrastiveLoss(Loss):
    """`jaccard_contrastive` of the vectors of a batch, pairs weighted by the Jaccard index of their label sets.

    The vectors are the ``embeddings`` of the model, ``(N, d)``, the input of the last layer of `TransformerClassifier`;
    of a model that gives none they are the logits. It draws texts together and trains no decisions: add it to another
    loss by `CompositeLoss`. The sums over the other samples of the batch grow with the batch.

    Args:
        temperature: τ > 0.

    Raises:
        ValueError: ``temperature`` is not positive; when called on the CPU, targets between 0 and 1.

    Example:
        >>> loss = JaccardContrastiveLoss(temperature=1.0)
        >>> targets, vectors = torch.tensor([[1.0], [1.0], [0.0]]), torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> loss(torch.zeros(3, 1), targets, embeddings=vectors)  # −log(e / (e + 1))
        tensor(0.3133)
    """

    batchwise: ClassVar[bool] = True

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, found {temperature}")
        self.temperature = temperature

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The mean over the samples whose label sets overlap with others; see `Loss.forward`."""
        logits, targets, mask = check_inputs(logits, targets, mask)
        if targets.is_cpu and ((targets > 0) & (targets < 1)).any():
            raise ValueError("targets must be 0 or 1 for label sets, found values in between")
        return jaccard_contrastive(context.get("embeddings", logits), targets, mask, self.temperature)
