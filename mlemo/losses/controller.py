"""Weights between the terms of a loss: the contract of every controller, and weights that stay as they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mlemo.utils.serialization import Recorded

__all__ = ["FixedWeights", "WeightController"]


class WeightController(Recorded, nn.Module, ABC):
    """The weights λ of ``Σ_i λ_i L_i``, which may change during training.

    A loss of several terms calls `bind` once, with its base weights, and `forward` once per batch; the model calls
    `start_epoch`. All state is held in parameters and buffers, so that a resumed training continues exactly. In
    evaluation mode nothing changes. No method waits for the device.
    """

    base: Tensor

    def bind(self, base: Sequence[float]) -> None:
        """Create everything that depends on the number of terms.

        Args:
            base: Weight of each term at the start of training.
        """
        self.register_buffer("base", torch.tensor(list(base)), persistent=False)

    def start_epoch(self) -> None:
        """Begin a training epoch; not called again where training resumes within an epoch."""

    @abstractmethod
    def forward(
        self, terms: Sequence[Tensor], logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> Tensor:
        """The weighted sum of the terms of a batch.

        Args:
            terms: Value of each term, scalars with a graph.
            logits: ``(N, C)``, the tensor from which the terms were computed.
            targets: ``(N, C)`` in [0, 1].
            mask: ``(N, C)`` bool, ``False`` where a label was not annotated; ``None`` = all are.
            context: Further tensors from which terms were computed, see `Loss.forward`.

        Returns:
            Scalar; its gradient reaches the terms and the parameters of the controller.
        """

    @abstractmethod
    def weights(self) -> Tensor:
        """The weights of the latest training batch, ``(T,)``, detached."""

    def weight_parameters(self) -> list[nn.Parameter]:
        """Parameters for the optimizer of the loss's weights, see `Loss.weight_parameters`."""
        return []


class FixedWeights(WeightController):
    """``λ_i = base_i``."""

    def forward(
        self, terms: Sequence[Tensor], logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> Tensor:
        """See `WeightController.forward`."""
        return (self.base * torch.stack(list(terms))).sum()

    def weights(self) -> Tensor:
        """The base weights."""
        return self.base.clone()
