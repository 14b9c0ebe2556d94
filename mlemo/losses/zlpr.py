"""ZLPR: a log-sum-exp of all positive and of all negative labels of a sample, both compared with zero."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.base import SamplewiseLoss
from mlemo.losses.log_sum_exp import log_sum_exp

__all__ = ["ZLPRLoss"]


class ZLPRLoss(SamplewiseLoss):
    """Zero-bounded log-sum-exp and pairwise rank-based loss.

    With logits x and targets y of a sample, its loss is

        log(1 + Σ_c (1 − y_c) exp(x_c)) + log(1 + Σ_c y_c exp(−x_c))

    over its annotated labels: positive labels are ranked above negative ones and above 0, negative ones below 0, so
    that predictions are the positive logits. Su et al., "ZLPR: A Novel Loss for Multi-label Classification" (2022),
    with the soft version of the paper for targets between 0 and 1.

    Example:
        >>> import torch
        >>> ZLPRLoss()(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]))  # ln 3 + ln 2
        tensor(1.7918)
    """

    def _per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        negative = log_sum_exp(logits, (1 - targets) * mask, dim=1)
        positive = log_sum_exp(-logits, targets * mask, dim=1)
        return F.softplus(negative) + F.softplus(positive)
