"""Densities of codes per label: a neural autoregressive flow shared by all labels and conditioned on the label."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

__all__ = ["LabelFlow"]

TINY = 1e-30  # keeps density and gradient finite where all sigmoids underflow


class LabelFlow(nn.Module):
    """Compute ``log p_k(c)`` of codes c ∈ R^D for each label k, by two invertible maps to a standard normal.

    The first map is a deep sigmoidal flow (Huang et al. 2018), for each dimension d

        y_d = logit Σ_u w_u σ(a_u c_d + b_u),   a_u > 0, Σ_u w_u = 1,

    with a, b and w from a masked network with the inputs ``c_1 … c_{d−1}`` and the label; the second is an affine map
    per label, ``n = (y − m_k) s_k``. The masked network's first layer is the same for all labels, and computed once.

    Args:
        labels: C.
        width: D.
        hidden: Hidden units of the masked network, of which each dimension's parameters depend on ``3 · (hidden // D)``
            combinations, at least three (the code behind the adaptive batch selection paper has none where D > hidden).
        units: Number of sigmoid units per dimension.
        entries: Largest number of entries of a ``D × units × labels × B`` tensor at a time; more are computed in parts,
            and again in the backward pass, so that memory is bounded.
    """

    undecayed = ("shift", "raw_scale")  #: without them the affine map is not the identity

    input_mask: Tensor
    output_mask: Tensor

    def __init__(self, labels: int, width: int, hidden: int = 128, units: int = 8, entries: int = 2**23) -> None:
        super().__init__()
        self.width, self.units, self.entries = width, units, entries
        self.seen = 3 * max(1, hidden // width)
        place = torch.arange(width)
        # A hidden unit of degree g depends on c_0 … c_{g-1}; dimension d depends on units of degree at most d.
        degree = torch.arange(hidden) % max(1, width - 1) + min(1, width - 1)
        self.register_buffer("input_mask", (place < degree[:, None]).float(), persistent=False)
        reads = degree <= place.repeat_interleave(self.seen)[:, None]
        self.register_buffer("output_mask", reads.float(), persistent=False)
        self.first = nn.Linear(width, hidden)
        self.label_bias = nn.Parameter(0.01 * torch.randn(labels, hidden))
        self.second = nn.Linear(hidden, width * self.seen)
        self.parameters_of_units = nn.Linear(self.seen, 3 * units)
        self.shift = nn.Parameter(torch.zeros(labels, width))
        self.raw_scale = nn.Parameter(torch.full((labels, width), math.log(math.e - 1)))  # softplus of it is 1
        with torch.no_grad():
            self.parameters_of_units.bias[:units] = math.log(math.e - 1)
            self.parameters_of_units.bias[units : 2 * units] = torch.linspace(-1, 1, units)

    def forward(self, codes: Tensor) -> Tensor:
        """Compute log densities ``(B, C)`` float32 of codes ``(B, D)``."""
        codes = codes.float()
        hidden = F.linear(codes, self.first.weight * self.input_mask, self.first.bias)
        size = max(1, self.entries // (max(1, len(codes)) * self.width * self.units))
        parts = [slice(start, start + size) for start in range(0, len(self.label_bias), size)]
        if len(parts) == 1 or not torch.is_grad_enabled():
            return torch.cat([self._log_density(codes, hidden, part) for part in parts]).T
        return torch.cat([checkpoint(self._log_density, codes, hidden, part, use_reentrant=False) for part in parts]).T

    def _log_density(self, codes: Tensor, hidden: Tensor, part: slice) -> Tensor:
        """Compute log densities ``(labels, B)``."""
        normal, log_slope = self._to_normal(codes, hidden, part)
        return (log_slope - 0.5 * normal.square() - 0.5 * math.log(2 * math.pi)).sum(0)

    def _to_normal(self, codes: Tensor, hidden: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """Map codes to normal variables n; also return ``log ∂n_d / ∂c_d``: ``(D, labels, B)``.

        Labels and samples are the last dimension throughout, so that sums over units have long rows.
        """
        bias = self.label_bias[part]
        states = F.elu(hidden.T[:, None] + bias.T[:, :, None]).flatten(1)  # (hidden, labels · B)
        seen = torch.addmm(self.second.bias[:, None], self.second.weight * self.output_mask, states)
        weights = self.parameters_of_units.weight.expand(self.width, -1, -1)
        seen = seen.unflatten(0, (self.width, self.seen))
        values = torch.baddbmm(self.parameters_of_units.bias[:, None], weights, seen).float()
        slope, offset, weight = values.chunk(3, 1)  # (D, units, labels · B) each
        slope, weight = F.softplus(slope) + 1e-6, weight.softmax(1)
        inner = torch.addcmul(offset, slope, codes.T.repeat(1, len(bias))[:, None])
        on, off = inner.sigmoid(), (-inner).sigmoid()  # 1 - on is inaccurate where on is nearly 1
        weighted = weight * on
        log_on = (weighted.sum(1) + TINY).log()
        log_off = ((weight * off).sum(1) + TINY).log()
        log_slope = ((weighted * off * slope).sum(1) + TINY).log() - log_on - log_off
        shape = (len(bias), len(codes))
        scale = F.softplus(self.raw_scale[part]).T[:, :, None] + 1e-6
        normal = ((log_on - log_off).unflatten(1, shape) - self.shift[part].T[:, :, None]) * scale
        return normal, log_slope.unflatten(1, shape) + scale.log()
