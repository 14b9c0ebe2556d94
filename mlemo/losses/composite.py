"""A weighted sum of any losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mlemo.losses.base import Loss, MultiTermLoss

__all__ = ["CompositeLoss"]


class CompositeLoss(MultiTermLoss):
    """``L = Σ_i w_i L_i`` over any losses, with fixed weights.

    Args:
        terms: The losses, by name.
        weights: Weight of each; 1 for those left out.

    Raises:
        ValueError: No term, a weight of a term that is not there, or a weight that is not positive.

    Example:
        >>> from mlemo.losses import BinaryCrossEntropy, SoftJaccardLoss
        >>> loss = CompositeLoss({"bce": BinaryCrossEntropy(), "jaccard": SoftJaccardLoss()}, {"jaccard": 0.5})
        >>> loss(torch.zeros(1, 1), torch.ones(1, 1))  # ln 2 + 0.5 · 0.5
        tensor(0.9431)
    """

    def __init__(self, terms: dict[str, Loss], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        weights = {} if weights is None else dict(weights)
        if not terms:
            raise ValueError("a composite loss has at least one term, found none")
        if set(weights) - set(terms):
            raise ValueError(f"weights belong to the terms {', '.join(terms)}; found {', '.join(weights)}")
        if any(not weight > 0 for weight in weights.values()):
            raise ValueError(f"the weights of a composite loss must be positive, found {weights}")
        self.terms = nn.ModuleDict(terms)
        self.scale = {name: float(weights.get(name, 1.0)) for name in terms}

    def weight_parameters(self) -> list[nn.Parameter]:
        """Those of the terms; the weights between the terms are fixed."""
        return [weight for term in self.terms.values() for weight in term.weight_parameters()]  # type: ignore[operator]

    def components(
        self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> dict[str, Tensor]:
        """Every term before weighting; see `MultiTermLoss.components`."""
        return {name: term(logits, targets, mask, **context) for name, term in self.terms.items()}

    def per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor | None:
        """The weighted sum of the terms' values, where all say them; see `Loss.per_sample`."""
        values = [
            (self.scale[name], term.per_sample(logits, targets, mask, **context))  # type: ignore[operator]
            for name, term in self.terms.items()
        ]
        if any(value is None for _, value in values):
            return None
        return torch.stack([scale * value for scale, value in values]).sum(0)

    def weights(self) -> dict[str, Tensor]:
        """The weights."""
        return {name: torch.tensor(weight) for name, weight in self.scale.items()}

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The weighted sum; see `Loss.forward`."""
        components = self.components(logits, targets, mask, **context)
        self.last_components = {name: value.detach() for name, value in components.items()}
        return torch.stack([self.scale[name] * value for name, value in components.items()]).sum()
