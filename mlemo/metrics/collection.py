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

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from mlemo.labels import LabelSpace
from mlemo.metrics.values import decision_values, label_average_precision, label_values, probability_values
from mlemo.thresholds.base import check_probabilities, check_targets

__all__ = ["MultiLabelMetrics"]


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
        probabilities, targets, decisions, mask = self._samples()
        return decision_values(decisions, targets, mask) | probability_values(probabilities, targets, mask)

    def of_decisions(self) -> dict[str, Tensor]:
        """Compute the metrics of decisions alone, micro_precision to hamming_loss in the table.

        The other metrics sort the probabilities of each label, which takes most of the time for many labels.

        Raises:
            ValueError: There is no annotated entry.
        """
        with self.sync_context(should_sync=self.sync_on_compute):
            _, targets, decisions, mask = self._samples()
            return decision_values(decisions, targets, mask)

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
        values = label_values(decisions, targets, mask)
        if not of_decisions:
            values["ap"] = label_average_precision(probabilities, targets, mask)
        return values

    def _samples(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return probabilities, targets, decisions and mask of all samples, each ``(N, C)``."""
        probabilities, targets, decisions, mask = (
            dim_zero_cat(state) for state in (self.probabilities, self.targets, self.decisions, self.mask)
        )
        return probabilities, targets, decisions, mask
