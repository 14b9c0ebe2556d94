"""The metrics of :mod:`mlemo.metrics.collection` as functions of checked tensors, so that no part is computed twice.

N samples, C labels. ``probabilities`` are ``(N, C)`` float32, ``decisions``, ``targets`` and ``mask`` ``(N, C)`` bool;
the mask is ``False`` where a label is not annotated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multilabel_auroc,
    multilabel_average_precision,
    multilabel_stat_scores,
)

from mlemo.metrics.ranking import coverage_error, label_ranking_average_precision, one_error, ranking_loss

__all__ = ["decision_values", "label_average_precision", "label_values", "probability_values"]

NOT_ANNOTATED = -1  # as a target, for torchmetrics
#: An eighth of the memory of what torchmetrics is given as a rule, which counts where labels are many.
SMALL = torch.int8
#: The checks of torchmetrics are left out: they repeat ours, cost more than the metrics, and refuse a single label.
OPTIONS: dict[str, Any] = {"ignore_index": NOT_ANNOTATED, "validate_args": False}


def decision_values(decisions: Tensor, targets: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Compute the metrics of decisions alone, micro_precision to hamming_loss in the table.

    Raises:
        ValueError: There is no annotated entry.
    """
    on, truth = decisions.to(SMALL), _truth(targets, mask)
    tp, fp, tn, fn = _counts(on, truth)
    micro = _precision_recall_f1(tp.sum(), fp.sum(), fn.sum())
    macro = _precision_recall_f1(tp, fp, fn)
    values = {f"micro_{name}": value for name, value in micro.items()}
    values |= {f"macro_{name}": value.mean() for name, value in macro.items()}
    positives = tp + fn
    values["weighted_f1"] = (macro["f1"] * positives).sum() / positives.sum().clamp(min=1)
    values["macro_f1_present"] = macro["f1"][positives > 0].mean()

    annotated = mask.any(dim=1)
    values |= _over_samples(on[annotated], truth[annotated])
    values["hamming_loss"] = (fp + fn).sum() / (tp + fp + tn + fn).sum()
    return values


def probability_values(
    probabilities: Tensor, targets: Tensor, mask: Tensor, label_ap: Tensor | None = None
) -> dict[str, Tensor]:
    """Compute the metrics of probabilities, ranking_loss to skipped_classes in the table.

    They sort the probabilities of each label, which takes most of the time for many labels.

    Args:
        probabilities: ``(N, C)``.
        targets: ``(N, C)``.
        mask: ``(N, C)``.
        label_ap: ``(C,)`` from :func:`label_average_precision`; computed if left out.

    Raises:
        ValueError: There is no annotated entry.
    """
    truth = _truth(targets, mask)
    values: dict[str, Tensor] = {}
    values["ranking_loss"] = ranking_loss(probabilities, targets, mask)
    values["one_error"] = one_error(probabilities, targets, mask)
    values["coverage_error"] = coverage_error(probabilities, targets, mask)
    values["coverage_error_base0"] = values["coverage_error"] - 1
    values["label_ranking_ap"] = label_ranking_average_precision(probabilities, targets, mask)

    if label_ap is None:
        label_ap = _per_label(multilabel_average_precision, probabilities, truth)
    pooled = probabilities.reshape(-1, 1), truth.reshape(-1, 1)
    values["macro_ap"] = label_ap.nanmean()
    values["micro_ap"] = _per_label(multilabel_average_precision, *pooled)[0]
    values["macro_auroc"] = _per_label(multilabel_auroc, probabilities, truth).nanmean()
    values["micro_auroc"] = _per_label(multilabel_auroc, *pooled)[0]
    scored = _two_valued(truth)
    values["macro_auroc_zero"] = values["macro_auroc"].nan_to_num() * scored.float().mean()
    values["skipped_classes"] = (~scored).sum().float()
    return values


def label_values(decisions: Tensor, targets: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Compute ``f1``, ``precision``, ``recall`` and ``support`` (number of positives) per label, each ``(C,)`` float.

    Raises:
        ValueError: There is no annotated entry.
    """
    tp, fp, _, fn = _counts(decisions.to(SMALL), _truth(targets, mask))
    return {**_precision_recall_f1(tp, fp, fn), "support": (tp + fn).float()}


def label_average_precision(probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Compute the average precision per label, ``(C,)``; NaN for a label whose annotated targets have one value only.

    Raises:
        ValueError: There is no annotated entry.
    """
    return _per_label(multilabel_average_precision, probabilities, _truth(targets, mask))


def _truth(targets: Tensor, mask: Tensor) -> Tensor:
    """Targets for torchmetrics, ``(N, C)`` with `NOT_ANNOTATED` where the mask is ``False``."""
    if not mask.any():
        raise ValueError(f"metrics need at least one annotated entry, found none in {len(mask)} samples")
    return torch.where(mask, targets.to(SMALL), NOT_ANNOTATED)


def _counts(on: Tensor, truth: Tensor) -> Tensor:
    """True and false positives, true and false negatives of each label: ``(4, C)`` long."""
    counts = multilabel_stat_scores(on, truth, num_labels=on.shape[1], average="none", **OPTIONS)
    return counts.reshape(-1, 5)[:, :4].T


def _precision_recall_f1(tp: Tensor, fp: Tensor, fn: Tensor) -> dict[str, Tensor]:
    """Of counts in any shape; 0 for 0/0."""
    shares = {"f1": (2 * tp, 2 * tp + fp + fn), "precision": (tp, tp + fp), "recall": (tp, tp + fn)}
    return {name: hits / of.clamp(min=1) for name, (hits, of) in shares.items()}


def _over_samples(on: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Precision, recall, F1 and Jaccard index of each sample's label set, and whether it is right: the means."""
    tp, fp, _, fn = _counts(on.T, truth.T).float()  # it counts per column; transposed, the samples are the columns
    both_empty = tp + fp + fn == 0

    def mean(numerator: Tensor, denominator: Tensor) -> Tensor:
        return torch.where(both_empty, 1.0, numerator / denominator.clamp(min=1)).mean()

    return {
        "samples_precision": mean(tp, tp + fp),
        "samples_recall": mean(tp, tp + fn),
        "samples_f1": mean(2 * tp, 2 * tp + fp + fn),
        "jaccard": mean(tp, tp + fp + fn),
        "subset_accuracy": (fp + fn == 0).float().mean(),
    }


def _two_valued(truth: Tensor) -> Tensor:
    """Find the labels whose annotated targets are neither all 0 nor all 1: ``(C,)`` bool."""
    return (truth == 1).any(dim=0) & (truth == 0).any(dim=0)


def _per_label(metric: Callable[..., Tensor], probabilities: Tensor, truth: Tensor) -> Tensor:
    """Compute a torchmetrics metric per label, ``(C,)``; NaN for labels whose annotated targets have one value only."""
    scored = _two_valued(truth)
    values = torch.full(scored.shape, torch.nan, device=truth.device)
    if scored.any():
        values[scored] = metric(
            probabilities[:, scored], truth[:, scored], num_labels=int(scored.sum()), average="none", **OPTIONS
        )
    return values
