"""Suspected errors of gold labels, by confident learning over probabilities of models that did not see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mlemo.data import Corpus
from mlemo.data.splits import stratified_split
from mlemo.nn.logistic_regression import as_matrix, logistic_regression
from mlemo.nn.tfidf import Tfidf
from mlemo.runs.predictions import Predictions

__all__ = ["cross_fitted_probabilities", "label_errors", "suspected"]

TERMS = 10_000  # of each kind: words and parts of words
ROUNDING = 1e-6  # below a threshold, at which a probability still counts as above


def suspected(gold: Tensor, probabilities: Tensor, mask: Tensor) -> Tensor:
    """Find entries whose gold value a model confidently contradicts (Northcutt et al., JAIR 2021, eq. 1).

    For each label, ``t₁`` is the mean probability p over its positives, and ``t₀`` the mean of 1 − p over its
    negatives: how confident the model is where it agrees with the annotation on average. A negative is suspected if
    ``p ≥ max(t₁, ½)``, and a positive if ``1 − p ≥ max(t₀, ½)``. These are the off-diagonal entries of the confident
    joint of each label against the rest that the model also decides differently.

    Args:
        gold: ``(N, C)`` bool.
        probabilities: ``(N, C)``, of models that were not fitted to the row: test predictions, or cross-fitted ones.
        mask: ``(N, C)`` bool, False = not annotated, never suspected.

    Returns:
        ``(N, C)`` bool. Nothing is suspected for a label without positives or without negatives.
    """
    p = probabilities.double()
    positive, negative = gold & mask, ~gold & mask
    present = (p * positive).sum(0) / positive.sum(0)
    absent = ((1 - p) * negative).sum(0) / negative.sum(0)
    # strict at one half, where the model decides neither; a mean without rows is NaN, and no number is above it
    as_present = (p >= present - ROUNDING) & (p > 0.5)
    as_absent = (1 - p >= absent - ROUNDING) & (p < 0.5)
    return (negative & as_present) | (positive & as_absent)


def label_errors(split: str, predictions: Predictions, texts: Sequence[str] | None) -> pd.DataFrame:
    """Tabulate the suspected entries of a split, the one that the model contradicts most first.

    Args:
        split: Name of the split.
        predictions: Gold labels and probabilities, see `suspected`.
        texts: Texts of the rows, if known.

    Returns:
        Columns ``split``, ``label``, ``annotated`` (present or absent), ``agreement`` (the probability of the annotated
        value, by which the rows are ordered), ``id``, ``text`` (if known), ``gold``.
    """
    gold, probabilities, space = predictions.gold, predictions.probabilities, predictions.label_space
    rows, columns = suspected(gold, probabilities, predictions.mask).nonzero(as_tuple=True)
    agreement = torch.where(gold, probabilities, 1 - probabilities)[rows, columns]
    order = agreement.argsort(stable=True)
    lines = [
        {
            "split": split,
            "label": space.names[column],
            "annotated": "present" if gold[row, column] else "absent",
            "agreement": value,
            "id": predictions.ids[row],
            **({} if texts is None else {"text": texts[row]}),
            "gold": ", ".join(space.decode(gold[row].tolist())),
        }
        for row, column, value in zip(rows[order].tolist(), columns[order].tolist(), agreement[order].tolist())
    ]
    content = [] if texts is None else ["text"]
    return pd.DataFrame(lines, columns=["split", "label", "annotated", "agreement", "id", *content, "gold"])


def cross_fitted_probabilities(corpus: Corpus, folds: int = 5, seed: int = 0) -> Tensor:
    """Compute probabilities ``(N, C)`` of each text by a classifier that was fitted to the other folds.

    The classifier is one L2-regularized logistic regression per label (C = 1) over TF-IDF weights of words and parts of
    words, which are fitted to the other folds too. Folds are stratified, with equal texts in one fold.

    Args:
        corpus: A text corpus, such as the training split of a run, whose own probabilities are too confident there.
        folds: Number of folds.
        seed: Seed of the folds.

    Raises:
        ValueError: There are no texts, or fewer different ones than folds.
    """
    if corpus.texts is None:
        raise ValueError("cross-fitted probabilities are of texts, and this corpus has none")
    parts = stratified_split(corpus.labels, [1 / folds] * folds, seed, groups=list(corpus.texts))
    result = torch.empty(len(corpus), len(corpus.label_space))
    for held_out in parts:
        kept = torch.ones(len(corpus), dtype=torch.bool)
        kept[held_out] = False
        fitted_to, left = corpus.select(kept.nonzero().flatten()), corpus.select(held_out)
        features = Tfidf(width=None, terms=TERMS)
        features.fit(list(fitted_to.texts or []))
        train, rest = as_matrix(features(list(fitted_to.texts or []))), as_matrix(features(list(left.texts or [])))
        targets, known = fitted_to.labels.numpy() > 0.5, fitted_to.mask.numpy()
        for label in range(targets.shape[1]):
            rows = np.flatnonzero(known[:, label])
            weights, bias = logistic_regression(train[rows], targets[rows, label], 1.0)
            result[held_out, label] = torch.from_numpy(rest @ weights + bias).float().sigmoid()
    return result
