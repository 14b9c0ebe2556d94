"""The hybrid loss of GTHL-Emo: cross-entropy, focal, ranking and label correlation under weights that may adapt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mlemo.losses.adaptive_focal import AdaptiveFocalLoss
from mlemo.losses.base import MultiTermLoss, check_inputs, masked_mean
from mlemo.losses.binary_cross_entropy import BinaryCrossEntropy
from mlemo.losses.controller import FixedWeights, WeightController
from mlemo.losses.label_correlation import Cooccurrence, LabelCorrelationLoss
from mlemo.losses.pairwise_ranking import PairwiseRankingLoss

__all__ = ["HybridLoss"]


class HybridLoss(MultiTermLoss):
    """``L = L_bce + λ_f L_focal + λ_r L_ranking + λ_g L_correlation`` (Alrasheedy et al. 2026, eq. 14-19).

    A term with a base weight of 0 is left out. The weight of the cross-entropy is always 1; for a loss in which it
    adapts too, put the terms into a `CompositeLoss`.

    Args:
        focal: Base weight of ``AdaptiveFocalLoss``.
        ranking: Base weight of ``PairwiseRankingLoss``.
        correlation: Base weight of ``LabelCorrelationLoss``.
        controller: How the three weights change during training: `GTHLController`, as in the paper, `GradNorm` or
            `DynamicWeightAverage`; ``None`` = they stay at the base weights.
        class_weights: Of the cross-entropy, see ``BinaryCrossEntropy``; ``None`` = all 1, as in eq. 16. Table 2 of the
            paper has "class weights: weighted" without a formula; ``balanced`` is ours for it.
        margin: Of the ranking term.
        gamma_min: Of the focal term.
        gamma_max: Of the focal term.
        negative_term: Whether the focal term has its negative part.
        cooccurrence: Of the correlation term.
        confidence: Of the correlation term.

    Raises:
        ValueError: A negative weight, or a setting that its term refuses.
    """

    batchwise: ClassVar[bool] = True
    default_parts: ClassVar[Mapping[str, partial[Any]]] = {"controller": partial(FixedWeights)}

    def __init__(
        self,
        focal: float = 0.1,
        ranking: float = 0.1,
        correlation: float = 0.1,
        *,
        controller: WeightController | None = None,
        class_weights: Sequence[float] | Literal["balanced"] | None = None,
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
        self.cross_entropy = BinaryCrossEntropy(class_weights)
        self.terms = nn.ModuleDict({name: terms[name] for name in self.names})
        self.controller = self.default_parts["controller"]() if controller is None or not self.names else controller
        self.controller.bind([base[name] for name in self.names])

    def bind(self, classes: int) -> None:
        """See `Loss.bind`."""
        super().bind(classes)
        self.cross_entropy.bind(classes)

    def observe(self, targets: Tensor, mask: Tensor) -> None:
        """See `Loss.observe`."""
        super().observe(targets, mask)
        self.cross_entropy.observe(targets, mask)

    def weight_parameters(self) -> list[nn.Parameter]:
        """Those of the controller."""
        return self.controller.weight_parameters()

    def components(
        self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> dict[str, Tensor]:
        """Cross-entropy and every term, before weighting; see `MultiTermLoss.components`."""
        return self._components(*check_inputs(logits, targets, mask), **context)

    def weights(self) -> dict[str, Tensor]:
        """Weight of every component in the latest training batch."""
        present = self.controller.weights()
        return {"bce": torch.ones_like(present.sum()), **dict(zip(self.names, present))}

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The weighted sum; see `Loss.forward`."""
        logits, targets, mask = check_inputs(logits, targets, mask)  # once for all terms
        components = self._components(logits, targets, mask, **context)
        self.last_components = {name: value.detach() for name, value in components.items()}
        if not self.names:
            return components["bce"]
        terms = [components[name] for name in self.names]
        return components["bce"] + self.controller(terms, logits, targets, mask, **context)

    def _components(self, logits: Tensor, targets: Tensor, mask: Tensor, **context: Any) -> dict[str, Tensor]:
        values = {"bce": masked_mean(self.cross_entropy._elementwise(logits, targets), mask)}
        for name, term in self.terms.items():
            values[name] = term.compute(logits, targets, mask, **context)  # type: ignore[operator]
        return values
