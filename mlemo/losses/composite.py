"""A weighted sum of any losses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mlemo.losses.base import Loss, MultiTermLoss
from mlemo.losses.controller import FixedWeights, WeightController

__all__ = ["CompositeLoss"]


class CompositeLoss(MultiTermLoss):
    """``L = Σ_i w_i L_i`` over any losses.

    Args:
        terms: The losses, by name.
        weights: Weight of each term, by the names of all of them; 1 for each if left out.
        controller: How the weights change during training: `GradNorm`, `DynamicWeightAverage` or `GTHLController`;
            ``None`` = they are fixed.

    Raises:
        ValueError: No term, weights that name other terms or not all of them, or a weight that is not positive.

    Example:
        >>> from mlemo.losses import BinaryCrossEntropy, SoftJaccardLoss
        >>> terms = {"bce": BinaryCrossEntropy(), "jaccard": SoftJaccardLoss()}
        >>> loss = CompositeLoss(terms, {"bce": 1.0, "jaccard": 0.5})
        >>> loss(torch.zeros(1, 1), torch.ones(1, 1))  # ln 2 + 0.5 · 0.5
        tensor(0.9431)
    """

    default_parts: ClassVar[Mapping[str, partial[Any]]] = {"controller": partial(FixedWeights)}

    def __init__(
        self,
        terms: dict[str, Loss],
        weights: Mapping[str, float] | None = None,
        controller: WeightController | None = None,
    ) -> None:
        super().__init__()
        weights = dict.fromkeys(terms, 1.0) if weights is None else dict(weights)
        if not terms:
            raise ValueError("a composite loss has at least one term, found none")
        if set(weights) != set(terms):
            raise ValueError(
                f"weights name every term of a composite loss: expected {', '.join(terms)}; found "
                f"{', '.join(weights) or 'none'} (a file that sets weights replaces those of the files before it)"
            )
        if any(not weight > 0 for weight in weights.values()):
            raise ValueError(f"the weights of a composite loss must be positive, found {weights}")
        self.terms = nn.ModuleDict(terms)
        self.controller = self.default_parts["controller"]() if controller is None else controller
        self.controller.bind([float(weights[name]) for name in terms])

    def weight_parameters(self) -> list[nn.Parameter]:
        """Those of the terms and of the controller."""
        learned = [weight for term in self.terms.values() for weight in term.weight_parameters()]  # type: ignore[operator]
        return learned + self.controller.weight_parameters()

    def components(
        self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> dict[str, Tensor]:
        """Every term before weighting; see `MultiTermLoss.components`."""
        return {name: term(logits, targets, mask, **context) for name, term in self.terms.items()}

    def per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor | None:
        """The weighted sum of the terms' values, ``None`` where a term has none; see `Loss.per_sample`."""
        values = [term.per_sample(logits, targets, mask, **context) for term in self.terms.values()]  # type: ignore[operator]
        if any(value is None for value in values):
            return None
        return (self.controller.weights()[:, None] * torch.stack(values)).sum(0)

    def weights(self) -> dict[str, Tensor]:
        """Weight of every term in the latest training batch."""
        return dict(zip(self.terms, self.controller.weights()))

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The weighted sum; see `Loss.forward`."""
        components = self.components(logits, targets, mask, **context)
        self.last_components = {name: value.detach() for name, value in components.items()}
        return self.controller(list(components.values()), logits, targets, mask, **context)
