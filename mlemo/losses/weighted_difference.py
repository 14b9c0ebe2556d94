"""The weighted difference loss (WDL): binary cross-entropy, a ratio loss and losses on differences between labels.

The closed form behind ``permutation="exact"``
----------------------------------------------
Let e = r̂ − r be the error of the ratios of one sample over M labels, with mean μ and population variance
V = mean((e − μ)²), and let π be a uniformly random order of the labels. Differences are linear, so entry i of the
error of the d-th difference along π is

    Δᵈe[i] = Σ_k c_k · e[π(i + k)],   k = 0 … d,   c_k = (−1)^(d − k) · C(d, k)

with, for d ≥ 1,

    Σ_k c_k = (1 − 1)^d = 0   and   Σ_k c_k² = Σ_k C(d, k)² = C(2d, d)   (Vandermonde's identity).

The labels in the places i … i + d are drawn without replacement. Hence each has expectation μ and variance
V, and any two of them have the same covariance γ. The sum over all M places is Mμ whatever the order, so its variance
M·V + M·(M − 1)·γ is 0, and γ = −V / (M − 1). Therefore

    E[Δᵈe[i]]  = μ · Σ_k c_k = 0
    E[Δᵈe[i]²] = V · Σ_k c_k² + γ · Σ_{k≠l} c_k c_l
               = V · C(2d, d) + γ · ((Σ_k c_k)² − Σ_k c_k²)
               = C(2d, d) · M / (M − 1) · V

which does not depend on i: it is also the expectation of the mean over the M − d entries,

    E_π[MSE(Δᵈr̂, Δᵈr)] = C(2d, d) · M / (M − 1) · Var(e).

Where the sample has a positive label, both ratio vectors sum to 1, so μ = 0 and Var(e) = mean(e²): in expectation
every order of difference is a fixed multiple of the ratio loss MSE(r̂, r). Where it has none, r = 0, Σ_m e[m] = 1 and
Var(e) = mean(e²) − 1/M². Within groups of siblings the same holds for each group, with its own size, mean and
variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlemo.losses.base import MultiTermLoss, check_inputs
from mlemo.losses.weighting import ComponentWeights, Weighting

__all__ = ["WeightedDifferenceLoss"]


class WeightedDifferenceLoss(MultiTermLoss):
    """Weighted difference loss: which labels apply, in which proportion, and how the proportion changes between labels.

        L = w_bce · BCE(x, y) + Σ_{d=0..D} w_d · MSE(Δᵈr̂, Δᵈr)

        r = y / Σy  (all zero where no label is positive),   r̂ = softmax(x)
        Δ⁰r = r,   Δᵈr[i] = Δᵈ⁻¹r[i + 1] − Δᵈ⁻¹r[i]   along an order of the labels

    Hu et al., "A weighted difference loss approach for enhancing multi-label classification" (Scientific Reports
    2025), eq. 1–3. The components are named ``bce``, ``d0`` (ratios), ``d1``, …, ``dD``. BCE and ratios average over
    the annotated entries of the batch, the d-th difference over its M − d entries of every row. Labels that are not
    annotated carry no mass in r and r̂ and are taken out of the order before differences are formed, so that M is the
    number of annotated labels of the row; a row with M ≤ d has no entries of order d. Targets may be soft.

    **The order of the labels.** ``permutation="sampled"`` takes differences along the given ``label_order``, as in
    the paper. ``permutation="exact"`` uses their expectation over all orders instead,

        E[MSE(Δᵈr̂, Δᵈr)] = C(2d, d) · M / (M − 1) · Var(r̂ − r),

    derived in the docstring of this module: no shuffled copies, no sampling noise, and any order D costs the same.

    **The weights** are ``fixed``, or learnt by gradient descent (`weight_parameters`): ``softmax`` as printed in the
    paper, which lets w_bce fade because squared errors of ratios are far smaller than cross-entropies; ``monotone``
    with w_bce = 1, w_0 ≥ w_1 ≥ … ≥ w_D ≥ 0 and Σ_d w_d = D + 1; ``uncertainty``, near the inverse of each component.
    `ComponentWeights` has the formulas.

    Args:
        order: D ≥ 0, the highest order of differences; must be below the number of labels.
        weighting: Where the weights come from.
        permutation: Differences along the given order, or their expectation over all orders.
        groups: Columns of sibling labels; differences are then formed inside a group only (ratios stay over all
            labels). A group of m labels has m − d entries of order d, none if m ≤ d; a label in no group has no
            differences.
        fixed_weights: D + 2 non-negative weights in the order of the components; for ``weighting="fixed"``.
        adaptive_order: Whether a row takes part in order d only if it has at least d positive labels. A row with few
            positive labels has little structure that high orders could describe; one with none is judged by ``bce``
            and ``d0``.

    Raises:
        ValueError: Settings outside these ranges; groups that share a label or are all too small for the order.

    Example:
        >>> loss = WeightedDifferenceLoss(order=1, weighting="fixed")
        >>> logits, targets = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
        >>> {name: round(value.item(), 4) for name, value in loss.components(logits, targets).items()}
        {'bce': 0.6931, 'd0': 0.25, 'd1': 1.0}
        >>> round(loss(logits, targets).item(), 4)
        1.9431
    """

    group_labels: Tensor
    group_numbers: Tensor

    def __init__(
        self,
        order: int = 1,
        weighting: Weighting = "monotone",
        permutation: Literal["sampled", "exact"] = "sampled",
        groups: Sequence[Sequence[int]] | None = None,
        *,
        fixed_weights: Sequence[float] | None = None,
        adaptive_order: bool = False,
    ) -> None:
        super().__init__()
        if order < 0:
            raise ValueError(f"order must not be negative, found {order}")
        if permutation not in ("sampled", "exact"):
            raise ValueError(f"permutation must be sampled or exact, found {permutation!r}")
        self.order = order
        self.permutation = permutation
        self.adaptive_order = adaptive_order
        self.names = ("bce", *(f"d{d}" for d in range(order + 1)))
        self._set_groups(groups)
        self.component_weights = ComponentWeights(len(self.names), weighting, fixed_weights)

    def _set_groups(self, groups: Sequence[Sequence[int]] | None) -> None:
        self.groups = None if groups is None else tuple(tuple(group) for group in groups)
        labels = [label for group in self.groups or () for label in group]
        if self.groups is not None:
            if not all(self.groups) or len(set(labels)) != len(labels) or min(labels, default=-1) < 0:
                raise ValueError(f"groups must be disjoint, non-empty sets of label columns, found {self.groups}")
            largest = max(len(group) for group in self.groups)
            if self.order >= largest:
                raise ValueError(
                    f"differences of order {self.order} need a group of more labels; the largest has {largest}"
                )
        numbers = [number for number, group in enumerate(self.groups or ()) for _ in group]
        self.register_buffer("group_labels", torch.tensor(labels, dtype=torch.long), persistent=False)
        self.register_buffer("group_numbers", torch.tensor(numbers, dtype=torch.long), persistent=False)

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        label_order: Tensor | None = None,
        sample_weights: Tensor | None = None,
        **context: Any,
    ) -> Tensor:
        """Weighted sum of the components; see `Loss.forward` for what is not listed.

        Args:
            logits: ``(N, C)`` in canonical label order, whatever ``label_order`` is; so are ``targets`` and ``mask``.
            targets: ``(N, C)``.
            mask: ``(N, C)``.
            label_order: The label at each place of the order that differences follow, ``(N, C)`` long,
                or ``(K, N, C)`` for K orders of the same rows, averaged; ``None`` = canonical. Unused by
                ``permutation="exact"``.
            sample_weights: Factor on the contribution of every row, ``(N,)``, or of every row to every component,
                ``(N, D + 2)``; the averages still divide by the number of entries.
            context: Ignored.

        Returns:
            Scalar.

        Raises:
            ValueError: Also where the order is not below the number of labels, a group names a column that is not
                there, or ``label_order`` or ``sample_weights`` have a wrong shape.
        """
        values, present = self._values(logits, targets, mask, label_order, sample_weights)
        self.last_components = dict(zip(self.names, values.detach(), strict=True))
        return (self.component_weights() * values).sum() + self.component_weights.penalty(present)

    def components(
        self,
        logits: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        label_order: Tensor | None = None,
        sample_weights: Tensor | None = None,
        **context: Any,
    ) -> dict[str, Tensor]:
        """The components before weighting, ``{"bce", "d0", "d1", …}``; arguments as in `forward`."""
        values, _ = self._values(logits, targets, mask, label_order, sample_weights)
        return dict(zip(self.names, values, strict=True))

    def weights(self) -> dict[str, Tensor]:
        """Present weights, detached, under the names of the components."""
        return dict(zip(self.names, self.component_weights().detach(), strict=True))

    def weight_parameters(self) -> list[nn.Parameter]:
        """The raw weights u or s; none for ``weighting="fixed"``."""
        return list(self.component_weights.parameters())

    def _values(
        self,
        logits: Tensor,
        targets: Tensor,
        mask: Tensor | None,
        label_order: Tensor | None,
        sample_weights: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Value of every component, ``(D + 2,)``, and whether the batch has entries for it, ``(D + 2,)`` bool."""
        logits, targets, mask = check_inputs(logits, targets, mask)
        self._check(logits, label_order, sample_weights)
        # Every component is, for each row, a sum of squares (or entropies) and a number of entries: lists of (N,).
        entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * mask
        floor = torch.finfo(logits.dtype).min  # finite: a row without annotated labels must not become NaN
        predicted_ratios = logits.masked_fill(~mask, floor).softmax(-1)
        error = (predicted_ratios - F.normalize(targets, p=1, dim=-1)) * mask
        sums = [entropy.sum(-1), error.square().sum(-1)]
        counts = [mask.sum(-1), mask.sum(-1)]
        if self.order > 0:
            differences = self._expected_differences if self.permutation == "exact" else self._sampled_differences
            for row_sums, row_counts in differences(error, self._group_of(mask), label_order):
                sums.append(row_sums)
                counts.append(row_counts)
        total, entries = torch.stack(sums), torch.stack(counts).to(logits.dtype)
        if self.adaptive_order:
            orders = torch.arange(-1, self.order + 1, device=logits.device)  # BCE first, which is no order
            used = orders[:, None] <= (targets > 0).sum(-1)
            total, entries = total * used, entries * used
        if sample_weights is not None:
            total = total * (sample_weights if sample_weights.ndim == 1 else sample_weights.T)
        number = entries.sum(1)
        return total.sum(1) / number.clamp(min=1), number > 0

    def _check(self, logits: Tensor, label_order: Tensor | None, sample_weights: Tensor | None) -> None:
        rows, labels = logits.shape
        if self.order >= labels:
            raise ValueError(f"differences of order {self.order} need more than {self.order} labels, found {labels}")
        if self.groups is not None and max(map(max, self.groups)) >= labels:
            raise ValueError(f"groups {self.groups} name columns beyond the {labels} labels of the logits")
        if label_order is not None and (label_order.ndim not in (2, 3) or label_order.shape[-2:] != logits.shape):
            raise ValueError(
                f"label_order has shape {tuple(label_order.shape)}, expected {(rows, labels)} or (K, {rows}, {labels})"
            )
        if label_order is not None and label_order.dtype != torch.long:
            raise ValueError(f"label_order must be long, found {label_order.dtype}")
        if sample_weights is not None and sample_weights.shape not in ((rows,), (rows, len(self.names))):
            raise ValueError(
                f"sample_weights have shape {tuple(sample_weights.shape)}, "
                f"expected {(rows,)} or {(rows, len(self.names))}"
            )

    def _group_of(self, mask: Tensor) -> Tensor:
        """Number of the group of every label, ``(N, C)``; `_outside` for labels without group or annotation."""
        ungrouped = 0 if self.groups is None else self._outside
        group = torch.full((mask.shape[1],), ungrouped, device=mask.device)
        return torch.where(mask, group.index_copy(0, self.group_labels, self.group_numbers), self._outside)

    @property
    def _outside(self) -> int:
        return 1 if self.groups is None else len(self.groups)

    def _sampled_differences(
        self, error: Tensor, group: Tensor, label_order: Tensor | None
    ) -> list[tuple[Tensor, Tensor]]:
        """Sums of squared differences along the order and their numbers, for orders 1 … D."""
        rows, labels = error.shape
        if label_order is None:
            label_order = torch.arange(labels, device=error.device).expand(rows, labels)
        if label_order.ndim == 2:
            label_order = label_order[None]
        error, group = error.expand(label_order.shape), group.expand(label_order.shape)
        # A stable sort brings siblings together in their order, and the labels outside of all groups to the end.
        place = group.gather(-1, label_order).argsort(dim=-1, stable=True)
        label_order = label_order.gather(-1, place)
        error, group = error.gather(-1, label_order), group.gather(-1, label_order)
        results = []
        for d in range(1, self.order + 1):
            error = error.diff(dim=-1)
            inside = (group[..., d:] == group[..., :-d]) & (group[..., d:] < self._outside)
            results.append(((error.square() * inside).sum((0, 2)), inside.sum((0, 2))))
        return results

    def _expected_differences(
        self, error: Tensor, group: Tensor, label_order: Tensor | None
    ) -> list[tuple[Tensor, Tensor]]:
        """Expectation of what `_sampled_differences` returns over all orders: C(2d, d) · m / (m − 1) · Var an entry."""
        member = group[:, None, :] == torch.arange(self._outside, device=group.device)[:, None]  # (N, groups, C)
        size = member.sum(-1)
        mean = (error[:, None, :] * member).sum(-1) / size.clamp(min=1)
        squares = ((error[:, None, :] - mean[..., None]).square() * member).sum(-1)
        variance = squares / (size - 1).clamp(min=1)  # m / (m − 1) · Var
        results = []
        for d in range(1, self.order + 1):
            entries = (size - d).clamp(min=0)
            results.append(((math.comb(2 * d, d) * variance * entries).sum(1), entries.sum(1)))
        return results
