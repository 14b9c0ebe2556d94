"""Measures of label imbalance: IRLbl, MeanIR, local imbalance, instance weights."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["instance_weights", "irlbl", "local_imbalance", "mean_ir", "minority_labels", "nearest_neighbours"]


def irlbl(labels: Tensor) -> Tensor:
    """Compute the imbalance ratio of each label (Zhou et al. 2024, eq. 1).

        IRLbl_j = max_i C_i / C_j,   C_j = samples that have label j

    Args:
        labels: ``(n, C)`` in {0, 1}; a label that was not annotated counts as 0.

    Returns:
        ``(C,)`` float32, at least 1; infinite for a label that never occurs.

    Raises:
        ValueError: The labels are not a matrix, or all 0.

    Example:
        >>> irlbl(torch.tensor([[1, 1, 0], [1, 0, 0]]))
        tensor([1., 2., inf])
    """
    if labels.ndim != 2:
        raise ValueError(f"labels must have shape (n, C), found {tuple(labels.shape)}")
    counts = labels.sum(0).float()
    if not counts.any():
        raise ValueError(f"no label occurs in {len(labels)} rows, so the imbalance is not defined")
    return counts.max() / counts


def mean_ir(labels: Tensor) -> float:
    """Compute the mean of IRLbl over the labels that occur.

    A label that never occurs has no ratio. With a large ratio in its place, as from a small constant added to its
    count, MeanIR would exceed the ratio of every other label and no label would be a minority.

    Args:
        labels: ``(n, C)``, see `irlbl`.

    Returns:
        MeanIR, at least 1.

    Raises:
        ValueError: See `irlbl`.
    """
    ratios = irlbl(labels).double()
    return float(ratios[ratios.isfinite()].mean())


def minority_labels(labels: Tensor) -> Tensor:
    """Find the minority labels: those that occur and have IRLbl > MeanIR.

    Args:
        labels: ``(n, C)``, see `irlbl`.

    Returns:
        ``(C,)`` bool.

    Raises:
        ValueError: See `irlbl`.
    """
    ratios = irlbl(labels)
    return ratios.isfinite() & (ratios.double() > mean_ir(labels))


def nearest_neighbours(features: Tensor, k: int = 5, rows: Tensor | None = None) -> Tensor:
    """Find the k nearest other rows of each row by Euclidean distance; exact, by chunked matrix products.

    A row is excluded by its index: another row with the same features is a neighbor. Of equally distant rows those with
    the lowest indices are selected. Distances are computed in float64, so that those of binary features have no error.

    Args:
        features: ``(n, F)``, all finite.
        k: Number of neighbors per row.
        rows: ``(R,)`` long, the rows whose neighbors are returned; ``None`` = all.

    Returns:
        ``(R, k)`` long, rows of ``features``, each line in ascending order.

    Raises:
        ValueError: The features are not a finite matrix, or have fewer than k other rows.
    """
    if features.ndim != 2 or not features.isfinite().all():
        raise ValueError(f"features must be a finite (n, F) matrix, found shape {tuple(features.shape)} or NaN in it")
    if not 1 <= k < len(features):
        raise ValueError(f"k must be at least 1 and below the number of rows, found k={k} for {len(features)} rows")
    rows = torch.arange(len(features), device=features.device) if rows is None else rows
    tiles = features.split(8192)
    squares = torch.cat([tile.double().square().sum(1) for tile in tiles])
    found = [torch.empty(0, k, dtype=torch.long, device=features.device)]
    for chunk in rows.split(256):
        query = features[chunk].double()
        # ‖a‖² is constant within a line, so ‖b‖² − 2ab sorts like the distance
        distances = squares - 2 * torch.cat([query @ tile.double().T for tile in tiles], 1)
        distances[torch.arange(len(chunk)), chunk] = torch.inf
        farthest = distances.topk(k, largest=False).values[:, -1:]
        closer, tied = distances < farthest, distances == farthest
        room = k - closer.sum(1, keepdim=True)
        found.append((closer | (tied & (tied.cumsum(1) <= room))).nonzero()[:, 1].view(-1, k))
    return torch.cat(found)


def local_imbalance(features: Tensor, labels: Tensor, k: int = 5) -> Tensor:
    """Compute the share of nearest neighbors that lack a label of the sample (Zhou et al. 2024, eq. 2).

        B_ij = 1/k · Σ_{m ∈ kNN(i)} [y_mj ≠ y_ij]   where y_ij = 1,   else 0

    Args:
        features: ``(n, F)``, see `nearest_neighbours`; scale them first if their units differ.
        labels: ``(n, C)`` in {0, 1}.
        k: Number of neighbors per sample.

    Returns:
        ``(n, C)`` float32 in [0, 1].

    Raises:
        ValueError: Labels and features have different numbers of rows; see also `nearest_neighbours`.

    Example:
        >>> local_imbalance(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[1, 0], [1, 1], [0, 1]]), k=1)
        tensor([[0., 0.],
                [0., 1.],
                [0., 0.]])
    """
    if labels.ndim != 2 or len(labels) != len(features):
        raise ValueError(f"labels have shape {tuple(labels.shape)}, expected ({len(features)}, C) as the features have")
    present = labels > 0
    rows = present.any(1).nonzero()[:, 0]  # rows without labels have no local imbalance
    sharing = torch.zeros(len(rows), labels.shape[1], device=labels.device)
    for neighbors in nearest_neighbours(features, k, rows).T:
        sharing += present[neighbors]
    local = torch.zeros(labels.shape, device=labels.device)
    local[rows] = (k - sharing) / k * present[rows]
    return local


def instance_weights(features: Tensor, labels: Tensor, k: int = 5) -> Tensor:
    """Compute weights that raise the probability of samples of minority labels (Zhou et al. 2024, eq. 4-5).

        S_ij = B_ij / Σ_i′ B_i′j   over the entries with B < 1
        w_i  = 1 + ε_i,   ε_i = Σ_{j minority, B_ij < 1} S_ij

    The S of a label sums to one over the samples, so that fewer samples have larger shares. A sample without a neighbor
    of the same label, B = 1, is treated as noise and ignored; for a label without other samples, S is 0.

    Args:
        features: ``(n, F)``, see `local_imbalance`.
        labels: ``(n, C)`` in {0, 1}.
        k: Number of neighbors per sample.

    Returns:
        ``(n,)`` float32, at least 1.

    Raises:
        ValueError: See `irlbl` and `local_imbalance`.
    """
    local = local_imbalance(features, labels[:, minority_labels(labels)], k)
    local = local.masked_fill(local == 1, 0.0)
    return 1 + (local / local.sum(0).clamp(min=1e-12)).sum(1)
