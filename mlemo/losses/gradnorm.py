"""GradNorm: weights that let the terms of a loss train at similar rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mlemo.losses.controller import WeightController

__all__ = ["GradNorm"]

_FLOOR = 1e-3  # of a multiplier: a term without weight has no gradient from which it could recover


class GradNorm(WeightController):
    """Weights that balance the sizes of the terms' gradients, with larger gradients for terms that train slowly.

        λ_i = base_i · w_i,   Σ_i w_i = T
        G_i = w_i · ‖∂L_i/∂x‖,   r_i = (L_i / L_i(0)) / mean_j (L_j / L_j(0))
        w minimizes Σ_i |G_i − mean_j(G_j) · r_i^α|, in which mean_j(G_j) · r_i^α is a constant

    Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks" (ICML 2018),
    eq. 2 and Algorithm 1. After every step w is scaled back to a sum of T, the number of terms. L_i(0) is the first
    value of a term above 0.

    Where the paper differentiates with respect to the last layer that the tasks share, x is what the terms were
    computed from: the logits, and the tensors of the context that have a gradient (the label affinities of GTHL-Emo,
    from which its correlation term is computed). The gradients thus cost one backward pass per term through the loss
    alone and none through the network. Base weights of 1 are the paper's form; others are the shares in which the
    gradients are balanced.

    The gradient of w passes to the optimizer with that of the loss: `weight_parameters` are trained by SGD at
    ``loss_learning_rate`` of `Optimization`. The value of the loss stays ``Σ_i λ_i L_i``.

    Args:
        alpha: α, strength of the pull towards equal training rates; 0 only balances the gradients.

    Raises:
        ValueError: A negative ``alpha``.
    """

    initial: Tensor

    def __init__(self, alpha: float = 1.5) -> None:
        super().__init__()
        if not alpha >= 0:
            raise ValueError(f"alpha must not be negative, found {alpha}")
        self.alpha = alpha

    def bind(self, base: Sequence[float]) -> None:
        """Create w, all 1."""
        super().bind(base)
        self.raw = nn.Parameter(torch.ones(len(base)))
        self.register_buffer("initial", torch.zeros(len(base)))

    def forward(
        self, terms: Sequence[Tensor], logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> Tensor:
        """See `WeightController.forward`."""
        inputs = [x for x in (logits, *context.values()) if isinstance(x, Tensor) and x.requires_grad]
        values = torch.stack(list(terms))
        if self.training:
            with torch.no_grad():  # the step of the optimizer has left the sum behind
                self.raw.copy_(self._multipliers())
                self.initial.copy_(torch.where(self.initial > 0, self.initial, values))
        total = (self.weights() * values).sum()
        if not (self.training and inputs and total.requires_grad):
            return total
        gradient = self._gradient(values.detach(), torch.stack([_gradient_norm(term, inputs) for term in terms]))
        return total + ((self.raw - self.raw.detach()) * gradient).sum()  # adds 0, with this gradient

    def weights(self) -> Tensor:
        """See `WeightController.weights`."""
        return self.base * self._multipliers()

    def weight_parameters(self) -> list[nn.Parameter]:
        """The multipliers w."""
        return [self.raw]

    def _multipliers(self) -> Tensor:
        positive = self.raw.detach().clamp(min=_FLOOR)
        return positive * (len(positive) / positive.sum())

    def _gradient(self, values: Tensor, norms: Tensor) -> Tensor:
        """Of ``Σ_i |G_i − mean(G) · r_i^α|`` by w, from the terms and the norms of their gradients, each ``(T,)``."""
        tiny = torch.finfo(torch.float32).tiny
        remaining = torch.where(self.initial > 0, values.clamp(min=0) / self.initial.clamp(min=tiny), 1.0)
        rates = remaining / remaining.mean().clamp(min=tiny)
        sizes = self.raw.detach() * norms
        return torch.sign(sizes - sizes.mean() * rates**self.alpha) * norms


def _gradient_norm(term: Tensor, inputs: list[Tensor]) -> Tensor:
    """``‖∂ term/∂ inputs‖``, a scalar; 0 where the term does not depend on them."""
    found = torch.autograd.grad(term, inputs, retain_graph=True, allow_unused=True) if term.requires_grad else ()
    squares = [gradient.to(term.dtype).square().sum() for gradient in found if gradient is not None]
    return torch.stack(squares).sum().sqrt() if squares else torch.zeros_like(term)
