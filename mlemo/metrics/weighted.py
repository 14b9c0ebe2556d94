"""The metrics of the collection where each sample counts a whole number of times: what resampling needs.

A resample is a row of N counts, so that 5,000 resamples are a matrix W and no sample is ever copied:

- metrics made of TP, FP and FN are functions of W @ (what each sample adds to them);
- means over samples are W @ (value of each sample) / W @ 1;
- average precision and AUROC sort the entries once and take running sums of W in that order.

Names, formulas and conventions are those of :mod:`mlemo.metrics.collection`: a row of counts gives the value that
:class:`~mlemo.metrics.MultiLabelMetrics` gives where each sample is repeated as often as it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlemo.metrics.ranking import _at_least
from mlemo.thresholds.base import check_probabilities, check_targets

__all__ = ["DECISION_METRICS", "PROBABILITY_METRICS", "Evaluate", "MetricLike", "WeightedMetrics", "evaluator"]

#: Metrics of decided labels, and metrics of probabilities, as named in the collection.
DECISION_METRICS = (
    "micro_precision", "micro_recall", "micro_f1", "macro_precision", "macro_recall", "macro_f1", "macro_f1_present",
    "weighted_f1", "samples_precision", "samples_recall", "samples_f1", "jaccard", "subset_accuracy", "hamming_loss",
)  # fmt: skip
PROBABILITY_METRICS = (
    "ranking_loss", "one_error", "coverage_error", "coverage_error_base0", "macro_ap", "micro_ap", "label_ranking_ap",
    "macro_auroc", "macro_auroc_zero", "micro_auroc", "skipped_classes",
)  # fmt: skip
SAMPLE_MEANS = ("samples_precision", "samples_recall", "samples_f1", "jaccard", "subset_accuracy",
                "ranking_loss", "one_error", "coverage_error", "label_ranking_ap")  # fmt: skip

Array: TypeAlias = NDArray[Any]
#: Counts ``(R, N)``, whole numbers of at least 0, to the values ``(K, R)`` of K metrics.
Evaluate: TypeAlias = Callable[[Array], Array]
#: The name of a metric of the collection, or a function of outputs and targets (and mask, where there is one).
MetricLike: TypeAlias = str | Callable[..., Any]


class WeightedMetrics:
    """Metrics of the collection, by counts of the samples: ``metrics(counts (R, N)) -> (K, R)`` float64.

    Args:
        names: The K metrics, in the order of the result.
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, ``False`` = not annotated; ``None`` = all annotated.
        decisions: ``(N, C)``, 0 or 1; may be left out where no metric needs them.
        probabilities: ``(N, C)`` float in [0, 1]; may be left out where no metric needs them.

    Raises:
        ValueError: Unknown names, outputs that a metric needs and that are missing, wrong shapes, dtypes or values.

    Example:
        >>> targets, decisions = torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [0, 1]])
        >>> WeightedMetrics(["jaccard"], targets, decisions=decisions)(np.array([[1, 1], [2, 0]]))
        array([[0.75, 1.  ]])
    """

    def __init__(
        self,
        names: Sequence[str],
        targets: Tensor,
        mask: Tensor | None = None,
        decisions: Tensor | None = None,
        probabilities: Tensor | None = None,
    ) -> None:
        self.names = tuple(names)
        for name in self.names:
            _check_name(name)
            if name in DECISION_METRICS and decisions is None:
                raise ValueError(f"{name} is a metric of decisions, and none are given")
            if name in PROBABILITY_METRICS and probabilities is None:
                raise ValueError(f"{name} is a metric of probabilities, and none are given")
        truth, annotated = check_targets(targets, mask, tuple(targets.shape))
        self._entries = annotated.sum(1).double().cpu().numpy()  # annotated entries of each sample
        self._signs = torch.cat([truth, annotated & ~truth], dim=1).double().cpu().numpy()
        sample_values: dict[str, Tensor] = {}
        if decisions is not None:
            on = _check_outputs(decisions, truth.shape, "jaccard") & annotated
            counts = (on & truth, on & ~truth, ~on & truth)
            self._counts = torch.cat(counts, dim=1).double().cpu().numpy()
            sample_values |= _set_values(*(count.sum(1) for count in counts))
        if probabilities is not None:
            scores = _check_outputs(probabilities, truth.shape, "macro_ap")
            sample_values |= _ranking_values(scores, truth, annotated)
            arrays = [part.cpu().numpy() for part in (scores, truth, annotated)]
            self._labels = [_Ranking.of(*(part[:, [label]] for part in arrays)) for label in range(truth.shape[1])]
            self._pooled = _Ranking.of(*arrays)
        self._means = [name for name in SAMPLE_MEANS if name in sample_values]
        if sample_values:
            values = torch.stack([sample_values[name].double() for name in self._means], dim=1)
            self._sample_values = (values * annotated.any(1, keepdim=True)).cpu().numpy()

    def __call__(self, counts: Array) -> Array:
        """Values ``(K, R)`` of the metrics for counts ``(R, N)``, R resamples of N samples."""
        weights = counts.astype(np.float64)
        wanted = set(self.names)
        values: dict[str, Array] = {}
        if wanted.intersection(DECISION_METRICS):
            values |= self._label_wise(weights)
        if wanted.intersection({*SAMPLE_MEANS, "coverage_error_base0"}):
            means = weights @ self._sample_values / (weights @ (self._entries > 0))[:, None]
            values |= dict(zip(self._means, means.T))
        if "coverage_error_base0" in wanted:
            values["coverage_error_base0"] = values["coverage_error"] - 1
        if "skipped_classes" in wanted:
            both = (weights @ self._signs).reshape(len(weights), 2, -1) > 0
            values["skipped_classes"] = (~both.all(axis=1)).sum(axis=1).astype(np.float64)
        if wanted.intersection({"macro_ap", "macro_auroc", "macro_auroc_zero"}):
            areas = np.stack([ranking.areas(counts) for ranking in self._labels])  # (C, 2, R)
            values |= dict(zip(("macro_ap", "macro_auroc"), _mean_of_defined(areas)))
            values["macro_auroc_zero"] = np.nan_to_num(areas[:, 1]).mean(axis=0)
        if wanted.intersection({"micro_ap", "micro_auroc"}):
            values |= dict(zip(("micro_ap", "micro_auroc"), self._pooled.areas(counts)))
        return np.stack([values[name] for name in self.names])

    def _label_wise(self, weights: Array) -> dict[str, Array]:
        tp, fp, fn = (weights @ self._counts).reshape(len(weights), 3, -1).transpose(1, 0, 2)
        values = {"hamming_loss": (fp + fn).sum(1) / (weights @ self._entries)}
        precision, recall, f1 = _precision_recall_f1(tp, fp, fn)
        values |= {"macro_precision": precision.mean(1), "macro_recall": recall.mean(1), "macro_f1": f1.mean(1)}
        values["macro_f1_present"] = _mean_of_defined(np.where(tp + fn > 0, f1, np.nan).T)
        values["weighted_f1"] = _ratio((f1 * (tp + fn)).sum(1), (tp + fn).sum(1))
        micro = _precision_recall_f1(*(count.sum(1) for count in (tp, fp, fn)))
        return values | dict(zip(("micro_precision", "micro_recall", "micro_f1"), micro))


@dataclass(frozen=True)
class _Ranking:
    """Entries of a label (or of all labels) from the highest score down, each as the row of its sample.

    Scores that tie form a group; only groups that hold a positive entry move the average precision and the AUROC.

    Args:
        rows: Row of each annotated entry.
        positive_rows: The same of the positive entries alone.
        first: Position in ``rows`` of the first entry of each group that holds a positive one.
        last: Position in ``rows`` of its last entry.
        last_positive: Position in ``positive_rows`` of its last positive entry.
    """

    rows: Array
    positive_rows: Array
    first: Array
    last: Array
    last_positive: Array

    @classmethod
    def of(cls, scores: Array, truth: Array, annotated: Array) -> _Ranking:
        """From matrices ``(N, labels)``."""
        rows = np.nonzero(annotated)[0]
        scores, truth = scores[annotated], truth[annotated]
        order = np.argsort(-scores, kind="stable")
        rows, scores, truth = rows[order], scores[order], truth[order]
        starts = np.nonzero(np.diff(scores, prepend=np.inf))[0]
        ends = np.append(starts[1:], len(scores)) - 1 if len(starts) else starts
        positives = truth.cumsum()
        holds = np.diff(positives[ends], prepend=0) > 0
        return cls(rows, rows[truth], starts[holds], ends[holds], positives[ends[holds]] - 1)

    def areas(self, counts: Array) -> Array:
        """Average precision and AUROC, ``(2, R)``; NaN where the entries that count have one value only."""
        if not 0 < len(self.positive_rows) < len(self.rows):
            return np.full((2, len(counts)), np.nan)
        seen = np.take(counts, self.rows, axis=1).cumsum(axis=1, dtype=np.int32)
        hits = np.take(counts, self.positive_rows, axis=1).cumsum(axis=1, dtype=np.int32)
        positives, negatives = hits[:, -1].astype(np.float64), (seen[:, -1] - hits[:, -1]).astype(np.float64)
        tp, both = hits[:, self.last_positive], seen[:, self.last]
        gained = np.diff(tp, axis=1, prepend=0).astype(np.float64)  # products of counts are too large for int32
        before = np.where(self.first > 0, seen[:, self.first - 1], 0) - tp + gained  # negatives above the group
        with np.errstate(invalid="ignore"):
            precision = (gained * tp / np.maximum(both, 1)).sum(axis=1) / positives
            misplaced = (gained * (before + both - tp)).sum(axis=1) / 2  # a tie is half misplaced
            areas = np.stack([precision, 1 - misplaced / (positives * negatives)])
        areas[:, (positives == 0) | (negatives == 0)] = np.nan
        return areas


def evaluator(metric: MetricLike, outputs: Tensor, targets: Tensor, mask: Tensor | None) -> Evaluate:
    """How one metric is computed for many resamples.

    Args:
        metric: A name of the collection, or a function ``(outputs, targets) -> number``, called with the mask as a
            third argument where there is one. It is called once a resample, on rows that are repeated as often as they
            count: as slow as the function is, and its value must not depend on the order of the rows.
        outputs: ``(N, C)``, decisions or probabilities, whichever the metric needs.
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, or ``None``.

    Returns:
        Counts ``(R, N)`` to values ``(1, R)``.

    Raises:
        ValueError: An unknown name, outputs of the wrong kind, wrong shapes, dtypes or values.
    """
    if isinstance(metric, str):
        kind = "decisions" if metric in DECISION_METRICS else "probabilities"
        _check_name(metric)
        return WeightedMetrics([metric], targets, mask, **{kind: _check_outputs(outputs, targets.shape, metric)})
    parts = (outputs, targets) if mask is None else (outputs, targets, mask)

    def repeat_and_call(counts: Array) -> Array:
        samples = np.arange(counts.shape[1])
        rows = [torch.from_numpy(np.repeat(samples, row)) for row in counts]
        return np.array([[float(metric(*(part[some] for part in parts))) for some in rows]])

    return repeat_and_call


def _check_name(name: str) -> None:
    names = DECISION_METRICS + PROBABILITY_METRICS
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown metric {name!r}{hint} The metrics are {', '.join(names)}")


def _check_outputs(outputs: Tensor, shape: Sequence[int], metric: str) -> Tensor:
    """Decisions ``(N, C)`` bool or probabilities ``(N, C)`` float32, whichever the metric needs."""
    if tuple(outputs.shape) != tuple(shape):
        raise ValueError(f"{metric}: outputs have shape {tuple(outputs.shape)}, the targets {tuple(shape)}")
    if metric in PROBABILITY_METRICS:
        if not outputs.is_floating_point():
            raise ValueError(f"{metric} is a metric of probabilities, found {outputs.dtype}; decisions have no order")
        return check_probabilities(outputs)
    neither = (outputs != 0) & (outputs != 1)
    if neither.any():
        row, column = neither.nonzero()[0].tolist()
        raise ValueError(
            f"{metric} is a metric of decisions, 0 or 1, found {outputs[row, column].item():.6g} in row {row}, "
            f"column {column}; probabilities need a threshold rule first"
        )
    return outputs == 1


def _set_values(tp: Tensor, fp: Tensor, fn: Tensor) -> dict[str, Tensor]:
    """Precision, recall, F1 and Jaccard index of each sample's label set, and whether it is right, each ``(N,)``."""
    wrong = fp + fn

    def share(numerator: Tensor, denominator: Tensor) -> Tensor:
        return torch.where(tp + wrong == 0, 1.0, numerator.double() / denominator.clamp(min=1))

    return {
        "samples_precision": share(tp, tp + fp),
        "samples_recall": share(tp, tp + fn),
        "samples_f1": share(2 * tp, 2 * tp + wrong),
        "jaccard": share(tp, tp + wrong),
        "subset_accuracy": wrong == 0,
    }


