"""Seeded splits for corpora without official ones."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["joined_groups", "random_split", "stratified_split"]


def random_split(rows: int, fractions: Sequence[float], seed: int) -> list[list[int]]:
    """Row numbers, shuffled and cut into parts.

    Args:
        rows: Number of rows, ``N``.
        fractions: Size of each part as a fraction of ``N``; they sum to 1.
        seed: Same seed, same split.

    Returns:
        One ascending list of row numbers a part; every row is in exactly one.

    Raises:
        ValueError: Fractions that do not sum to 1, or too few rows for a row in every part.

    Example:
        >>> [len(part) for part in random_split(20, (0.7, 0.15, 0.15), seed=42)]
        [14, 3, 3]
    """
    _check(rows, fractions)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    ends = (torch.tensor(fractions, dtype=torch.float64).cumsum(0) * rows).round().long()
    parts = [part.sort().values.tolist() for part in order.tensor_split(ends[:-1])]
    return _not_empty(parts, rows, fractions)


def stratified_split(
    labels: Tensor, fractions: Sequence[float], seed: int, groups: Sequence[Hashable] | None = None
) -> list[list[int]]:
    """Parts in which every label, and the empty label set, is as frequent as in the whole, as far as that can be.

    Iterative stratification: the rarest label that is left is dealt out first, each of its rows to the part that
    still lacks most of it. Rows of one group (equal texts, say) are dealt out as one, with the union of their labels.

    Args:
        labels: ``(N, C)``, 0 or 1.
        fractions: Size of each part as a fraction of ``N``; they sum to 1. Sizes are met to a few rows.
        seed: Same seed, same split.
        groups: ``N`` keys; rows with equal keys stay together. ``None`` for every row on its own.

    Returns:
        One ascending list of row numbers a part; every row is in exactly one.

    Raises:
        ValueError: Fractions that do not sum to 1, ``groups`` of another length, or too few rows for a row in
            every part.

    Reference:
        Sechidis, Tsoumakas, Vlahavas, *On the Stratification of Multi-Label Data*, ECML PKDD 2011, Algorithm 1.

    Example:
        >>> labels = torch.tensor([[1, 0], [0, 1]] * 10)
        >>> train, test = stratified_split(labels, (0.8, 0.2), seed=0)
        >>> len(train), labels[test].sum(0).tolist()
        (16, [2, 2])
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit  # noqa: PLC0415  # brings scikit-learn

    rows = len(labels)
    keys: Sequence[Hashable] = range(rows) if groups is None else groups
    if len(keys) != rows:
        raise ValueError(f"{len(keys)} groups for {rows} rows of labels")
    unit_of: dict[Hashable, int] = {}
    unit = torch.tensor([unit_of.setdefault(key, len(unit_of)) for key in keys], dtype=torch.long)
    _check(len(unit_of), fractions)
    sets = torch.zeros(len(unit_of), labels.shape[1]).index_add_(0, unit, labels.float()) > 0
    # the empty set as a label of its own, so that it is spread evenly too
    targets = torch.cat([sets, ~sets.any(1, keepdim=True)], 1).numpy()

    part_of = np.zeros(len(unit_of), dtype=np.int64)
    left = np.arange(len(unit_of))
    for part in range(len(fractions) - 1, 0, -1):  # the last part is cut off first; what is left is part 0
        # capped, so that an impossible request ends in our message below and not in the package's
        size = min(max(round(len(left) * fractions[part] / sum(fractions[: part + 1])), 1), len(left) - 1)
        splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=size, random_state=seed)
        kept, cut = next(splitter.split(targets[left], targets[left]))
        part_of[left[cut]] = part
        left = left[kept]
    row_part = part_of[unit.numpy()]
    parts = [np.flatnonzero(row_part == part).tolist() for part in range(len(fractions))]
    return _not_empty(parts, len(unit_of), fractions)


def joined_groups(*keys: Sequence[Hashable]) -> list[int]:
    """Numbers that are equal for rows that share a key of any kind, or are connected by rows that do.

    Example:
        >>> joined_groups(["same", "same", "other", "third"], ["Ana", "Ben", "Ben", "Cem"])
        [0, 0, 0, 1]
    """
    from scipy.sparse import coo_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    rows = len(keys[0])
    nodes: dict[tuple[int, Hashable], int] = {}  # of the keys of each kind, behind those of the rows
    ends = [rows + nodes.setdefault((kind, key), len(nodes)) for kind, column in enumerate(keys) for key in column]
    size = rows + len(nodes)
    links = coo_array((np.ones(len(ends)), (np.tile(np.arange(rows), len(keys)), ends)), shape=(size, size))
    _, first, numbers = np.unique(
        connected_components(links, directed=False)[1][:rows], return_index=True, return_inverse=True
    )
    return np.argsort(np.argsort(first))[numbers].tolist()


def _check(units: int, fractions: Sequence[float]) -> None:
    if min(fractions, default=0.0) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"split fractions must be positive and sum to 1, found {tuple(fractions)}")
    if units < len(fractions):
        raise ValueError(f"{units} different rows are too few for {len(fractions)} parts")


def _not_empty(parts: list[list[int]], units: int, fractions: Sequence[float]) -> list[list[int]]:
    if not all(parts):
        sizes = [len(part) for part in parts]
        raise ValueError(f"{units} different rows are too few for the fractions {tuple(fractions)}: sizes {sizes}")
    return parts
