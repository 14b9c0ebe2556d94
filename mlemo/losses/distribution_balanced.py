"""Distribution-balanced loss: weights that know of co-occurrence, and less pressure on negatives."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.positive_rates import RateLoss

__all__ = ["DistributionBalancedLoss"]


class DistributionBalancedLoss(RateLoss):
    """Rebalanced weighting and negative-tolerant regularization of binary cross-entropy.

    With π_c the share of positives of class c in the training split (`positive_rates`) and z_c = x_c + κ log(π_c /
    (1 − π_c)), each entry of a sample with targets y is

        r̂_c · [y_c log(1 + exp(−z_c)) + (1 − y_c) / λ · log(1 + exp(λ z_c))]
        r̂_c = α + σ(β (r_c − μ)),    r_c = (1/π_c) / Σ_i (y_i / π_i)

    r_c is the probability of drawing the sample for class c, if each class is drawn equally often, over that of drawing
    it for any of its labels: a frequent label of a sample that is there for a rare one weighs less. A sample without
    labels has r̂ = α + 1, the limit. Wu et al., "Distribution-Balanced Loss for Multi-Label Classification in
    Long-Tailed Datasets" (ECCV 2020), without its optional focal factor. Targets may be soft.

    Args:
        alpha: α ≥ 0, the least weight.
        beta: β > 0, the slope of the weight in r.
        mu: μ, the r of the middle weight.
        negative_scale: λ ≥ 1, how fast the pressure on negatives ends below z = 0.
        bias_scale: κ ≥ 0, the share of the prior log-odds in z.

    Raises:
        ValueError: Settings outside these ranges.

    Example:
        >>> import torch
        >>> loss = DistributionBalancedLoss()
        >>> loss(torch.zeros(1, 1), torch.ones(1, 1))  # (0.1 + σ(10 · (1 − 0.2))) · ln 2
        tensor(0.7622)
    """

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 10.0,
        mu: float = 0.2,
        negative_scale: float = 2.0,
        bias_scale: float = 0.05,
    ) -> None:
        super().__init__()
        if not (alpha >= 0 and beta > 0 and bias_scale >= 0):
            raise ValueError(
                "alpha and bias_scale must not be negative and beta must be positive, found "
                f"{alpha}, {bias_scale} and {beta}"
            )
        if not negative_scale >= 1:
            raise ValueError(f"negative_scale must be at least 1, found {negative_scale}")
        self.alpha, self.beta, self.mu = alpha, beta, mu
        self.negative_scale, self.bias_scale = negative_scale, bias_scale

    def _elementwise(self, logits: Tensor, targets: Tensor) -> Tensor:
        rates = self._rates(logits)
        ratio = (1 / rates) / (targets / rates).sum(1, keepdim=True)  # infinite without labels, where the sigmoid is 1
        weights = self.alpha + (self.beta * (ratio - self.mu)).sigmoid()
        z = logits + self.bias_scale * rates.logit()
        negative = F.softplus(self.negative_scale * z) / self.negative_scale
        return weights * (targets * F.softplus(-z) + (1 - targets) * negative)
