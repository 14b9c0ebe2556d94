"""The metrics of the collection with samples weighted by whole numbers, for resampling.

A resample is a row of N counts, so that 5,000 resamples are a matrix W and no sample is copied:

- metrics of TP, FP and FN are functions of W @ (contribution of each sample);
- means over samples are W @ (value of each sample) / W @ 1;
- average precision and AUROC sort the entries once and compute cumulative sums of W in that order.

Names, formulas and conventions are those of :mod:`mlemo.metrics.collection`: a row of counts gives the value that
:class:`~mlemo.metrics.MultiLabelMetrics` gives where each sample is repeated as often as it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from mlemo.metrics.areas import Ranking
from mlemo.metrics.pseudo_positives import Array, PseudoPositives
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

#: The name of a metric of the collection, or a function of outputs and targets (and mask, where there is one).
MetricLike: TypeAlias = str | Callable[..., Any]


class Evaluate(Protocol):
    """A function from counts ``(R, N)``, whole numbers of at least 0, to the values ``(K, R)`` of K metrics."""

    def __call__(self, counts: Array, pseudo: PseudoPositives | None = None) -> Array:
        """Compute the metrics; with pseudo-positives, the values of a bootstrap interval."""


class WeightedMetrics:
    """Compute metrics of the collection from counts of the samples: ``metrics(counts (R, N)) -> (K, R)`` float64.

    With pseudo-positives (:mod:`mlemo.metrics.pseudo_positives`) the means over labels are those of the smoothed values
    of each label, and the values that a resample overstates by as much as the sample does, each label's average
    precision and the weighted F1, are reflected: 2 θ − θ*, clipped to [0, 1] (the basic bootstrap; Davison and Hinkley
    1997, section 5.2). Both repeat positives, and a positive is ranked too high next to its own copy.

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
                raise ValueError(f"{name} is a metric of decisions, but decisions are not given")
            if name in PROBABILITY_METRICS and probabilities is None:
                raise ValueError(f"{name} is a metric of probabilities, but probabilities are not given")
        truth, annotated = check_targets(targets, mask, tuple(targets.shape))
        self._annotated = annotated.any(0).cpu().numpy()
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
            self._labels = [Ranking.of(*(part[:, [label]] for part in arrays)) for label in range(truth.shape[1])]
            self._pooled = Ranking.of(*arrays)
        self._means = [name for name in SAMPLE_MEANS if name in sample_values]
        if sample_values:
            values = torch.stack([sample_values[name].double() for name in self._means], dim=1)
            self._sample_values = (values * annotated.any(1, keepdim=True)).cpu().numpy()

    def __call__(self, counts: Array, pseudo: PseudoPositives | None = None) -> Array:
        """Compute the values ``(K, R)`` of the metrics for counts ``(R, N)``, R resamples of N samples."""
        weights = counts.astype(np.float64)
        wanted = set(self.names)
        values: dict[str, Array] = {}
        if pseudo is not None:
            pseudo = pseudo.only(self._annotated)
        if wanted.intersection(DECISION_METRICS):
            values |= self._label_wise(weights, pseudo)
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
            if pseudo is not None:
                areas = self._smooth_areas(areas, weights, pseudo)
            values |= dict(zip(("macro_ap", "macro_auroc"), _mean_of_defined(areas)))
            values["macro_auroc_zero"] = np.nan_to_num(areas[:, 1]).mean(axis=0)
        if wanted.intersection({"micro_ap", "micro_auroc"}):
            values |= dict(zip(("micro_ap", "micro_auroc"), self._pooled.areas(counts)))
        return np.stack([values[name] for name in self.names])

    @cached_property
    def _own_weighted_f1(self) -> Array:
        """The weighted F1 of the samples themselves, ``(1,)``."""
        return self._label_wise(np.ones((1, len(self._entries))), None)["weighted_f1"]

    @cached_property
    def _own_areas(self) -> Array:
        """The average precision and AUROC of each label on the samples themselves, ``(C, 2, 1)``."""
        ones = np.ones((1, len(self._entries)), dtype=np.int32)
        return np.stack([ranking.areas(ones) for ranking in self._labels])

    def _label_wise(self, weights: Array, pseudo: PseudoPositives | None) -> dict[str, Array]:
        tp, fp, fn = (weights @ self._counts).reshape(len(weights), 3, -1).transpose(1, 0, 2)
        values = {"hamming_loss": (fp + fn).sum(1) / (weights @ self._entries)}
        micro = _precision_recall_f1(*(count.sum(1) for count in (tp, fp, fn)))
        values |= dict(zip(("micro_precision", "micro_recall", "micro_f1"), micro))
        values["weighted_f1"] = _ratio((_precision_recall_f1(tp, fp, fn)[2] * (tp + fn)).sum(1), (tp + fn).sum(1))
        if pseudo is not None:
            values["weighted_f1"] = _reflect(self._own_weighted_f1, values["weighted_f1"])
            # a missed pseudo-positive is half a false negative and half a false positive of another sample
            tp, fp, fn = tp + pseudo.right, fp + pseudo.wrong, fn + pseudo.wrong
        precision, recall, f1 = _precision_recall_f1(tp, fp, fn)
        values |= {"macro_precision": precision.mean(1), "macro_recall": recall.mean(1), "macro_f1": f1.mean(1)}
        values["macro_f1_present"] = _mean_of_defined(np.where(tp + fn > 0, f1, np.nan).T)
        return values

    def _smooth_areas(self, areas: Array, weights: Array, pseudo: PseudoPositives) -> Array:
        """Add pseudo-positives to the average precision and AUROC ``(C, 2, R)`` of each label."""
        right, wrong = pseudo.right.T, pseudo.wrong.T
        positives = (weights @ self._signs[:, : len(self._labels)]).T
        precision = _smooth(_reflect(self._own_areas[:, 0], areas[:, 0]), positives, right, wrong)
        # a wrong pseudo-positive is ranked by chance, not below everything
        auroc = _smooth(areas[:, 1], positives, right + wrong / 2, wrong / 2)
        return np.stack([precision, auroc], axis=1)


