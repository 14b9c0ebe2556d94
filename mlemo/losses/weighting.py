"""Weights between the components of a loss, fixed or learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ComponentWeights", "Weighting"]

Weighting = Literal["fixed", "softmax", "monotone", "uncertainty"]

# Where the weight of a component that is exactly 0 settles is the inverse of this.
_VARIANCE_FLOOR = 1e-6


class ComponentWeights(nn.Module):
    """Weights w of a sum Σ_i w_i L_i of which the first component is the anchor: what the labels themselves say.

    - ``fixed``: as given, or all 1.
    - ``softmax``: w = softmax(u). Descent on Σ_i softmax(u)_i L_i moves the weight to whichever component is
      smallest; the others fade, the anchor too if it is not the smallest.
    - ``monotone``: w_anchor = 1, and the others are cumulative steps from the last one up, v_d = v_{d+1} +
      softplus(u_d), scaled so that their mean is 1; hence w_0 ≥ w_1 ≥ … ≥ w_D ≥ 0. Without the scaling descent would
      lower every step and leave the anchor alone; with it, descent can only move weight between the components,
      towards those of lower loss, and w_0 never falls below 1. At the start w_d is proportional to D + 1 − d.
    - ``uncertainty``: w_i = exp(−s_i), and the sum gains the penalty Σ_i s_i, so that each weight settles near
      1 / L_i. Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics"
      (CVPR 2018), without its factors ½. A term 10⁻⁶ · exp(−s_i) in the penalty lets the weight of a component that
      is exactly 0 settle at 10⁶; without it, it would grow for ever.

    Args:
        size: Number of components, the anchor included; at least 2.
        weighting: Where the weights come from.
        fixed: ``size`` non-negative weights for ``weighting="fixed"``; ``None`` = all 1.

    Raises:
        ValueError: An unknown weighting, weights that are negative or not ``size`` many, or weights for another
            weighting.

    Example:
        >>> ComponentWeights(3, "monotone")()
        tensor([1.0000, 1.3333, 0.6667], grad_fn=<CatBackward0>)
    """

    fixed: Tensor

    def __init__(self, size: int, weighting: Weighting, fixed: Sequence[float] | None = None) -> None:
        super().__init__()
        if weighting not in get_args(Weighting):
            raise ValueError(f"weighting must be one of {', '.join(get_args(Weighting))}, found {weighting!r}")
        self.weighting = weighting
        if weighting == "fixed":
            values = torch.ones(size) if fixed is None else torch.tensor(list(fixed), dtype=torch.float32)
            if len(values) != size or not ((values >= 0) & values.isfinite()).all():
                raise ValueError(f"fixed weights must be {size} non-negative numbers, found {fixed}")
            self.register_buffer("fixed", values, persistent=False)
        elif fixed is not None:
            raise ValueError(f"fixed weights need weighting='fixed', found weighting={weighting!r}")
        else:
            self.raw = nn.Parameter(torch.zeros(size - 1 if weighting == "monotone" else size))

    def forward(self) -> Tensor:
        """The weights, ``(size,)``, in float32 or wider."""
        if self.weighting == "fixed":
            return self.fixed
        raw = self.raw.to(torch.promote_types(self.raw.dtype, torch.float32))
        if self.weighting == "softmax":
            return raw.softmax(0)
        if self.weighting == "uncertainty":
            return torch.exp(-raw)
        steps = F.softplus(raw).flip(0).cumsum(0).flip(0)
        return torch.cat([steps.new_ones(1), steps / steps.mean()])

    def penalty(self, present: Tensor) -> Tensor:
        """What the weights themselves add to the loss: a scalar, 0 unless they are uncertainties.

        Args:
            present: ``(size,)`` bool, whether the batch has entries for the component; one that has none is no reason
                to move its weight.
        """
        if self.weighting != "uncertainty":
            return torch.zeros((), device=present.device)
        return ((self.raw + _VARIANCE_FLOOR * self()) * present).sum()
