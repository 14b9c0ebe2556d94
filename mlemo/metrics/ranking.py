"""Ranking metrics over the annotated labels of each sample.

torchmetrics has three of them, but without a mask, with a Python loop over the samples (label-ranking average
precision) and with ties broken by the sort (ranking loss). Without a mask the functions here agree with scikit-learn,
also for ties; scikit-learn has no one-error.

In every function ``scores`` ``(N, C)`` are at least 0, ``targets`` ``(N, C)`` bool are ``False`` wherever ``mask``
``(N, C)`` bool is, and samples without annotated labels are ignored. R_i are the relevant labels of sample i, I_i the
irrelevant ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["coverage_error", "label_ranking_average_precision", "one_error", "ranking_loss"]


def _at_least(scores: Tensor, among: Tensor, of: Tensor) -> Tensor:
    """Count the entries of the same row and in ``among`` with at least the score of an entry: ``(N, C)`` long.

    Only for entries in ``of`` ``(N, C)`` bool, which are few in a row of many labels; 0 elsewhere.
    """
    ascending = scores.masked_fill(~among, -1.0).sort(dim=1).values
    some = of.byte().topk(int(of.sum(dim=1).amax()), dim=1).indices if len(of) else of.long()
    counts = scores.shape[1] - torch.searchsorted(ascending, scores.gather(1, some))
    return torch.zeros_like(of, dtype=torch.long).scatter_(1, some, counts * of.gather(1, some))


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return values[mask.any(dim=1)].mean()


def ranking_loss(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Compute the mean share of pairs of a relevant and an irrelevant label in the wrong order; ties are wrong.

    mean_i |{(j, k) ∈ R_i × I_i: p_ij ≤ p_ik}| / (|R_i| |I_i|), 0 for a sample without such pairs.

    Example:
        >>> scores, targets = torch.tensor([[0.9, 0.6, 0.2]]), torch.tensor([[True, False, True]])
        >>> ranking_loss(scores, targets, torch.ones_like(targets))
        tensor(0.5000)
    """
    irrelevant = mask & ~targets
    wrong = _at_least(scores, irrelevant, targets).sum(dim=1)
    pairs = targets.sum(dim=1) * irrelevant.sum(dim=1)
    return _mean(wrong / pairs.clamp(min=1), mask)


def one_error(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Compute the share of samples whose highest score belongs to a label that is not relevant.

    mean_i [argmax_c p_ic ∉ R_i]; an irrelevant label that ties for the highest score is an error, and so is every
    sample without a relevant label.
    """
    annotated = scores.masked_fill(~mask, -1.0)
    highest = annotated == annotated.amax(dim=1, keepdim=True)
    return _mean((highest & ~targets).any(dim=1).float(), mask)


def coverage_error(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Compute the mean depth, from the highest score down, at which all relevant labels are covered.

    mean_i max_{j ∈ R_i} |{k: p_ik ≥ p_ij}|, 0 for a sample without relevant labels; counted from 1.
    """
    return _mean(_at_least(scores, mask, targets).amax(dim=1).float(), mask)


def label_ranking_average_precision(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Compute the mean share of relevant labels among those ranked at least as high as each relevant label.

    mean_i (1/|R_i|) Σ_{j ∈ R_i} |{k ∈ R_i: p_ik ≥ p_ij}| / |{k: p_ik ≥ p_ij}|, 1 where no or every label is relevant.
    """
    share = _at_least(scores, targets, targets) / _at_least(scores, mask, targets).clamp(min=1)
    relevant = targets.sum(dim=1)
    precision = share.sum(dim=1) / relevant.clamp(min=1)
    return _mean(torch.where(relevant > 0, precision, 1.0), mask)