def evaluator(metric: MetricLike, outputs: Tensor, targets: Tensor, mask: Tensor | None) -> Evaluate:
    """Create the function that computes one metric for many resamples.

    Args:
        metric: A name of the collection, or a function ``(outputs, targets) -> number``, with the mask as a third
        argument, if any. It is called once per resample, on rows that are repeated as often as they count, and its
        value must not depend on the order of the rows.
        outputs: ``(N, C)``, decisions or probabilities, whichever the metric needs.
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, or ``None``.

    Returns:
        A function from counts ``(R, N)`` to values ``(1, R)``; a function of the user is called without
        pseudo-positives.

    Raises:
        ValueError: An unknown name, outputs of the wrong kind, wrong shapes, dtypes or values.
    """
    if isinstance(metric, str):
        kind = "decisions" if metric in DECISION_METRICS else "probabilities"
        _check_name(metric)
        return WeightedMetrics([metric], targets, mask, **{kind: _check_outputs(outputs, targets.shape, metric)})
    parts = (outputs, targets) if mask is None else (outputs, targets, mask)

    def repeat_and_call(counts: Array, pseudo: PseudoPositives | None = None) -> Array:
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
    """Check decisions ``(N, C)`` bool or probabilities ``(N, C)`` float32, whichever the metric needs."""
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
    """Compute precision, recall, F1, Jaccard index and exact match of each sample's label set, each ``(N,)``."""
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
    """Compute the ranking metrics of each sample, each ``(N,)``."""
    irrelevant = annotated & ~truth
    relevant = truth.sum(1)
    pairs = relevant * irrelevant.sum(1)
    depth = _at_least(scores, annotated, truth)
    visible = scores.masked_fill(~annotated, -1.0)
    highest = visible == visible.amax(1, keepdim=True)
    precision = (_at_least(scores, truth, truth).double() / depth.clamp(min=1)).sum(1) / relevant.clamp(min=1)
    return {
        "ranking_loss": _at_least(scores, irrelevant, truth).sum(1).double() / pairs.clamp(min=1),
        "one_error": (highest & ~truth).any(1),
        "coverage_error": depth.amax(1),
        "label_ranking_ap": torch.where(relevant > 0, precision, 1.0),
    }


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Divide, with 0 for 0/0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _precision_recall_f1(tp: Array, fp: Array, fn: Array) -> tuple[Array, Array, Array]:
    return _ratio(tp, tp + fp), _ratio(tp, tp + fn), _ratio(2 * tp, 2 * tp + fp + fn)


def _reflect(own: Array, resampled: Array) -> Array:
    """Compute 2 θ − θ* of the basic bootstrap."""
    return np.clip(2 * own - resampled, 0, 1)


def _smooth(values: Array, positives: Array, right: Array, wrong: Array) -> Array:
    """Add pseudo-positives to a mean over positives; NaN without either. A value that is NaN has weight 0."""
    positives = np.where(np.isnan(values), 0, positives)
    size = positives + right + wrong
    return np.divide(np.nan_to_num(values) * positives + right, size, out=np.full_like(size, np.nan), where=size > 0)


def _mean_of_defined(areas: Array) -> Array:
    """Compute the mean over the first dimension, ignoring NaN; NaN where all are."""
    defined = ~np.isnan(areas)
    count = defined.sum(axis=0)
    return np.where(count > 0, np.where(defined, areas, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
