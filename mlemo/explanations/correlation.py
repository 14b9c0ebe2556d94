"""How labels go together in gold and in prediction, and how well the two agree."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.stats import pearsonr
from torch import Tensor

from mlemo.callbacks.figures import label_correlation
from mlemo.predictions import Predictions

__all__ = ["CorrelationAgreement", "correlation_agreement"]


@dataclass(frozen=True)
class CorrelationAgreement:
    """Correlation of labels in gold and in prediction.

    Args:
        gold: ``(C, C)`` Pearson correlation of the gold labels; NaN where a label does not vary.
        predicted: The same of the decided labels.
        pairs: Pairs of labels whose correlation is known in both.
        r: Pearson correlation of the two matrices over these pairs; ``None`` with fewer than three, or no variation.
        p: Its two-sided p-value, which takes the pairs as independent, though pairs that share a label are not.
    """

    gold: Tensor
    predicted: Tensor
    pairs: int
    r: float | None
    p: float | None

    def describe(self) -> str:
        """r, p and the number of pairs in words."""
        if self.r is None or self.p is None:
            return f"no Pearson r: it needs three pairs of labels with varying correlations, found {self.pairs} pairs"
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return f"Pearson r = {self.r:.3f}, {p}, over {self.pairs} pairs of labels"


def correlation_agreement(predictions: Predictions) -> CorrelationAgreement:
    """Correlation of labels over the samples, gold and predicted, and Pearson's r between the two matrices.

    As in Fig. 7 of Alrasheedy et al. (Electronics 2026), over the entries off the diagonal; the matrices are symmetric,
    so each pair of labels counts once.
    """
    gold = label_correlation(predictions.gold.double(), predictions.mask)
    predicted = label_correlation(predictions.decided.double(), predictions.mask)
    first, second = torch.triu_indices(len(gold), len(gold), offset=1)
    pairs = torch.stack([gold[first, second], predicted[first, second]])
    pairs = pairs[:, pairs.isfinite().all(0)]
    count = pairs.shape[1]
    if count < 3 or bool((pairs.std(1) < 1e-12).any()):
        return CorrelationAgreement(gold, predicted, count, None, None)
    found = pearsonr(*pairs.numpy())
    return CorrelationAgreement(gold, predicted, count, float(found.statistic), float(found.pvalue))
