"""The hybrid loss of GTHL-Emo: cross-entropy, focal, ranking and label correlation under adaptive weights."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mlemo.losses.adaptive_focal import AdaptiveFocalLoss, batch_jaccard
from mlemo.losses.base import MultiTermLoss, check_inputs, masked_mean
from mlemo.losses.binary_cross_entropy import BinaryCrossEntropy
from mlemo.losses.controller import WeightController
from mlemo.losses.label_correlation import Cooccurrence, LabelCorrelationLoss
from mlemo.losses.pairwise_ranking import PairwiseRankingLoss
from mlemo.nn.batch_graph import label_entropy

__all__ = ["HybridLoss"]


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

    Raises:
        ValueError: A negative weight, or a setting that its term or the controller refuses.
    """

    batchwise: ClassVar[bool] = True

    base: Tensor

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
        base = {"focal": focal, "ranking": ranking, "correlation": correlation}
        if min(base.values()) < 0:
            raise ValueError(f"the weights of the terms must not be negative, found {base}")
        terms: dict[str, AdaptiveFocalLoss | PairwiseRankingLoss | LabelCorrelationLoss] = {
            "focal": AdaptiveFocalLoss(gamma_min, gamma_max, negative_term=negative_term),
            "ranking": PairwiseRankingLoss(margin),
            "correlation": LabelCorrelationLoss(cooccurrence, confidence=confidence),
        }
        self.names = [name for name, weight in base.items() if weight > 0]
        self.cross_entropy = BinaryCrossEntropy()
        self.terms = nn.ModuleDict({name: terms[name] for name in self.names})
        kept = [base[name] for name in self.names]
        self.register_buffer("base", torch.tensor(kept), persistent=False)
        self.controller = None
        if adaptive and kept:
            self.controller = WeightController(kept, statistics=3, low=low, high=high, smoothing=smoothing)

    def components(
        self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> dict[str, Tensor]:
        """Cross-entropy and every term, before weighting; see `MultiTermLoss.components`."""
        return self._components(*check_inputs(logits, targets, mask), **context)

    def weights(self) -> dict[str, Tensor]:
        """Present weight of every component: that of the latest training batch."""
        present = self.base if self.controller is None else self.controller.smoothed
        return {"bce": torch.ones_like(present.sum()), **dict(zip(self.names, present.detach().clone()))}

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The weighted sum; see `Loss.forward`."""
        logits, targets, mask = check_inputs(logits, targets, mask)  # once for all terms
        components = self._components(logits, targets, mask, **context)
        self.last_components = {name: value.detach() for name, value in components.items()}
        total = components["bce"]
        for name, weight in zip(self.names, self._weights(logits.detach(), targets, mask)):
            total = total + weight * components[name]
        return total

    def _components(self, logits: Tensor, targets: Tensor, mask: Tensor, **context: Any) -> dict[str, Tensor]:
        values = {"bce": masked_mean(self.cross_entropy._elementwise(logits, targets), mask)}
        for name, term in self.terms.items():
            values[name] = term.of_checked(logits, targets, mask, **context)  # type: ignore[operator]
        return values

    def _weights(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        if self.controller is None:
            return self.base
        frequency = masked_mean(targets, mask)
        statistics = [batch_jaccard(logits, targets, mask), label_entropy(targets, mask), frequency]
        return self.controller(torch.stack([value.to(frequency) for value in statistics]))
