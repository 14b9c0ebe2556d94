"""How rare labels are, and how alone their samples stand: IRLbl, MeanIR, local imbalance, instance weights."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["instance_weights", "irlbl", "local_imbalance", "mean_ir", "minority_labels", "nearest_neighbours"]


def irlbl(labels: Tensor) -> Tensor:
    """Imbalance ratio of every label (Zhou et al. 2024, eq. 1).

        IRLbl_j = max_i C_i / C_j,   C_j = samples that have label j

    Args:
        labels: ``(n, C)`` in {0, 1}; a label that was not annotated counts as 0.

    Returns:
        ``(C,)`` float32, at least 1; infinite for a label that never occurs.

    Raises:
        ValueError: Labels that are no matrix, or all of them 0.

    Example:
        >>> irlbl(torch.tensor([[1, 1, 0], [1, 0, 0]]))
        tensor([1., 2., inf])
    """
    if labels.ndim != 2:
        raise ValueError(f"labels must have shape (n, C), found {tuple(labels.shape)}")
    counts = labels.sum(0).float()
    if not counts.any():
        raise ValueError(f"no label occurs in {len(labels)} rows: there is no imbalance to measure")
    return counts.max() / counts


def mean_ir(labels: Tensor) -> float:
    """Mean of IRLbl over the labels that occur.

    A label that never occurs has no ratio. Were it to count with a large one, as with a small constant added to its
    count, MeanIR would rise above every other label and no label would be a minority.

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
    """Which labels are minorities: those that occur and have IRLbl > MeanIR.

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
    """The k nearest rows of each row by Euclidean distance, itself left out; exact, by chunked matrix products.

    A row is left out by its number: a twin with the same features is a neighbour. Of equally distant rows those with
    the lowest numbers are taken. Distances are computed in float64, so that those of binary features have no error.

    Args:
        features: ``(n, F)``, all finite.
        k: Neighbours of a row.
        rows: ``(R,)`` long, the rows whose neighbours are asked for; ``None`` = all.

    Returns:
        ``(R, k)`` long, rows of ``features``, each line in ascending order.

    Raises:
        ValueError: Features that are no matrix or not finite, or no k other rows.
    """
    if features.ndim != 2 or not features.isfinite().all():
        raise ValueError(f"features must be a finite (n, F) matrix, found shape {tuple(features.shape)} or NaN in it")
    if not 1 <= k < len(features):
        raise ValueError(f"{k} neighbours are asked for among the others of {len(features)} rows")
    rows = torch.arange(len(features), device=features.device) if rows is None else rows
    tiles = features.split(8192)
    squares = torch.cat([tile.double().square().sum(1) for tile in tiles])
    found = [torch.empty(0, k, dtype=torch.long, device=features.device)]
    for chunk in rows.split(256):
        query = features[chunk].double()
        # ‖a‖² is the same for a whole line, so ‖b‖² − 2ab sorts as the distance does
        distances = squares - 2 * torch.cat([query @ tile.double().T for tile in tiles], 1)
        distances[torch.arange(len(chunk)), chunk] = torch.inf
        farthest = distances.topk(k, largest=False).values[:, -1:]
        closer, tied = distances < farthest, distances == farthest
        room = k - closer.sum(1, keepdim=True)
        found.append((closer | (tied & (tied.cumsum(1) <= room))).nonzero()[:, 1].view(-1, k))
    return torch.cat(found)


def local_imbalance(features: Tensor, labels: Tensor, k: int = 5) -> Tensor:
    """Share of the nearest neighbours that lack a label which the sample has (Zhou et al. 2024, eq. 2).

        B_ij = 1/k · Σ_{m ∈ kNN(i)} [y_mj ≠ y_ij]   where y_ij = 1,   else 0

    Args:
        features: ``(n, F)``, see `nearest_neighbours`; scale them first if their units differ.
        labels: ``(n, C)`` in {0, 1}.
        k: Neighbours of a sample.

    Returns:
        ``(n, C)`` float32 in [0, 1].

    Raises:
        ValueError: Another number of rows in the labels; see also `nearest_neighbours`.

    Example:
        >>> local_imbalance(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[1, 0], [1, 1], [0, 1]]), k=1)
        tensor([[0., 0.],
                [0., 1.],
                [0., 0.]])
    """
    if labels.ndim != 2 or len(labels) != len(features):
        raise ValueError(f"labels have shape {tuple(labels.shape)}, expected ({len(features)}, C) as the features have")
    present = labels > 0
    rows = present.any(1).nonzero()[:, 0]  # only these can be alone with a label
    sharing = torch.zeros(len(rows), labels.shape[1], device=labels.device)
    for neighbours in nearest_neighbours(features, k, rows).T:
        sharing += present[neighbours]
    local = torch.zeros(labels.shape, device=labels.device)
    local[rows] = (k - sharing) / k * present[rows]
    return local


def instance_weights(features: Tensor, labels: Tensor, k: int = 5) -> Tensor:
    """Weights that raise the chance of samples of minority labels (Zhou et al. 2024, eq. 4-5).

        S_ij = B_ij / Σ_i′ B_i′j   over the entries with B < 1
        w_i  = 1 + ε_i,   ε_i = Σ_{j minority, B_ij < 1} S_ij

    Each label's S sums to one over the samples, so that few samples share more. A sample with no neighbour that has
    its label, B = 1, is taken for noise and counts nowhere; where nothing is left of a label, its S is 0.

    Args:
        features: ``(n, F)``, see `local_imbalance`.
        labels: ``(n, C)`` in {0, 1}.
        k: Neighbours of a sample.

    Returns:
        ``(n,)`` float32, at least 1.

    Raises:
        ValueError: See `irlbl` and `local_imbalance`.
    """
    local = local_imbalance(features, labels[:, minority_labels(labels)], k)
    local = local.masked_fill(local == 1, 0.0)
    return 1 + (local / local.sum(0).clamp(min=1e-12)).sum(1)
