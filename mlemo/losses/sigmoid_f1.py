"""sigmoidF1, and the unbounded F1 that it was compared with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mlemo.losses.base import BatchLoss
from mlemo.losses.smooth_confusion import SmoothConfusionLoss, confusion_counts, mean_over_classes, ratio

__all__ = ["SigmoidF1Loss", "UnboundedF1Loss"]


class SigmoidF1Loss(SmoothConfusionLoss):
    """sigmoidF1: 1 − macro F1 of predictions that a tunable sigmoid makes of the logits.

    With logit u, target y and s = S(u; β, η) = σ(β · (u + η)), summed over the annotated entries of each class,

        1 − mean_c 2 tp / (2 tp + fp + fn),    tp = Σ s·y,  fp = Σ s·(1 − y),  fn = Σ (1 − s)·y

    Bénédict et al., "sigmoidF1: A Smooth F1 Score Surrogate Loss for Multilabel Classification" (TMLR 2022), eq. 5–8.
    The larger β, the closer S is to a decision at u = −η, and the fewer logits have a gradient; the paper searches β in
    [1, 30] and η in [0, 2], and reports β = 1, η = 9 for text. u are the raw logits: a sigmoid before S would keep
    every prediction between 0.5 and σ(1). Learnable β and η are what the paper leaves to later work; without
    ``classes`` they are shared.

    This is `SmoothConfusionLoss` with ``metric="f1"`` and ``average="macro"``, which describes classes
    without positives and a negative β. (The paper calls this macro, as here, and swaps the names in its appendix.)
    It is a loss of the batch, see `mlemo.losses.base.BatchLoss`: under gradient accumulation it judges each micro-batch
    for itself, and ``gather`` joins the batches of all processes.

    Args:
        beta: β, the slope: one number, or one per class.
        eta: η, the offset in logits: one number, or one per class.
        learnable: Whether β and η are parameters, trained with the network by its optimizer.
        classes: Number of classes, for a β and an η of each that start at ``beta`` and ``eta``; ``None`` = as many as
            these are.
        skip_absent: Whether the classes without a positive in the batch are left out of the mean.
        gather: Whether the processes (if there are several) join their batches.

    Raises:
        ValueError: A β that is 0, values that are not finite, or (when called) not as many as there are classes.

    Example:
        >>> import torch
        >>> logits, targets = torch.tensor([[2.0], [-2.0]]), torch.tensor([[1.0], [0.0]])
        >>> SigmoidF1Loss()(logits, targets)  # tp = σ(2) = 0.88, fp = fn = 0.12
        tensor(0.1192)
        >>> SigmoidF1Loss(beta=10.0)(logits, targets)
        tensor(0.)
    """

    def __init__(
        self,
        beta: float | Sequence[float] | Tensor = 1.0,
        eta: float | Sequence[float] | Tensor = 0.0,
        *,
        learnable: bool = False,
        classes: int | None = None,
        skip_absent: bool = False,
        gather: bool = False,
    ) -> None:
        super().__init__(
            "f1", "macro", beta, eta, learnable=learnable, classes=classes, skip_absent=skip_absent, gather=gather
        )


class UnboundedF1Loss(BatchLoss):
    """1 − macro F1 with the raw scores as predictions.

    With logit u and target y, summed over the annotated entries of each class,

        tp = Σ u·y    fp = Σ u·(1 − y)    fn = Σ (1 − u)·y
        1 − mean_c 2 tp / (tp + fn + max(tp + fp, 0))

    Bénédict et al., "sigmoidF1: A Smooth F1 Score Surrogate Loss for Multilabel Classification" (TMLR 2022), eq. 4 and
    7, whose denominator is 2 tp + fn + fp, the number of positives and of predictions, tp + fp = Σ u. Scores can be
    negative, and eq. 7 then has a pole where the sum of both is 0, at which the loss goes to −∞ and turns its sign.
    Here a class cannot have less than no predictions: where Σ u < 0 it counts as 0, so that the denominator is at least
    the number of positives. Elsewhere, and so for u in {0, 1}, the value is that of eq. 7. The loss remains without
    bound: it falls with every score of a positive that rises, and can be negative. Without predictions in sum
    (Σ u ≤ 0) negatives have no gradient.

    0 / 0 is 0 and counted: a class without a positive in the batch has an F1 of 0 with no gradient. Classes without any
    annotated entry are not counted. Targets may be soft. This is a loss of the batch, see
    `mlemo.losses.base.BatchLoss`: under gradient accumulation it judges each micro-batch for itself, and ``gather``
    joins the batches of all processes.

    Args:
        skip_absent: Whether the classes without a positive in the batch are left out of the mean.
        gather: Whether the processes (if there are several) join their batches.

    Example:
        >>> import torch
        >>> UnboundedF1Loss()(torch.tensor([[2.0], [1.0]]), torch.tensor([[1.0], [0.0]]))  # 1 − 2 · 2 / (1 + 3)
        tensor(0.)
    """

    def __init__(self, skip_absent: bool = False, gather: bool = False) -> None:
        super().__init__(gather)
        self.skip_absent = skip_absent

    def _batch_loss(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        counts = confusion_counts(logits, targets, mask)
        positives, predicted = targets.sum(0), counts.tp + counts.fp
        f1 = ratio(2 * counts.tp, positives + predicted.clamp(min=0))
        return mean_over_classes(1 - f1, targets, mask, self.skip_absent)
