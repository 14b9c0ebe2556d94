"""Binary cross-entropy, the baseline objective, and class weights for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.base import ElementwiseLoss, check_targets, class_vector

__all__ = ["BinaryCrossEntropy", "positive_weights"]


class BinaryCrossEntropy(ElementwiseLoss):
    """Binary cross-entropy, averaged over the annotated entries.

    With logit x, target y and p = σ(x), each entry is

        −w_c · y · log p − (1 − y) · log(1 − p)

    where w_c, the weight of class c, acts on the positive term alone. This is eq. 16 of GTHL-Emo (Alrasheedy et al.,
    Electronics 2026) for w = 1. Targets may be soft. Label smoothing replaces y by ``(1 − ε) y + ε / 2``, the
    mixture with the uniform distribution of Szegedy et al., "Rethinking the Inception Architecture for Computer Vision"
    (CVPR 2016), section 7, for two outcomes.

    Args:
        class_weights: w, one positive number per class; ``balanced`` = what `positive_weights` computes of the training
            split (1 until `observe` was called), kept in the checkpoint; ``None`` = all 1.
        smoothing: ε in [0, 1).

    Raises:
        ValueError: Another word, weights that are not positive, or (when called) not as many as there are classes; a
            smoothing outside its range.

    Example:
        >>> loss = BinaryCrossEntropy(class_weights=[1.0, 3.0])
        >>> loss(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]))  # (ln 2 + 3 ln 2) / 2
        tensor(1.3863)
    """

    class_weights: Tensor | None

    def __init__(
        self,
        class_weights: Sequence[float] | Literal["balanced"] | Tensor | None = None,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), found {smoothing}")
        self.smoothing = smoothing
        if isinstance(class_weights, str) and class_weights != "balanced":
            raise ValueError(f"class_weights must be numbers, balanced or null, found {class_weights!r}")
        self.balanced = isinstance(class_weights, str)
        given = None if isinstance(class_weights, str) else class_weights
        vector = None if given is None else class_vector("class_weights", given)
        self.register_buffer("class_weights", vector, persistent=self.balanced)

    def bind(self, classes: int) -> None:
        """Start with a weight of 1 for each class where the weights are to be balanced."""
        if self.balanced:
            self.class_weights = torch.ones(classes)

    def observe(self, targets: Tensor, mask: Tensor) -> None:
        """Take the weights from the training split where they are to be balanced."""
        if self.balanced:
            self.class_weights = positive_weights(targets, mask)

    def _elementwise(self, logits: Tensor, targets: Tensor) -> Tensor:
        weights = self.class_weights
        if weights is not None and len(weights) != logits.shape[1]:
            raise ValueError(f"{len(weights)} class_weights for logits of {logits.shape[1]} classes")
        targets = (1 - self.smoothing) * targets + self.smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none")


def positive_weights(labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Class weights that let positives and negatives of a class weigh the same in `BinaryCrossEntropy`.

        w_c = number of negatives of c / number of positives of c

    Counts are over the annotated entries. A class that has one value only has no ratio and gets weight 1.

    Args:
        labels: ``(N, C)`` in [0, 1], of the training split.
        mask: ``(N, C)`` bool, ``False`` = not annotated; ``None`` = all are.

    Returns:
        ``(C,)`` float32.

    Raises:
        ValueError: Labels that are no matrix or outside [0, 1], or a mask that does not fit.

    Example:
        >>> positive_weights(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
        tensor([2., 1.])
    """
    mask = check_targets(labels, mask)
    positives = labels.float().masked_fill(~mask, 0.0).sum(0)
    negatives = mask.sum(0) - positives
    return torch.where((positives > 0) & (negatives > 0), negatives / positives.clamp(min=1e-12), 1.0)
