"""Two-way loss: positives above negatives among the labels of a sample, and among the samples of a label."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.base import BatchLoss, masked_mean
from mlemo.losses.log_sum_exp import log_sum_exp

__all__ = ["TwoWayLoss"]


class TwoWayLoss(BatchLoss):
    """Comparison of positives with negatives along the rows and along the columns of the batch.

    With logits x, the positive entries P and the negative entries N of one sample (or of one label), its value is

        softplus(T⁻ log Σ_{n ∈ N} exp(x_n / T⁻) + T⁺ log Σ_{p ∈ P} exp(−x_p / T⁺))

    and the loss is the mean over the samples with a positive label plus the mean over the labels with a positive
    sample. Kobayashi, "Two-way Multi-Label Loss" (CVPR 2023). Soft targets weigh the exponentials by y and 1 − y.
    The value of a label has a sum over samples in its logarithm, so that it grows with the batch.

    Args:
        positive_temperature: T⁺ > 0; a high one spreads the gradient over all positives, not the lowest alone.
        negative_temperature: T⁻ > 0.
        gather: See `BatchLoss`.

    Raises:
        ValueError: A temperature that is not positive.

    Example:
        >>> import torch
        >>> TwoWayLoss()(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))  # ln 2 of the sample; no label has negatives
        tensor(0.6931)
    """

    def __init__(
        self, positive_temperature: float = 4.0, negative_temperature: float = 1.0, gather: bool = False
    ) -> None:
        super().__init__(gather)
        if not (positive_temperature > 0 and negative_temperature > 0):
            raise ValueError(f"temperatures must be positive, found {positive_temperature} and {negative_temperature}")
        self.positive_temperature, self.negative_temperature = positive_temperature, negative_temperature

    def _batch_loss(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        of_samples, of_labels = (self._one_way(logits, targets * mask, (1 - targets) * mask, dim) for dim in (1, 0))
        return of_samples + of_labels

    def _one_way(self, logits: Tensor, positive: Tensor, negative: Tensor, dim: int) -> Tensor:
        above = log_sum_exp(logits / self.negative_temperature, negative, dim) * self.negative_temperature
        below = log_sum_exp(-logits / self.positive_temperature, positive, dim) * self.positive_temperature
        return masked_mean(F.softplus(above + below), (positive > 0).any(dim))
