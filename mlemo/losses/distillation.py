"""Distillation: a loss on labels and on the probabilities of a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mlemo.losses.base import Loss, MultiTermLoss
from mlemo.losses.binary_cross_entropy import BinaryCrossEntropy

__all__ = ["DistillationLoss"]


class DistillationLoss(MultiTermLoss):
    """A loss on the labels, and the cross-entropy from a teacher's probabilities (Hinton et al. 2015, section 2).

    With logits z of the student and v of the teacher, labels y and temperature T

        L = (1 − w) · L_hard(z, y) + w · T² · mean_{i,c} H(σ(v_ic / T), σ(z_ic / T))
        H(q, p) = −q log p − (1 − q) log(1 − p)

    Their eq. 1 for the two classes with logits z and 0, a label and its absence, is σ(z / T). T² keeps the gradient of
    the soft term, T (σ(z / T) − σ(v / T)) before averaging, of the same order for every T. The soft term counts every
    entry, also where a label is not annotated, such as in the texts of ``data.unlabeled``.

    ``mlemo fit`` computes the teacher's logits for the training texts once, before the training, and gives them to
    `teach`; see :class:`mlemo.training.teacher.Teacher`. They are in no checkpoint. In evaluation the loss is L_hard.

    Args:
        teacher: Folder of a run or of an ensemble over the same labels, or a checkpoint.
        hard: The loss on the labels; binary cross-entropy if left out.
        weight: w, weight of the soft term; with 1 the labels are not used.
        temperature: T.

    Raises:
        ValueError: ``weight`` is outside (0, 1], or ``temperature`` is not positive.

    Example:
        >>> loss = DistillationLoss("runs/teacher", weight=1.0)
        >>> loss.teach(torch.zeros(1, 2))
        >>> loss(torch.zeros(1, 2), torch.ones(1, 2), index=torch.tensor([0]))  # H(1/2, 1/2) = ln 2
        tensor(0.6931)
    """

    default_parts: ClassVar[Mapping[str, partial[Any]]] = {"hard": partial(BinaryCrossEntropy)}

    def __init__(
        self, teacher: str | Path, hard: Loss | None = None, weight: float = 0.5, temperature: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 < weight <= 1:
            raise ValueError(f"DistillationLoss.weight must be above 0 and at most 1, found {weight}")
        if not temperature > 0:
            raise ValueError(f"DistillationLoss.temperature must be positive, found {temperature}")
        self.teacher, self.weight, self.temperature = str(teacher), weight, temperature
        self.terms["hard"] = self.default_parts["hard"]() if hard is None else hard
        self._logits: Tensor | None = None  # not a buffer: neither saved, nor sent to other processes in every step

    @property
    def hard(self) -> Loss:
        """The loss on the labels."""
        return self.terms["hard"]  # type: ignore[return-value]  # every term is a Loss

    def teach(self, logits: Tensor) -> None:
        """Take the teacher's logits for the rows of the training split.

        Args:
            logits: ``(N, C)``, on the device of the training.
        """
        self._logits = logits

    def weight_parameters(self) -> list[torch.nn.Parameter]:
        """Those of the loss on the labels."""
        return self.hard.weight_parameters()

    def weights(self) -> dict[str, Tensor]:
        """Weight of both terms in training, and of L_hard alone in evaluation."""
        if not self.training:
            return {"hard": torch.tensor(1.0)}
        return {"hard": torch.tensor(1 - self.weight), "soft": torch.tensor(self.weight * self.temperature**2)}

    def components(
        self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> dict[str, Tensor]:
        """Both terms before weighting in training, and L_hard alone in evaluation; see `MultiTermLoss.components`."""
        values = {"hard": self.hard(logits, targets, mask, **context)}
        if self.training:
            soft = self._soft(logits, context["index"])
            values["soft"] = soft.sum() / max(1, soft.numel())
        return values

    def per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor | None:
        """See `Loss.per_sample`."""
        hard = self.hard.per_sample(logits, targets, mask, **context)
        if hard is None or not self.training:
            return hard
        soft = self._soft(logits, context["index"]).mean(1)
        return (1 - self.weight) * hard + self.weight * self.temperature**2 * soft

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The loss of a batch; see `Loss.forward`.

        Raises:
            ValueError: The teacher's logits are needed and were not given to `teach`.
        """
        components = self.components(logits, targets, mask, **context)
        self.last_components = {name: value.detach() for name, value in components.items()}
        if not self.training:
            return components["hard"]
        return (1 - self.weight) * components["hard"] + self.weight * self.temperature**2 * components["soft"]

    def _soft(self, logits: Tensor, index: Tensor) -> Tensor:
        """Cross-entropy of every entry from the teacher's probabilities, ``(N, C)``."""
        if self._logits is None:
            raise ValueError(f"the logits of the teacher {self.teacher} were not given to DistillationLoss.teach")
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        teacher = self._logits.index_select(0, index).to(logits.dtype)
        return F.binary_cross_entropy_with_logits(
            logits / self.temperature, (teacher / self.temperature).sigmoid(), reduction="none"
        )
