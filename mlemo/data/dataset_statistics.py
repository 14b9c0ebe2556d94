"""The figures by which multi-label datasets are described."""

from __future__ import annotations

from dataclasses import dataclass

from mlemo.data.corpus import Corpus
from mlemo.samplers import mean_ir

__all__ = ["DatasetStatistics", "statistics"]


@dataclass(frozen=True)
class DatasetStatistics:
    """How large and how imbalanced a multi-label dataset is.

    Args:
        n: Rows.
        d: Inputs.
        q: Labels.
        card: Label cardinality, mean number of labels a row.
        dens: Label density, ``card / q``.
        mean_ir: Mean over the labels that occur of (count of the most frequent label) / (count of the label).
    """

    n: int
    d: int
    q: int
    card: float
    dens: float
    mean_ir: float


def statistics(corpus: Corpus) -> DatasetStatistics:
    """Size, label cardinality, label density and mean imbalance ratio of a tabular corpus.

    Args:
        corpus: With features, and at least one label on.

    Raises:
        ValueError: A text corpus, or one in which no label occurs.

    Reference:
        Charte et al., *Addressing Imbalance in Multilabel Classification*, Neurocomputing 2015 (MeanIR).

    Example:
        >>> import torch
        >>> from mlemo.labels import LabelSpace
        >>> labels = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
        >>> statistics(Corpus(LabelSpace(("a", "b")), labels, list("1234"), features=torch.zeros(4, 3)))
        DatasetStatistics(n=4, d=3, q=2, card=0.75, dens=0.375, mean_ir=1.5)
    """
    if corpus.features is None:
        raise ValueError("statistics of a text corpus: it has no inputs to count, expected a corpus with features")
    n, q = corpus.labels.shape
    card = float(corpus.labels.double().sum()) / n
    return DatasetStatistics(n, corpus.features.shape[1], q, card, card / q, mean_ir(corpus.labels))
