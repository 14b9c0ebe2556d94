"""Label-correlation loss: a model's affinities between labels, aligned with how often they occur together."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from mlemo.losses.base import Loss, check_inputs

__all__ = ["LabelCorrelationLoss", "row_stochastic"]

Cooccurrence = Literal["batch", "running", "dataset"]


class LabelCorrelationLoss(Loss):
    """``KL(Q ‖ A) = mean_i Σ_j Q_ij log (Q_ij / A_ij)``, both matrices row-stochastic (Alrasheedy et al. 2026, eq. 19).

    Q holds the model's affinities: the context ``label_affinity``, ``log Q`` of shape (C, C), where the model gives it
    (GTHL-Emo does), else the soft co-occurrences ``PᵀP`` of the probabilities of the batch, with rows scaled to 1. A
    holds the co-occurrences ``YᵀY`` of the labels, with ``smoothing`` added to each entry and rows scaled to 1, so that
    the row of a label that never occurs is uniform.

    Args:
        cooccurrence: Where A is counted: in the ``batch`` (nearly empty for small ones), as a ``running`` average over
            the batches seen in training, or once in the whole training split (``dataset``; until `observe` was called,
            as in ``batch``).
        smoothing: Added to each count, as a share of a sample.
        momentum: Of the running average.
        confidence: Let each sample count by how sure the model is of it, ``mean_c |2 p_ic − 1|``; not with ``dataset``.

    Raises:
        ValueError: A setting out of range, or confidence with ``dataset``; when called, an affinity of another size.
    """

    batchwise: ClassVar[bool] = True

    average: Tensor
    seen: Tensor

    def __init__(
        self,
        cooccurrence: Cooccurrence = "running",
        smoothing: float = 0.01,
        momentum: float = 0.95,
        confidence: bool = False,
    ) -> None:
        super().__init__()
        if cooccurrence not in get_args(Cooccurrence):
            raise ValueError(f"cooccurrence must be one of {get_args(Cooccurrence)}, found {cooccurrence!r}")
        if not smoothing > 0 or not 0 <= momentum < 1:
            raise ValueError(f"smoothing must be positive and momentum in [0, 1), found {smoothing} and {momentum}")
        if confidence and cooccurrence == "dataset":
            raise ValueError("the co-occurrences of the dataset are counted before there is any confidence")
        self.cooccurrence, self.smoothing = cooccurrence, smoothing
        self.momentum, self.confidence = momentum, confidence
        self.register_buffer("average", torch.zeros(0, 0))
        self.register_buffer("seen", torch.zeros(()))

    def bind(self, classes: int) -> None:
        """Make room for the co-occurrences of so many classes."""
        self.average = torch.zeros(classes, classes, device=self.average.device)

    def observe(self, targets: Tensor, mask: Tensor) -> None:
        """Count the co-occurrences of the training split."""
        if self.cooccurrence == "dataset":
            on = (targets * mask).to(self.average)
            self.average, self.seen = on.T @ on / max(1, len(on)), torch.ones_like(self.seen)

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The mean over the rows of the matrices; see `Loss.forward`."""
        logits, targets, mask = check_inputs(logits, targets, mask)
        rows = mask.any(1).sum()
        probabilities = logits.sigmoid() * mask
        log_affinity = context.get("label_affinity")
        if log_affinity is None:
            together = probabilities.T @ probabilities / rows.clamp(min=1)
            log_affinity = row_stochastic(together, self.smoothing).log()
        elif log_affinity.shape != (logits.shape[1],) * 2:
            raise ValueError(f"label_affinity has shape {tuple(log_affinity.shape)} for {logits.shape[1]} classes")
        known = row_stochastic(self._together(probabilities.detach(), targets * mask, rows), self.smoothing)
        divergence = (log_affinity.exp() * (log_affinity - known.log())).sum(1).mean()
        return divergence * (rows > 0)

    def _together(self, probabilities: Tensor, targets: Tensor, rows: Tensor) -> Tensor:
        """Present co-occurrences, a mean over samples, ``(C, C)``."""
        if self.cooccurrence == "dataset" and self.average.numel():
            return self.average.to(targets.dtype)
        weights = (2 * probabilities - 1).abs().mean(1, keepdim=True) if self.confidence else 1.0
        batch = (targets * weights).T @ targets / rows.clamp(min=1)
        if self.cooccurrence != "running":
            return batch
        if self.average.shape != batch.shape:
            self.bind(len(batch))
        average, seen = self.average.to(batch), self.seen
        if self.training:
            average = self.momentum * average + (1 - self.momentum) * batch
            seen = self.momentum * seen + (1 - self.momentum)
            self.average.copy_(average)
            self.seen.copy_(seen)
        # divided by the weight of what was seen, as the average starts from nothing
        return torch.where(seen > 0, average / seen.clamp(min=1e-12).to(batch), batch)


def row_stochastic(counts: Tensor, smoothing: float) -> Tensor:
    """Rows scaled to a sum of 1 after ``smoothing`` was added to each entry.

    Example:
        >>> row_stochastic(torch.tensor([[3.0, 1.0], [0.0, 0.0]]), smoothing=1e-9)
        tensor([[0.7500, 0.2500],
                [0.5000, 0.5000]])
    """
    smoothed = counts + smoothing
    return smoothed / smoothed.sum(1, keepdim=True)
