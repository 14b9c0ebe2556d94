"""A decision rule with a guaranteed false-negative rate."""

from __future__ import annotations

import torch
from torch import Tensor

from mlemo.thresholds.base import PerClassRule
from mlemo.thresholds.search import TIE

__all__ = ["ConformalRiskControl"]


class ConformalRiskControl(PerClassRule):
    """One threshold for all labels, such that at most a share ``alpha`` of a sample's labels is missed on average.

    The loss of sample i is its false-negative rate, L_i(t) = |{c: y_ic = 1, p_ic < t}| / |{c: y_ic = 1}|, which is at
    most B = 1 and grows with t. The threshold is the largest t with

        n / (n + 1) · R̂(t) + B / (n + 1) ≤ α,    R̂(t) = 1/n Σ_i L_i(t)

    (Angelopoulos et al. 2022, λ̂ with λ = 1 − t), which is one of the scores of the positives.

    **Guarantee** (their theorem 1): E[L(t)] ≤ α for a new sample, over the draw of the samples of the fit and of the
    new one, if these n + 1 samples are exchangeable (for example drawn independently from one population). Scores may
    be uncalibrated, and labels dependent. It is a mean over draws, not a statement on one fitted threshold, on a label
    or on a group of samples. For independent samples with continuous scores, E[L(t)] ≥ α − 2 / (n + 1) (theorem 2).

    **Where it does not hold**: the data of the fit also trained the model or selected it (the epoch with the best score
    on validation: exchangeability holds approximately), new texts come from elsewhere, or the rule is in a
    :class:`Calibrated` with one map per label, fitted on the same data.

    Samples without annotated positives, whose rate is not defined, are left out of n and of the guarantee; with a rate
    of 0 for them it holds for all samples, too. Not annotated entries count neither as positive nor as missed. Fewer
    than 1 / α − 1 samples with positives allow no threshold but 0, under which every label is predicted.

    O(P log P) for P positives.

    Args:
        alpha: Largest expected false-negative rate, between 0 and 1.

    Raises:
        ValueError: ``alpha`` is not between 0 and 1.

    Example:
        >>> scores = torch.tensor([[0.9, 0.3], [0.8, 0.1], [0.2, 0.7], [0.6, 0.5]])
        >>> ConformalRiskControl(0.5).fit(scores, (scores > 0.4).int()).thresholds()
        tensor([0.7000, 0.7000])
    """

    def __init__(self, alpha: float = 0.1) -> None:
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, found {alpha}")
        self.alpha = alpha

    def _fit_thresholds(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        positives = targets.sum(dim=1)
        samples = int((positives > 0).sum())
        largest = self.alpha * (samples + 1) - 1  # of the sum of the losses
        scores, order = probabilities[targets].sort()
        shares = (1 / positives.double())[:, None].expand(targets.shape)[targets][order]
        lost = shares.cumsum(dim=0) - shares  # with the threshold at this score; within a tie, at its first entry
        allowed = int((lost <= largest + TIE * samples).sum())
        return torch.full((probabilities.shape[1],), scores[allowed - 1].item() if allowed else 0.0)

    def describe(self) -> str:
        """Describe the rule in one line, for tables of results."""
        return f"false-negative rate of at most {self.alpha:g} (conformal)"
