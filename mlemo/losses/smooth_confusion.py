"""Metrics of the confusion matrix as losses: the counts are sums of smooth predictions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from mlemo.losses.base import BatchLoss, masked_mean

__all__ = ["Average", "Counts", "Metric", "SmoothConfusionLoss", "confusion_counts", "mean_over_classes", "ratio"]

Metric = Literal["accuracy", "precision", "recall", "specificity", "npv", "f1", "f_beta"]
Average = Literal["macro", "micro"]

# A denominator below this counts as none. Its inverse, times any weight of F_beta, still fits into float32.
_NOTHING = 1e-30


class Counts(NamedTuple):
    """True positives, false positives, false negatives and true negatives of every class, each ``(C,)``."""

    tp: Tensor
    fp: Tensor
    fn: Tensor
    tn: Tensor


def confusion_counts(predictions: Tensor, targets: Tensor, mask: Tensor) -> Counts:
    """Confusion matrix of every class over the annotated entries, linear in the predictions.

        tp = Σ s·y    fp = Σ s·(1 − y)    fn = Σ (1 − s)·y    tn = Σ (1 − s)·(1 − y)

    Args:
        predictions: s, ``(N, C)``: 1 = predicted, 0 = not; values in between, or beyond, are taken as they are.
        targets: y, ``(N, C)`` in [0, 1], 0 where not annotated.
        mask: ``(N, C)`` bool.

    Returns:
        Four times ``(C,)``. Bénédict et al. (2022), eq. 5, and eq. 4 where s are raw scores.
    """
    positive, negative = targets, (1 - targets) * mask
    return Counts(
        tp=(predictions * positive).sum(0),
        fp=(predictions * negative).sum(0),
        fn=((1 - predictions) * positive).sum(0),
        tn=((1 - predictions) * negative).sum(0),
    )


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """``part / whole``, and 0 with finite gradients where both are 0.

    Example:
        >>> ratio(torch.tensor([1.0, 0.0]), torch.tensor([4.0, 0.0]))
        tensor([0.2500, 0.0000])
    """
    return part / whole.clamp(min=_NOTHING)


def mean_over_classes(values: Tensor, targets: Tensor, mask: Tensor, skip_absent: bool) -> Tensor:
    """Mean of one value a class, ``(C,)``, over the classes that have an annotated entry.

    Args:
        values: ``(C,)``.
        targets: ``(N, C)``, 0 where not annotated.
        mask: ``(N, C)`` bool.
        skip_absent: Whether classes without a positive in the batch are left out too.

    Returns:
        Scalar; 0 where no class is left.
    """
    counted = (targets > 0).any(0) if skip_absent else mask.any(0)
    return masked_mean(values, counted)


# What is right and what is wrong by each metric; its value is right / (right + wrong). w = β² of F_β.
_RIGHT_AND_WRONG: dict[Metric, Callable[[Counts, float], tuple[Tensor, Tensor]]] = {
    "accuracy": lambda n, w: (n.tp + n.tn, n.fp + n.fn),
    "precision": lambda n, w: (n.tp, n.fp),
    "recall": lambda n, w: (n.tp, n.fn),
    "specificity": lambda n, w: (n.tn, n.fp),
    "npv": lambda n, w: (n.tn, n.fn),
    "f1": lambda n, w: (2 * n.tp, n.fp + n.fn),
    "f_beta": lambda n, w: ((1 + w) * n.tp, n.fp + w * n.fn),
}


class SmoothConfusionLoss(BatchLoss):
    """1 − a metric of the confusion matrix, whose counts are sums of S(u; β, η) = σ(β · (u + η)).

    With logit u, target y and s = S(u), summed over the annotated entries of the batch,

        tp = Σ s·y    fp = Σ s·(1 − y)    fn = Σ (1 − s)·y    tn = Σ (1 − s)·(1 − y)

    =========== =============================================================
    accuracy    (tp + tn) / (tp + fp + fn + tn)
    precision   tp / (tp + fp)
    recall      tp / (tp + fn)
    specificity tn / (tn + fp)
    npv         tn / (tn + fn), the negative predictive value
    f1          2 tp / (2 tp + fp + fn)
    f_beta      (1 + b²) tp / ((1 + b²) tp + b² fn + fp), with b = ``f_beta``
    =========== =============================================================

    Bénédict et al., "sigmoidF1: A Smooth F1 Score Surrogate Loss for Multilabel Classification" (TMLR 2022), eq. 5, 6
    and Table 5. ``macro`` is the mean of the metric over classes, ``micro`` the metric of the counts of all classes
    together; the paper swaps the two names (its eq. 9 is ``micro``, its eq. 10 ``macro``). With s in {0, 1} each is the
    metric itself. Precision, recall, specificity and npv have a trivial optimum (recall: predict everything) and are
    meant as parts of an objective.

    0 / 0 is 0 and counted, as in scikit-learn. Smooth predictions are never 0 altogether, but a class without a
    positive in the batch has a precision, recall and F-score of 0 with no gradient whatever is predicted, and adds a
    constant to the macro loss: the smaller the batch and the rarer the classes, the further the loss lies above
    1 − metric of the whole corpus. Classes without any annotated entry are not counted (`mlemo.metrics` has them as 0).
    Targets may be soft.

    This is a loss of the batch, see `mlemo.losses.base.BatchLoss`: under gradient accumulation it judges each
    micro-batch for itself, and ``gather`` joins the batches of all processes.

    Args:
        metric: Which metric.
        average: Over classes or over all entries.
        beta: β, the slope: one number, or one per class. A negative slope inverts the predictions (the paper's β =
            −0.75 for images), which is allowed with a warning.
        eta: η, the offset in logits: one number, or one per class.
        f_beta: b of ``metric="f_beta"``: how many times recall weighs as much as precision.
        learnable: Whether β and η are parameters, trained with the network by its optimizer. Of β the size |β| is
            learned: it keeps the sign that it starts with, as a slope that crosses 0 turns the predictions round.
        classes: Number of classes, for a β and an η of each that start at ``beta`` and ``eta``; ``None`` = as many as
            these are.
        skip_absent: Whether the macro average leaves out the classes without a positive in the batch.
        gather: Whether the processes (if there are several) join their batches.

    Raises:
        ValueError: Settings outside these ranges, or (when called) not as many values as there are classes.

    Example:
        >>> logits, targets = torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [0.0]])
        >>> SmoothConfusionLoss("recall")(logits, targets)  # one half of the one positive
        tensor(0.5000)
        >>> SmoothConfusionLoss("f1", beta=10.0, eta=1.0)(logits, targets)  # all predicted: 1 − 2 / 3
        tensor(0.3333)
    """

    beta: Tensor
    eta: Tensor
    _sign: Tensor

    def __init__(
        self,
        metric: Metric = "f1",
        average: Average = "macro",
        beta: float | Sequence[float] | Tensor = 1.0,
        eta: float | Sequence[float] | Tensor = 0.0,
        *,
        f_beta: float = 1.0,
        learnable: bool = False,
        classes: int | None = None,
        skip_absent: bool = False,
        gather: bool = False,
    ) -> None:
        super().__init__(gather)
        if metric not in get_args(Metric):
            raise ValueError(f"metric must be one of {', '.join(get_args(Metric))}, found {metric!r}")
        if average not in get_args(Average):
            raise ValueError(f"average must be macro or micro, found {average!r}")
        if not (f_beta > 0 and math.isfinite(f_beta)):
            raise ValueError(f"f_beta must be positive and finite, found {f_beta}")
        if f_beta != 1 and metric != "f_beta":
            raise ValueError(f"f_beta = {f_beta} needs metric='f_beta', found metric={metric!r}")
        if skip_absent and average != "macro":
            raise ValueError(f"skip_absent leaves classes out of the macro average, found average={average!r}")
        self.metric = metric
        self.average = average
        self.f_beta = f_beta
        self.skip_absent = skip_absent
        for name, values in (("beta", beta), ("eta", eta)):
            tensor = _numbers(name, values, classes)
            if learnable:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("_sign", self.beta.detach().sign(), persistent=False)
        if (self.beta == 0).any():
            raise ValueError(f"beta must not be 0, found {self.beta.tolist()}")
        if (self.beta < 0).any():
            warnings.warn(
                f"beta = {self.beta.tolist()}: a negative slope trains low logits to mean that a label applies, which "
                "decisions and metrics, where high probabilities do, will not undo",
                stacklevel=2,
            )

    def _batch_loss(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        slope = self._sign * self._per_class("beta", logits).abs()
        predictions = torch.sigmoid(slope * (logits + self._per_class("eta", logits)))
        if self.average == "micro":  # all entries as those of one class
            predictions, targets, mask = (part.reshape(-1, 1) for part in (predictions, targets, mask))
        counts = confusion_counts(predictions, targets, mask)
        right, wrong = _RIGHT_AND_WRONG[self.metric](counts, self.f_beta**2)
        return mean_over_classes(1 - ratio(right, right + wrong), targets, mask, self.skip_absent)

    def _per_class(self, name: str, logits: Tensor) -> Tensor:
        values: Tensor = getattr(self, name)
        if values.ndim == 1 and len(values) != logits.shape[1]:
            raise ValueError(f"{len(values)} values of {name} for logits of {logits.shape[1]} classes")
        return values.to(logits.dtype)


def _numbers(name: str, values: float | Sequence[float] | Tensor, classes: int | None) -> Tensor:
    """One number, ``()``, or one per class, ``(C,)``, in float32."""
    numbers = torch.as_tensor(values, dtype=torch.float32).detach().clone()
    if numbers.ndim > 1 or numbers.numel() == 0:
        raise ValueError(f"{name} must be one number or one per class, found shape {tuple(numbers.shape)}")
    if not numbers.isfinite().all():
        raise ValueError(f"{name} must be finite, found {numbers.tolist()}")
    if classes is None:
        return numbers
    if classes < 1 or (numbers.ndim == 1 and len(numbers) != classes):
        raise ValueError(f"{name} has {numbers.numel()} values for classes={classes}")
    return numbers.expand(classes).clone()
