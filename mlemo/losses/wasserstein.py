"""Wasserstein distance between label distributions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.base import SamplewiseLoss

__all__ = ["WassersteinLoss"]

# Logarithm of a probability of zero: far below every other term, and finite, so that no difference of infinities
# arises.
_LOG_ZERO = -1e30


class WassersteinLoss(SamplewiseLoss):
    """Wasserstein distance between the normalised targets and the softmax of the logits.

    With r = y / Σy and q = softmax(x), both over the annotated labels of a row, the value of a row is

        W(r, q) = min_P Σ_ij P_ij · cost_ij   over P ≥ 0 with row sums r and column sums q

    Without a cost every move costs 1 (the 0/1 metric), and the distance is the total variation ½ Σ_j |r_j − q_j|.
    With a cost the minimum is approached by entropic regularisation: P = exp(u_i + v_j − cost_ij / ε), where a fixed
    number of Sinkhorn iterations in the log-domain finds u and v (Cuturi, "Sinkhorn Distances", NeurIPS 2013; as a
    loss: Frogner et al., "Learning with a Wasserstein Loss", NeurIPS 2015), and the value is the cost of that plan,
    which exceeds W by a little: the less, the smaller ε, and the smaller ε, the more iterations are needed.

    The loss is the mean over the rows that have an annotated label. A row without a positive label has no
    distribution r: its value is 0. Since q is a softmax, the loss trains which labels are most probable in a text, not
    how many there are. Targets may be soft.

    Args:
        cost: ``C`` rows of ``C`` non-negative numbers, cost of moving mass from label i (target) to label j
            (prediction); ``None`` = 0/1.
        regularization: ε > 0, in the unit of the cost; used with a cost only.
        iterations: Number of Sinkhorn iterations; used with a cost only.

    Raises:
        ValueError: A cost that is not square, negative or not finite, settings that are not positive, or (when
            called) a cost for another number of labels.

    Example:
        >>> WassersteinLoss()(torch.zeros(1, 4), torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
        tensor(0.5000)
    """

    cost: Tensor | None

    def __init__(
        self,
        cost: Sequence[Sequence[float]] | Tensor | None = None,
        regularization: float = 0.05,
        iterations: int = 100,
    ) -> None:
        super().__init__()
        matrix = None if cost is None else torch.as_tensor(cost, dtype=torch.float32).detach().clone()
        if matrix is not None:
            if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
                raise ValueError(f"cost must be square, one row and one column per label, found {tuple(matrix.shape)}")
            if not ((matrix >= 0) & matrix.isfinite()).all():
                raise ValueError(f"costs must be finite and not negative, found {matrix.tolist()}")
        if regularization <= 0:
            raise ValueError(f"regularization must be positive, found {regularization}")
        if iterations < 1:
            raise ValueError(f"iterations must be at least 1, found {iterations}")
        self.register_buffer("cost", matrix, persistent=False)
        self.regularization = regularization
        self.iterations = iterations

    def _per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        if self.cost is not None and len(self.cost) != logits.shape[1]:
            raise ValueError(f"a cost for {len(self.cost)} labels and logits of {logits.shape[1]}")
        log_prediction = logits.masked_fill(~mask, _LOG_ZERO).log_softmax(-1)
        has_positive = (targets > 0).any(-1)
        # Rows without positives get some distribution, so that Sinkhorn meets none of mass 0; they are put to 0 below.
        target = F.normalize(torch.where(has_positive[:, None], targets, 1.0), p=1, dim=-1)
        if self.cost is None:
            distance = 0.5 * ((target - log_prediction.exp()) * mask).abs().sum(-1)
        else:
            distance = self._transport(target, log_prediction, self.cost.to(logits.dtype))
        return distance * has_positive

    def _transport(self, target: Tensor, log_prediction: Tensor, cost: Tensor) -> Tensor:
        """Cost of the regularised plan, ``(N,)``, between rows of two ``(N, C)`` distributions."""
        kernel = -cost / self.regularization
        log_target = torch.where(target > 0, target, 1.0).log().masked_fill(target <= 0, _LOG_ZERO)
        v = log_prediction  # any start will do that gives no mass to labels without annotation
        for _ in range(self.iterations):
            u = log_target - torch.logsumexp(kernel + v[:, None, :], dim=2)
            v = log_prediction - torch.logsumexp(kernel + u[:, :, None], dim=1)
        plan = torch.exp(u[:, :, None] + v[:, None, :] + kernel)
        return (plan * cost).sum((1, 2))
