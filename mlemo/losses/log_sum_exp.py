"""Logarithms of weighted sums of exponentials."""

from __future__ import annotations

from torch import Tensor

__all__ = ["log_sum_exp"]

# The logarithm of a weight of 0: small enough to vanish beside any logit, and finite, so that no gradient is NaN.
_NOTHING = -1e6


def log_sum_exp(values: Tensor, weights: Tensor, dim: int) -> Tensor:
    """``log Σ w exp(v)`` along a dimension; about −10⁶ where all weights are 0.

    Args:
        values: v, floating point.
        weights: w ≥ 0, of the same shape, without gradient.
        dim: The dimension of the sum.

    Returns:
        As ``values``, without ``dim``.

    Example:
        >>> import torch
        >>> log_sum_exp(torch.tensor([0.0, 0.0, 50.0]), torch.tensor([1.0, 1.0, 0.0]), dim=0)  # ln 2
        tensor(0.6931)
    """
    return (values + weights.log().clamp(min=_NOTHING)).logsumexp(dim)
