"""Correlation of labels in gold and predictions, and the agreement of the two."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.stats import pearsonr
from torch import Tensor

from mlemo.callbacks.label_figures import MOST_LABELS, label_correlation, most_positive, which_labels
from mlemo.runs.predictions import Predictions

__all__ = ["MOST_PAIRED", "CorrelationAgreement", "correlation_agreement"]

#: Largest number of labels whose pairs are all compared and written: 79,800 pairs. 10,000 labels have 50 million.
MOST_PAIRED = 400


@dataclass(frozen=True)
class CorrelationAgreement:
    """Correlation of labels in gold and predictions.

    Args:
        gold: ``(K, K)`` Pearson correlation of the gold labels; NaN for constant labels.
        predicted: The same for the decided labels.
        pairs: Number of pairs of labels with both correlations.
        r: Pearson correlation of the two matrices over these pairs; ``None`` with fewer than three, or no variation.
        p: Its two-sided p-value, which assumes independent pairs, although pairs that share a label are not.
        names: The K labels, at most `MOST_PAIRED`, in the order of the label space.
        drawn: Indices of the labels in the picture, at most `MOST_LABELS`.
        of: Number of all labels.
    """

    gold: Tensor
    predicted: Tensor
    pairs: int
    r: float | None
    p: float | None
    names: tuple[str, ...]
    drawn: tuple[int, ...]
    of: int

    @property
    def shown(self) -> tuple[list[str], Tensor, Tensor]:
        """Return names and both matrices of the labels in the picture."""
        places = list(self.drawn)
        return [self.names[place] for place in places], self.gold[places][:, places], self.predicted[places][:, places]

    def describe(self) -> str:
        """Describe r, p and the number of pairs."""
        if self.r is None or self.p is None:
            return f"no Pearson r: it needs three pairs of labels with varying correlations, found {self.pairs} pairs"
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        which = which_labels(len(self.names), self.of)
        return f"Pearson r = {self.r:.3f}, {p}, over {self.pairs} pairs of {which or 'labels'}"


def correlation_agreement(predictions: Predictions) -> CorrelationAgreement:
    """Compute the correlation of gold and of predicted labels, and Pearson's r between the two matrices.

    As in Fig. 7 of Alrasheedy et al. (Electronics 2026), over the entries off the diagonal; the matrices are symmetric,
    so each pair of labels counts once. Of many labels, the `MOST_PAIRED` with the most positives are used.
    """
    positives = predictions.gold.sum(0)
    labels = most_positive(positives, MOST_PAIRED)
    names = tuple(predictions.label_space.names[label] for label in labels.tolist())
    drawn = tuple(most_positive(positives[labels], MOST_LABELS).tolist())
    mask, of = predictions.mask[:, labels], len(predictions.label_space)
    gold = label_correlation(predictions.gold[:, labels].double(), mask)
    predicted = label_correlation(predictions.decided[:, labels].double(), mask)
    first, second = torch.triu_indices(len(gold), len(gold), offset=1)
    pairs = torch.stack([gold[first, second], predicted[first, second]])
    pairs = pairs[:, pairs.isfinite().all(0)]
    count = pairs.shape[1]
    if count < 3 or bool((pairs.std(1) < 1e-12).any()):
        return CorrelationAgreement(gold, predicted, count, None, None, names, drawn, of)
    found = pearsonr(*pairs.numpy())
    return CorrelationAgreement(gold, predicted, count, float(found.statistic), float(found.pvalue), names, drawn, of)