def _ranking_values(scores: Tensor, truth: Tensor, annotated: Tensor) -> dict[str, Tensor]:
    """What :mod:`mlemo.metrics.ranking` averages over the samples, each ``(N,)``."""
    irrelevant = annotated & ~truth
    relevant = truth.sum(1)
    pairs = relevant * irrelevant.sum(1)
    depth = _at_least(scores, annotated)
    visible = scores.masked_fill(~annotated, -1.0)
    highest = visible == visible.amax(1, keepdim=True)
    precision = (_at_least(scores, truth).double() / depth.clamp(min=1) * truth).sum(1) / relevant.clamp(min=1)
    return {
        "ranking_loss": (_at_least(scores, irrelevant) * truth).sum(1).double() / pairs.clamp(min=1),
        "one_error": (highest & ~truth).any(1),
        "coverage_error": (depth * truth).amax(1),
        "label_ranking_ap": torch.where(relevant > 0, precision, 1.0),
    }


def _ratio(numerator: Array, denominator: Array) -> Array:
    """0 for 0/0: the denominators are sums of whole numbers."""
    return numerator / np.maximum(denominator, 1)


def _precision_recall_f1(tp: Array, fp: Array, fn: Array) -> tuple[Array, Array, Array]:
    return _ratio(tp, tp + fp), _ratio(tp, tp + fn), _ratio(2 * tp, 2 * tp + fp + fn)


def _mean_of_defined(areas: Array) -> Array:
    """Mean over the first dimension of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(areas)
    count = defined.sum(axis=0)
    return np.where(count > 0, np.where(defined, areas, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
