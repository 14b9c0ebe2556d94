"""R-Drop: two passes of each sample under different dropout, which are to agree."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mlemo.losses.base import Loss, MultiTermLoss, check_inputs, masked_mean
from mlemo.losses.binary_cross_entropy import BinaryCrossEntropy

__all__ = ["RDropLoss"]


class RDropLoss(MultiTermLoss):
    """Any loss of two passes of each sample, plus ``α/2`` times the divergence of their probabilities.

    With p and q the probabilities of a label in the two passes, and x and z their logits, the divergence is

        (KL(p ‖ q) + KL(q ‖ p)) / 2 = (p − q) (x − z) / 2

    of Bernoulli distributions, averaged over the annotated entries. Liang et al., "R-Drop: Regularized Dropout for
    Neural Networks" (NeurIPS 2021), who add the losses of both passes; this is half of their objective, a mean.

    Models put each sample into a training batch twice (`Loss.copies`), the second half of the batch being the copies:
    one forward and one backward pass of 2B rows. Two rows are passes of one sample where their ``index`` agrees;
    without copies, as in validation, the divergence is 0. So it is for a model without dropout.

    Args:
        loss: The loss of each pass; ``BinaryCrossEntropy`` if left out.
        alpha: α ≥ 0.

    Raises:
        ValueError: ``alpha`` is negative.

    Example:
        >>> logits, index = torch.tensor([[1.0], [-1.0]]), torch.tensor([7, 7])
        >>> loss = RDropLoss(alpha=2.0)
        >>> loss(logits, torch.ones(2, 1), index=index) - loss(logits, torch.ones(2, 1))  # (σ(1) − σ(−1)) · 2 / 2
        tensor(0.4621)
    """

    term_weights: Tensor
    copies: ClassVar[int] = 2
    default_parts: ClassVar[Mapping[str, partial[Any]]] = {"loss": partial(BinaryCrossEntropy)}

    def __init__(self, loss: Loss | None = None, alpha: float = 1.0) -> None:
        super().__init__()
        if not alpha >= 0:
            raise ValueError(f"alpha must not be negative, found {alpha}")
        self.terms["passes"] = self.default_parts["loss"]() if loss is None else loss
        self.register_buffer("term_weights", torch.tensor([1.0, alpha / 2]), persistent=False)

    def weight_parameters(self) -> list[nn.Parameter]:
        """Those of the loss of each pass."""
        return self.terms["passes"].weight_parameters()  # type: ignore[operator]  # a Loss

    def components(
        self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> dict[str, Tensor]:
        """The loss of all rows and the divergence of their copies; see `MultiTermLoss.components`."""
        passes = self.terms["passes"](logits, targets, mask, **context)
        logits, _, mask = check_inputs(logits, targets, mask)
        index = context.get("index", torch.arange(len(logits), device=logits.device))
        half = len(logits) // 2
        same = mask[:half] & mask[half : 2 * half] & (index[:half] == index[half : 2 * half])[:, None]
        x, z = logits[:half], logits[half : 2 * half]
        return {"passes": passes, "divergence": masked_mean((x.sigmoid() - z.sigmoid()) * (x - z) / 2, same)}

    def weights(self) -> dict[str, Tensor]:
        """1 for the loss, α/2 for the divergence."""
        return dict(zip(("passes", "divergence"), self.term_weights))

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The weighted sum; see `Loss.forward`."""
        components = self.components(logits, targets, mask, **context)
        self.last_components = {name: value.detach() for name, value in components.items()}
        weights = self.weights()
        return components["passes"] + weights["divergence"] * components["divergence"]

    def per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor | None:
        """That of the loss of each pass, without the divergence; see `Loss.per_sample`."""
        return self.terms["passes"].per_sample(logits, targets, mask, **context)  # type: ignore[operator]  # a Loss
