"""A surrogate of the area under the ROC curve: squared hinge over the pairs of samples of each label."""

from __future__ import annotations

from torch import Tensor

from mlemo.losses.base import BatchLoss, masked_mean

__all__ = ["PairwiseAUCLoss"]


class PairwiseAUCLoss(BatchLoss):
    """``mean_c 1/(|P_c| |N_c|) Σ_{i ∈ P_c, j ∈ N_c} max(0, m − (x_ic − x_jc))²`` over the labels with a pair.

    P_c and N_c are the positive and the negative samples of label c in the batch. At m = 1 a pair costs at least as
    much as it is wrong in order, so that the loss bounds 1 − macro-AUC of the batch from above; it is consistent with
    the AUC (Gao and Zhou, "On the Consistency of AUC Pairwise Optimization", IJCAI 2015). The order alone matters and
    the level of the logits is free: choose thresholds on the validation split, or add a cross-entropy by
    `CompositeLoss`. Soft targets weigh the pairs by ``y_i (1 − y_j)``. All pairs are made: O(N² C) in time and memory.

    Args:
        margin: m > 0, the distance between logits from which a pair costs nothing.
        gather: See `BatchLoss`.

    Raises:
        ValueError: ``margin`` is not positive.

    Example:
        >>> import torch
        >>> PairwiseAUCLoss()(torch.tensor([[0.5], [0.0]]), torch.tensor([[1.0], [0.0]]))
        tensor(0.2500)
    """

    def __init__(self, margin: float = 1.0, gather: bool = False) -> None:
        super().__init__(gather)
        if not margin > 0:
            raise ValueError(f"margin must be positive, found {margin}")
        self.margin = margin

    def _batch_loss(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        positive, negative = targets * mask, (1 - targets) * mask
        short = (self.margin - logits[:, None] + logits[None]).clamp(min=0).square()  # (N, N, C)
        costs = (positive[:, None] * negative[None] * short).sum((0, 1))
        pairs = positive.sum(0) * negative.sum(0)
        return masked_mean(costs / pairs.clamp(min=1e-12), pairs > 0)
