"""Stratified folds for cross-validation."""

from __future__ import annotations

import numpy as np
from torch import Tensor

__all__ = ["stratified_folds"]


def stratified_folds(labels: Tensor, folds: int, seed: int) -> list[list[int]]:
    """Folds in which every label, and the empty label set, is as frequent as in the whole, as far as that can be.

    Iterative stratification: the rarest label that is left is dealt out first, each of its rows to the fold that
    still lacks most of it, ties broken by a generator of its own.

    Args:
        labels: ``(N, C)``, 0 or 1.
        folds: Number of folds, at least 2.
        seed: Same seed, same folds.

    Returns:
        One ascending list of row numbers a fold; every row is in exactly one.

    Raises:
        ValueError: Fewer than two folds, or fewer rows than folds.

    Reference:
        Sechidis, Tsoumakas, Vlahavas, *On the Stratification of Multi-Label Data*, ECML PKDD 2011, Algorithm 1.

    Example:
        >>> import torch
        >>> labels = torch.tensor([[1, 0], [0, 1]] * 10)
        >>> [labels[fold].sum(0).tolist() for fold in stratified_folds(labels, 5, seed=0)]
        [[2, 2], [2, 2], [2, 2], [2, 2], [2, 2]]
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold  # noqa: PLC0415  # brings scikit-learn

    if not 2 <= folds <= len(labels):
        raise ValueError(f"found {folds} folds for {len(labels)} rows, expected at least 2 and at most one a row")
    # the empty set as a label of its own, so that it is spread evenly too
    on = labels.numpy() > 0
    targets = np.concatenate([on, ~on.any(1, keepdims=True)], 1)
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return [fold.tolist() for _, fold in splitter.split(targets, targets)]
