"""The hybrid loss of GTHL-Emo: cross-entropy, focal, ranking and label correlation under adaptive weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mlemo.losses.adaptive_focal import AdaptiveFocalLoss
from mlemo.losses.base import Loss, MultiTermLoss, check_inputs
from mlemo.losses.binary_cross_entropy import BinaryCrossEntropy
from mlemo.losses.controller import WeightController
from mlemo.losses.label_correlation import Cooccurrence, LabelCorrelationLoss
from mlemo.losses.pairwise_ranking import PairwiseRankingLoss
from mlemo.nn.batch_graph import label_entropy

__all__ = ["HybridLoss", "batch_jaccard"]


class HybridLoss(MultiTermLoss):
    """``L = L_bce + λ_f L_focal + λ_r L_ranking + λ_g L_correlation`` (Alrasheedy et al. 2026, eq. 14-19).

    With ``adaptive`` the weights come from a ``WeightController`` that sees the batch's mean Jaccard index between
    predictions and labels, its label entropy and its mean class frequency; without, they are the base weights. A term
    with a base weight of 0 is left out.

    Args:
        focal: Base weight of ``AdaptiveFocalLoss``.
        ranking: Base weight of ``PairwiseRankingLoss``.
        correlation: Base weight of ``LabelCorrelationLoss``.
        adaptive: Whether the weights adapt.
        low: Lower bound of an adaptive weight, as a multiple of its base.
        high: Upper bound.
        smoothing: Share of the former value in the weights' moving average.
        margin: Of the ranking term.
        gamma_min: Of the focal term.
        gamma_max: Of the focal term.
        negative_term: Whether the focal term has its negative part.
        cooccurrence: Of the correlation term.
        confidence: Of the correlation term.
    """

    def __init__(
        self,
        focal: float = 0.1,
        ranking: float = 0.1,
        correlation: float = 0.1,
        *,
        adaptive: bool = True,
        low: float = 0.5,
        high: float = 2.0,
        smoothing: float = 0.95,
        margin: float = 0.5,
        gamma_min: float = 1.0,
        gamma_max: float = 3.0,
        negative_term: bool = False,
        cooccurrence: Cooccurrence = "running",
        confidence: bool = False,
    ) -> None:
        super().__init__()
        self.base = {"focal": focal, "ranking": ranking, "correlation": correlation}
        if min(self.base.values()) < 0:
            raise ValueError(f"the weights of the terms must not be negative, found {self.base}")
        parts: dict[str, Loss] = {
            "focal": AdaptiveFocalLoss(gamma_min, gamma_max, negative_term=negative_term),
            "ranking": PairwiseRankingLoss(margin),
            "correlation": LabelCorrelationLoss(cooccurrence, confidence=confidence),
        }
        self.base = {name: weight for name, weight in self.base.items() if weight > 0}
        self.cross_entropy = BinaryCrossEntropy()
        self.parts = nn.ModuleDict({name: parts[name] for name in self.base})
        self.controller = None
        if adaptive and self.base:
            self.controller = WeightController(
                list(self.base.values()), statistics=3, low=low, high=high, smoothing=smoothing
            )

    def bind(self, classes: int) -> None:
        """Tell every term."""
        for part in self.parts.values():
            part.bind(classes)  # type: ignore[operator]  # every part is a Loss

    def observe(self, targets: Tensor, mask: Tensor) -> None:
        """Tell every term."""
        for part in self.parts.values():
            part.observe(targets, mask)  # type: ignore[operator]  # every part is a Loss

    def components(
        self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> dict[str, Tensor]:
        """Cross-entropy and every term, before weighting; see `MultiTermLoss.components`."""
        values = {"bce": self.cross_entropy(logits, targets, mask)}
        return values | {name: part(logits, targets, mask, **context) for name, part in self.parts.items()}

    def weights(self) -> dict[str, Tensor]:
        """Present weight of every component."""
        present = torch.tensor(list(self.base.values())) if self.controller is None else self.controller.smoothed
        return {"bce": torch.ones(()), **dict(zip(self.base, present.detach()))}

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The weighted sum; see `Loss.forward`."""
        components = self.components(logits, targets, mask, **context)
        self.last_components = {name: value.detach() for name, value in components.items()}
        weights = self._weights(*check_inputs(logits.detach(), targets, mask))
        total = components["bce"]
        for name, weight in zip(self.base, weights):
            total = total + weight * components[name]
        return total

    def _weights(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        jaccard = batch_jaccard(logits, targets, mask)
        for part in self.parts.values():
            if self.training and isinstance(part, AdaptiveFocalLoss):
                part.follow(jaccard)
        if self.controller is None:
            return torch.tensor(list(self.base.values()), device=logits.device)
        frequency = (targets * mask).sum() / mask.sum().clamp(min=1)
        return self.controller(torch.stack([jaccard, label_entropy(targets, mask), frequency]))


def batch_jaccard(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean Jaccard index between labels and predictions at 0.5 over the samples of a batch, a scalar; 1 for 0/0."""
    on = (logits >= 0) & mask
    truth = (targets >= 0.5) & mask
    union = (on | truth).sum(1)
    index = torch.where(union > 0, (on & truth).sum(1) / union.clamp(min=1), 1.0)
    return (index * mask.any(1)).sum() / mask.any(1).sum().clamp(min=1)
