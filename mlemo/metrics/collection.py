"""The metrics of multi-label classification: names, formulas, conventions and the papers that report them.

N samples, C labels; p_ic probabilities, y_ic ∈ {0, 1} targets, ŷ_ic ∈ {0, 1} decisions. TP, FP, FN count annotated
entries; entries that are not annotated are ignored, and samples without annotated labels are left out of means over
samples. "Micro" sums the counts over all labels first, "macro" is the plain mean of the labels' values, "weighted"
their mean weighted by the number of positives, "samples" the mean over samples.

===================== ================================================================================= =========
name                  formula                                                                           papers
===================== ================================================================================= =========
micro_precision       ΣTP / (ΣTP + ΣFP)                                                                 1
micro_recall          ΣTP / (ΣTP + ΣFN)                                                                 1
micro_f1              2 ΣTP / (2 ΣTP + ΣFP + ΣFN)                                                       0 1 2 3 4
macro_precision       mean_c TP_c / (TP_c + FP_c)                                                       1 3
macro_recall          mean_c TP_c / (TP_c + FN_c)                                                       1
macro_f1              mean_c F1_c, F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c)                               0 1 2 3 4
macro_f1_present      mean of F1_c over the labels with a positive
weighted_f1           Σ_c n_c F1_c / Σ_c n_c, n_c = TP_c + FN_c                                         3
samples_precision     mean_i |ŷ_i ∩ y_i| / |ŷ_i|                                                        1
samples_recall        mean_i |ŷ_i ∩ y_i| / |y_i|                                                        1
samples_f1            mean_i 2 |ŷ_i ∩ y_i| / (|ŷ_i| + |y_i|)                                            1
jaccard               mean_i |ŷ_i ∩ y_i| / |ŷ_i ∪ y_i|, the "accuracy" of SemEval-2018 E-c              0 1 2
subset_accuracy       mean_i [ŷ_i = y_i]
hamming_loss          share of annotated entries with ŷ_ic ≠ y_ic                                       0 4
ranking_loss          mean share of wrongly ordered pairs of labels                                     0 4
one_error             share of samples whose top label is not relevant                                  4
coverage_error        mean depth at which all relevant labels are covered, counted from 1
coverage_error_base0  the same counted from 0: coverage_error − 1                                       0
macro_ap              mean_c AP_c, AP_c = Σ_n (R_n − R_{n−1}) P_n over the distinct scores of label c   0 1
micro_ap              AP of all entries pooled
label_ranking_ap      mean share of relevant labels above each relevant label                           0
macro_auroc           mean_c area under the ROC curve of label c
macro_auroc_zero      the same, where a label with one value only has an area of 0 and counts           4
micro_auroc           area under the ROC curve of all entries pooled
skipped_classes       number of labels left out of macro_ap and macro_auroc
===================== ================================================================================= =========

Papers: 0 Bert-WDL (its "AP" is not defined: macro_ap or label_ranking_ap), 1 GTHL-Emo, 2 Hurtado et al. (eq. 1, 4, 8),
3 sigmoidF1, 4 adaptive batch selection.

Conventions:

- Two empty sets: samples_f1, jaccard, samples_precision and samples_recall are 1 (as in the SemEval-2018 scorer; a
  perfect decision scores 1 everywhere). If only the decisions are empty the precision is 0, if only the targets the
  recall. scikit-learn's ``zero_division`` sets the same value in all these cases.
- Label-wise and micro precision, recall and F1 are 0 for 0/0 and counted, as in scikit-learn with ``zero_division=0``:
  a label with no positive and no prediction has an F1 of 0. macro_f1_present leaves out the labels without a positive,
  for whose F1 a decision can only be wrong or make no difference; with no label left it is NaN.
- macro_ap and macro_auroc leave out labels whose annotated targets have one value only, and skipped_classes counts
  them; with no label left they are NaN, and so are micro_ap and micro_auroc where all targets are equal.
  scikit-learn counts an AP of 0 (no positive) or 1 (no negative), and its AUROC is NaN. macro_auroc_zero is at most the
  share of labels that are not skipped.
- Ranking metrics: a label that ties with an irrelevant one is not above it. Samples with no or only relevant labels
  have a ranking loss of 0, a label_ranking_ap of 1 and, without relevant labels, a coverage_error of 0 and a one_error
  of 1; coverage_error_base0 subtracts 1 from the mean, hence −1 for these. As in scikit-learn (which has no one-error).
- Probabilities are used as given (never as logits) and compared in single precision; a decision is p_ic ≥ t.

Where a paper differs: sigmoidF1 swaps the names micro and macro (its eq. 9 is micro_f1, its eq. 10 macro_f1, its eq. 12
macro_precision), does not divide the weights of eq. 11 by their sum, and its mAP (eq. 13–14) interpolates precision,
which macro_ap does not. The code behind the adaptive batch selection paper counts a tie as correct in macro-AUC, where
macro_auroc_zero counts a half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import (
    multilabel_auroc,
    multilabel_average_precision,
    multilabel_stat_scores,
)
from torchmetrics.utilities.data import dim_zero_cat

from mlemo.labels import LabelSpace
from mlemo.metrics.ranking import coverage_error, label_ranking_average_precision, one_error, ranking_loss
from mlemo.thresholds.base import check_probabilities, check_targets

__all__ = ["MultiLabelMetrics"]

NOT_ANNOTATED = -1  # as a target, for torchmetrics
SMALL = (
    torch.int8
)  # an eighth of the memory of what torchmetrics is given as a rule, which counts where labels are many
#: The checks of torchmetrics are left out: they repeat ours, cost more than the metrics, and refuse a single label.
OPTIONS: dict[str, Any] = {"ignore_index": NOT_ANNOTATED, "validate_args": False}


class MultiLabelMetrics(Metric):
    """Compute all metrics of the table in :mod:`mlemo.metrics.collection` over the samples since the last reset.

    With several processes the samples of all of them are gathered, so that each process returns the value over all
    samples, even a process without samples.

    Args:
        label_space: The labels, in the order of the columns.
        **kwargs: Keyword arguments of :class:`torchmetrics.Metric`, such as ``compute_on_cpu=True``.

    Example:
        >>> metrics = MultiLabelMetrics(LabelSpace(("joy", "anger")))
        >>> metrics.update(torch.tensor([[0.9, 0.2], [0.6, 0.7]]), torch.tensor([[1, 0], [0, 1]]))
        >>> values = metrics.compute()
        >>> values["micro_f1"], values["jaccard"]
        (tensor(0.8000), tensor(0.7500))
    """

    full_state_update = False
    is_differentiable = False

    probabilities: list[Tensor]
    targets: list[Tensor]
    decisions: list[Tensor]
    mask: list[Tensor]

    def __init__(self, label_space: LabelSpace, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.label_space = label_space
        for state in ("probabilities", "targets", "decisions", "mask"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(
        self, probabilities: Tensor, targets: Tensor, decisions: Tensor | None = None, mask: Tensor | None = None
    ) -> None:
        """Add samples.

        Args:
            probabilities: ``(N, C)`` float in [0, 1].
            targets: ``(N, C)``, 0 or 1.
            decisions: ``(N, C)`` bool, as from a threshold rule; ``probabilities >= 0.5`` if left out.
            mask: ``(N, C)`` bool, ``False`` = not annotated; all annotated if left out.

        Raises:
            ValueError: Wrong shapes, dtypes or values.
        """
        probabilities = check_probabilities(probabilities)
        shape = tuple(probabilities.shape)
        if shape[1] != len(self.label_space):
            raise ValueError(f"probabilities have {shape[1]} columns for {len(self.label_space)} labels")
        targets, mask = check_targets(targets, mask, shape)
        if decisions is None:
            decisions = probabilities >= 0.5
        if tuple(decisions.shape) != shape or decisions.dtype != torch.bool:
            found = f"{decisions.dtype} of shape {tuple(decisions.shape)}"
            raise ValueError(f"decisions must be bool of shape {shape}, found {found}")
        self.probabilities.append(probabilities)
        self.targets.append(targets)
        self.decisions.append(decisions)
        self.mask.append(mask)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the states of all processes; :meth:`compute` and :meth:`per_class` begin with it."""
        if isinstance(self.probabilities, list) and not self.probabilities:
            # torchmetrics would gather a one-dimensional float tensor from this process, (N, C) from the others.
            empty = torch.empty(0, len(self.label_space), device=self.device)
            self.probabilities.append(empty)
            for state in (self.targets, self.decisions, self.mask):
                state.append(empty.bool())
        super().sync(*args, **kwargs)

    def compute(self) -> dict[str, Tensor]:
        """Compute every metric of the table, as scalars by name.

        Raises:
            ValueError: There is no annotated entry.
        """
        return self._of_decisions() | self._of_probabilities()

    def of_decisions(self) -> dict[str, Tensor]:
        """Compute the metrics of decisions alone, micro_precision to hamming_loss in the table.

        The other metrics sort the probabilities of each label, which takes most of the time for many labels.

        Raises:
            ValueError: There is no annotated entry.
        """
        with self.sync_context(should_sync=self.sync_on_compute):
            return self._of_decisions()

    def _of_decisions(self) -> dict[str, Tensor]:
        _, targets, decisions, mask = self._samples()
        on, truth = decisions.to(SMALL), torch.where(mask, targets.to(SMALL), NOT_ANNOTATED)
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

    def _of_probabilities(self) -> dict[str, Tensor]:
        probabilities, targets, _, mask = self._samples()
        truth = torch.where(mask, targets.to(SMALL), NOT_ANNOTATED)
        values: dict[str, Tensor] = {}
        values["ranking_loss"] = ranking_loss(probabilities, targets, mask)
        values["one_error"] = one_error(probabilities, targets, mask)
        values["coverage_error"] = coverage_error(probabilities, targets, mask)
        values["coverage_error_base0"] = values["coverage_error"] - 1
        values["label_ranking_ap"] = label_ranking_average_precision(probabilities, targets, mask)

        for name, metric in (("ap", multilabel_average_precision), ("auroc", multilabel_auroc)):
            values[f"macro_{name}"] = _per_label(metric, probabilities, truth).nanmean()
            values[f"micro_{name}"] = _per_label(metric, probabilities.reshape(-1, 1), truth.reshape(-1, 1))[0]
        scored = _two_valued(truth)
        values["macro_auroc_zero"] = values["macro_auroc"].nan_to_num() * scored.float().mean()
        values["skipped_classes"] = (~scored).sum().float()
        return values

    def per_class(self, of_decisions: bool = False) -> dict[str, Tensor]:
        """F1, precision, recall, support and average precision of each label.

        Args:
            of_decisions: Leave out the average precision, which takes most of the time and which no decision changes.

        Returns:
            ``f1``, ``precision``, ``recall``, ``support`` (number of positives) and ``ap`` (NaN for a label whose
            annotated targets have one value only), each ``(C,)`` float.

        Raises:
            ValueError: There is no annotated entry.
        """
        with self.sync_context(should_sync=self.sync_on_compute):
            probabilities, targets, decisions, mask = self._samples()
        truth = torch.where(mask, targets.to(SMALL), NOT_ANNOTATED)
        tp, fp, _, fn = _counts(decisions.to(SMALL), truth)
        values = _precision_recall_f1(tp, fp, fn)
        values["support"] = (tp + fn).float()
        if not of_decisions:
            values["ap"] = _per_label(multilabel_average_precision, probabilities, truth)
        return values

    def _samples(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return probabilities, targets, decisions and mask of all samples, each ``(N, C)``."""
        states = (self.probabilities, self.targets, self.decisions, self.mask)
        probabilities, targets, decisions, mask = (dim_zero_cat(state) for state in states)
        if not mask.any():
            raise ValueError(f"metrics need at least one annotated entry, found none in {len(mask)} samples")
        return probabilities, targets, decisions, mask


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
