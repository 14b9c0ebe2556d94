"""Selective prediction: the risk of the decisions that remain where the least certain ones are left to a person."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mlemo.thresholds.base import check_probabilities, check_targets

__all__ = ["RiskCoverage", "risk_coverage"]


@dataclass(frozen=True)
class RiskCoverage:
    """Risk of the most certain decisions, for every number of them.

    Attributes:
        risk: ``(R, K)`` float64; column k − 1 is the share of wrong decisions among the k most certain ones of a row,
            NaN beyond the annotated ones. A row is a label, or all labels together.
    """

    risk: Tensor

    def at(self, coverage: float) -> Tensor:
        """Return the risk where this share of the decisions is kept, rounded up to whole decisions.

        Args:
            coverage: Share of the annotated decisions, above 0 and at most 1.

        Returns:
            ``(R,)`` float64; NaN for a row without annotated entries.

        Raises:
            ValueError: ``coverage`` is out of range.
        """
        if not 0 < coverage <= 1:
            raise ValueError(f"coverage must lie in (0, 1], found {coverage}")
        counts = self.risk.isfinite().sum(dim=1)
        kept = (counts * coverage - 1e-9).ceil().long().clamp(min=1)
        return self.risk.gather(1, kept[:, None] - 1)[:, 0]

    def area(self) -> Tensor:
        """Return the area under the curve, AURC = 1/n Σ_k risk_k (Geifman et al. 2019), ``(R,)``; NaN if empty."""
        return self.risk.nanmean(dim=1)


def risk_coverage(
    probabilities: Tensor, decisions: Tensor, targets: Tensor, mask: Tensor | None = None, *, pooled: bool = False
) -> RiskCoverage:
    """Compute the risk–coverage curve of each label, or of the decisions for all labels together.

    A decision is as certain as its probability: κ = p where the label is predicted, 1 − p where not. With κ_(1) ≥ κ_(2)
    ≥ … and e = 1 for a wrong decision, the risk at coverage k / n is 1/k Σ_{j ≤ k} e_(j) (El-Yaniv and Wiener 2010);
    at coverage 1 it is the Hamming loss. Decisions that are equally certain count with their mean error, which is the
    expectation over their orders, so that the order of the rows does not matter.

    Which decisions come last depends on the values of the probabilities where labels have different thresholds: use
    calibrated ones (:meth:`mlemo.thresholds.Calibrated.probabilities`) unless the model's are.

    Args:
        probabilities: ``(N, C)`` float in [0, 1].
        decisions: ``(N, C)`` bool, by any rule.
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, ``False`` = not annotated and ignored; ``None`` = all annotated.
        pooled: One curve over all decisions instead of one per label.

    Returns:
        The curves, ``(C, N)``, or ``(1, N · C)`` if pooled, on the CPU.

    Raises:
        ValueError: Wrong shapes, dtypes or values.

    Example:
        >>> probabilities = torch.tensor([[0.9], [0.6], [0.2]])
        >>> curve = risk_coverage(probabilities, probabilities > 0.5, torch.tensor([[1], [0], [0]]))
        >>> curve.risk, curve.at(0.5)
        (tensor([[0.0000, 0.0000, 0.3333]], dtype=torch.float64), tensor([0.], dtype=torch.float64))
    """
    probabilities = check_probabilities(probabilities)
    if decisions.shape != probabilities.shape or decisions.dtype != torch.bool:
        raise ValueError(
            f"decisions must be bool of shape {tuple(probabilities.shape)}, "
            f"found {decisions.dtype} of {tuple(decisions.shape)}"
        )
    truth, known = check_targets(targets, mask, tuple(probabilities.shape))
    certainty = torch.where(decisions, probabilities, 1 - probabilities).masked_fill(~known, -1.0)
    rows = (1, probabilities.numel()) if pooled else probabilities.T.shape
    parts = certainty, (decisions != truth) & known, known
    certainty, wrong, known = (part.cpu().T.contiguous().view(rows) for part in parts)
    uncertainty, order = (-certainty).sort(dim=1)
    zero = torch.zeros(len(uncertainty), 1, dtype=torch.float64)
    errors = torch.cat([zero, wrong.gather(1, order).cumsum(dim=1, dtype=torch.float64)], dim=1)
    first, last = (torch.searchsorted(uncertainty, uncertainty, right=right) for right in (False, True))
    before, tied = errors.gather(1, first), errors.gather(1, last) - errors.gather(1, first)
    count = torch.arange(1, uncertainty.shape[1] + 1)
    risk = (before + tied * (count - first) / (last - first)) / count
    return RiskCoverage(risk.masked_fill(count > known.sum(dim=1, keepdim=True), torch.nan))
