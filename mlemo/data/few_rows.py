"""Seeded parts of the training rows, for experiments with few examples."""

from __future__ import annotations

import torch
from torch import Tensor

from mlemo.data.corpus import Corpus

__all__ = ["few_rows", "some_rows"]


def some_rows(corpus: Corpus, rows: int | None, per_label: int | None, seed: int) -> Corpus:
    """Select a seeded part of the training split.

    Args:
        corpus: The training split.
        rows: Number of random rows; ``None`` for all.
        per_label: Rows per label, see `few_rows`; ``None`` for all.
        seed: Seed of the choice.
    """
    if rows is not None and rows < len(corpus):
        order = torch.randperm(len(corpus), generator=torch.Generator().manual_seed(seed))
        corpus = corpus.select(order[:rows].sort().values)
    return corpus if per_label is None else corpus.select(few_rows(corpus.labels, per_label, seed))


def few_rows(labels: Tensor, count: int, seed: int) -> list[int]:
    """Choose rows so that every label, and the empty label set, has at least ``count`` of them, or all that exist.

    Greedy: in each of ``count`` rounds every label that has fewer rows than rounds gets one, the rarest label first. A
    row counts for each of its labels. The rows for a smaller ``count`` are among those for a larger one.

    Args:
        labels: ``(N, C)``, 0 or 1; 0 where not annotated.
        count: Rows per label.
        seed: Seed of the order in which rows are considered.

    Returns:
        Row numbers in ascending order.

    Example:
        >>> few_rows(torch.tensor([[1, 0], [1, 1], [1, 0], [0, 1]]), 1, seed=0)
        [1]
    """
    on = labels > 0
    on = torch.cat([on, ~on.any(1, keepdim=True)], 1)  # the empty set as a label of its own
    order = torch.randperm(len(on), generator=torch.Generator().manual_seed(seed))
    rows_of = [iter(order[on[order, label]].tolist()) for label in range(on.shape[1])]
    rarest_first = on.sum(0).argsort(stable=True).tolist()
    chosen: set[int] = set()
    found = torch.zeros(on.shape[1], dtype=torch.long)
    for wanted in range(1, count + 1):
        for label in rarest_first:
            if found[label] >= wanted:
                continue
            row = next((row for row in rows_of[label] if row not in chosen), None)
            if row is not None:
                chosen.add(row)
                found += on[row]
    return sorted(chosen)
