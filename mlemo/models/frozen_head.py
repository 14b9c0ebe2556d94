"""A trained head on a frozen encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mlemo.batch import Batch
from mlemo.labels import LabelSpace
from mlemo.models.feature_model import FeatureModel
from mlemo.nn.features import TextFeatures

__all__ = ["FrozenHead"]


class FrozenHead(FeatureModel):
    """``logits = W₂ · Dropout(ReLU(W₁ x + b₁)) + b₂``, x the features of a text (Bénédict et al. 2022, section 5.2).

    The features are those of an encoder that is not trained, so they are computed once and an epoch takes a second or
    two.

    Args:
        label_space: The labels.
        features: Conversion of texts to vectors, such as ``FrozenEncoder``; not needed for tabular corpora.
        hidden_width: Width of the representation layer; ``None`` for the number of features.
        dropout: Dropout before the linear head.
        kwargs: Settings of ``FeatureModel``: ``loss``, ``optimization``.
    """

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        features: TextFeatures | None = None,
        hidden_width: int | None = None,
        dropout: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, features, **kwargs)
        self.hidden_width, self.dropout = hidden_width, dropout

    def build_network(self, width: int, labels: Tensor) -> None:
        """Create the representation layer and the linear head."""
        hidden = self.hidden_width or width
        self.network = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(self.dropout), nn.Linear(hidden, len(self.label_space))
        )

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)``."""
        return self.network(batch["features"])
