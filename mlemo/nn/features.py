"""Feature vectors of texts: what a model over features reads in place of a tabular corpus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

__all__ = ["TextFeatures"]


class TextFeatures(ABC):
    """Texts to vectors, computed once before training."""

    @abstractmethod
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """``N`` texts to ``(N, F)`` float32."""

    def fit(self, texts: Sequence[str]) -> None:  # noqa: B027  # most have nothing to fit
        """Learn what is learned from the training texts."""

    def state_dict(self) -> dict[str, Any]:
        """What was fitted, as tensors and plain values, for the checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take over what `state_dict` returned."""
