"""Jaccard index, micro F1 and macro F1 with probabilities in the place of decisions.

Hurtado et al., "Choosing the right loss function for multi-label Emotion Classification" (Journal of Intelligent &
Fuzzy Systems, 2019). Where every probability o is 0 or 1 a soft metric equals its metric.

**Is a soft metric a lower bound of the metric?** The paper observes so (Fig. 3: it never lies above). It is not one in
general: a positive with o = 0.4 has a soft Jaccard index of 0.4, and at the threshold 0.5 a Jaccard index of 0. It is
one wherever the wrong decisions are certain, that is where each wrong entry has o = 0 or o = 1. For every soft metric
rises (or stays) if the o of a positive rises or that of a negative falls: as fractions, the first adds at least as much
to the numerator as the fraction's share of what it adds to the denominator, the second takes from the denominator
alone. Rounding the right entries moves each of them in that direction and turns the soft metric into the metric. A
network that is trained into confident errors comes near this case; a batch without a class's positives widens the gap,
as its F1 there is 0 whatever is predicted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mlemo.losses.base import SamplewiseLoss
from mlemo.losses.smooth_confusion import SmoothConfusionLoss, ratio

__all__ = ["SoftJaccardLoss", "SoftMacroF1Loss", "SoftMicroF1Loss"]


class SoftJaccardLoss(SamplewiseLoss):
    """1 − soft Jaccard index, the "accuracy" of multi-label classification, averaged over samples.

    With logit x, target y and o = σ(x), summed over the annotated labels of each sample,

        1 − mean_i Σ_c y·o / Σ_c (y + o − y·o)

    Hurtado et al. (2019), eq. 9. The index of two empty sets is 1, as in the scorer of SemEval-2018; that takes o = 0
    throughout, and with o > 0 a sample without positive labels has an index of 0 and no gradient: such samples teach
    nothing. Samples without annotated labels are not counted. Targets may be soft. It is a mean over samples: over
    micro-batches or processes with as many samples each it is that of the joined batch, and there is nothing to gather.

    Example:
        >>> loss = SoftJaccardLoss()
        >>> loss(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]))  # 1 − 0.5 / (0.5 + 1)
        tensor(0.6667)
    """

    def _per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        predictions = logits.sigmoid() * mask
        common = (targets * predictions).sum(1)
        union = (targets + predictions - targets * predictions).sum(1)
        return 1 - torch.where(union > 0, ratio(common, union), 1.0)


class SoftMicroF1Loss(SmoothConfusionLoss):
    """1 − soft micro F1: one fraction for all samples and classes.

    With logit x, target y and o = σ(x), summed over the annotated entries of the batch,

        1 − 2 ΣΣ y·o / ΣΣ (y + o)

    Hurtado et al. (2019), eq. 10. This is `SmoothConfusionLoss` with ``metric="f1"`` and ``average="micro"``. A batch
    without any positive has an F1 of 0 and no gradient. Targets may be soft. It is a loss of the batch, see
    `mlemo.losses.base.BatchLoss`: under gradient accumulation it judges each micro-batch for itself, and ``gather``
    joins the batches of all processes.

    Args:
        gather: Whether the processes (if there are several) join their batches.

    Example:
        >>> SoftMicroF1Loss()(torch.zeros(2, 2), torch.tensor([[0.0, 1.0], [0.0, 0.0]]))  # 1 − 2 · 0.5 / (1 + 2)
        tensor(0.6667)
    """

    def __init__(self, gather: bool = False) -> None:
        super().__init__("f1", "micro", gather=gather)


class SoftMacroF1Loss(SmoothConfusionLoss):
    """1 − soft macro F1: the mean of one fraction a class.

    With logit x, target y and o = σ(x), summed over the annotated entries of each class,

        1 − mean_c 2 Σ_i y·o / Σ_i (y + o)

    Hurtado et al. (2019), eq. 11. This is `SmoothConfusionLoss` with ``metric="f1"`` and ``average="macro"``, and
    `SigmoidF1Loss` with β = 1 and η = 0. The F1 of a class with no positive and no prediction is 0 and counted, as in
    scikit-learn; with o > 0 that is so for every class without a positive in the batch, which has no gradient but makes
    the loss larger by a constant, the more so the smaller the batch. Targets may be soft. It is a loss of the batch,
    see `mlemo.losses.base.BatchLoss`: under gradient accumulation it judges each micro-batch for itself, and
    ``gather`` joins the batches of all processes.

    Args:
        skip_absent: Whether the classes without a positive in the batch are left out of the mean.
        gather: Whether the processes (if there are several) join their batches.

    Example:
        >>> logits, targets = torch.zeros(2, 2), torch.tensor([[0.0, 1.0], [0.0, 0.0]])
        >>> SoftMacroF1Loss()(logits, targets)  # 1 − (0 + 1 / 2) / 2
        tensor(0.7500)
        >>> SoftMacroF1Loss(skip_absent=True)(logits, targets)  # 1 − 1 / 2
        tensor(0.5000)
    """

    def __init__(self, skip_absent: bool = False, gather: bool = False) -> None:
        super().__init__("f1", "macro", skip_absent=skip_absent, gather=gather)
