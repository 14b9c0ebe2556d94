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
            the batches seen in training (it moves with every call in training mode), or once in the whole training
            split (``dataset``); until anything was seen, as in ``batch``.
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
            with torch.autocast(on.device.type, enabled=False):
                self.average = on.T @ on / max(1, len(on))
            self.seen.fill_(1)

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The mean over the rows of the matrices; see `Loss.forward`."""
        return self.compute(*check_inputs(logits, targets, mask), **context)

    def compute(self, logits: Tensor, targets: Tensor, mask: Tensor, **context: Any) -> Tensor:
        """`forward` of inputs that `check_inputs` has returned."""
        log_affinity = context.get("label_affinity")
        if log_affinity is not None and log_affinity.shape != (logits.shape[1],) * 2:
            raise ValueError(f"label_affinity has shape {tuple(log_affinity.shape)} for {logits.shape[1]} classes")
        with torch.autocast(logits.device.type, enabled=False):  # co-occurrences are products of matrices
            rows = mask.any(1).sum()
            probabilities = logits.sigmoid() * mask
            if log_affinity is None:
                together = probabilities.T @ probabilities / rows.clamp(min=1)
                log_affinity = row_stochastic(together, self.smoothing).log()
            known = row_stochastic(self._together(probabilities.detach(), targets, mask), self.smoothing)
            divergence = (log_affinity.exp() * (log_affinity - known.log())).sum(1).mean()
            return divergence * (rows > 0)

    def _together(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Present co-occurrences, a mean over samples, ``(C, C)``."""
        weights = torch.ones_like(targets[:, :1])
        if self.confidence:
            certainty = (2 * probabilities - 1).abs() * mask
            weights = certainty.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        rows = mask.any(1).sum()
        batch = (targets * weights).T @ targets / rows.clamp(min=1)
        if self.cooccurrence == "batch":
            return batch
        if self.average.shape != batch.shape:
            self.bind(len(batch))
        if self.cooccurrence == "running" and self.training:
            share = (1 - self.momentum) * (rows > 0).to(self.average)
            self.average.lerp_(batch.to(self.average), share)
            self.seen.lerp_(torch.ones_like(self.seen), share)
        # divided by the weight of what was seen, as the average starts from nothing
        known = self.average / self.seen.clamp(min=1e-12)
        return torch.where(self.seen > 0, known.to(batch), batch)


def row_stochastic(counts: Tensor, smoothing: float) -> Tensor:
    """Rows scaled to a sum of 1 after ``smoothing`` was added to each entry.

    Example:
        >>> row_stochastic(torch.tensor([[3.0, 1.0], [0.0, 0.0]]), smoothing=1e-9)
        tensor([[0.7500, 0.2500],
                [0.5000, 0.5000]])
    """
    smoothed = counts + smoothing
    return smoothed / smoothed.sum(1, keepdim=True)
