"""What models over feature vectors share: tabular corpora as they are, texts through something that encodes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mlemo.batch import FeatureInput
from mlemo.labels import LabelSpace
from mlemo.losses import Loss
from mlemo.models.base import MultiLabelModel
from mlemo.models.optimization import Optimization
from mlemo.nn.features import TextFeatures

__all__ = ["FeatureModel"]


class FeatureModel(MultiLabelModel):
    """Base of models over feature vectors: tabular corpora as they are, texts through ``features``.

    The network is made when training starts, as the number of features is known from the data only.

    Args:
        label_space: The labels.
        features: How texts become vectors, such as ``FrozenEncoder`` or ``Tfidf``; not needed for tabular corpora.
        loss: Any loss of mlemo.
        optimization: How the network is trained.
    """

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        features: TextFeatures | None = None,
        loss: Loss | None = None,
        optimization: Optimization | None = None,
    ) -> None:
        super().__init__(label_space, loss, optimization)
        self.features = features
        self.width: int | None = None

    @property
    def data_input(self) -> FeatureInput:
        """What this model asks of the data."""
        return FeatureInput(self.features)

    def build_network(self, width: int, labels: Tensor) -> None:
        """Make the network.

        Args:
            width: Number of features, ``F``.
            labels: ``(N, C)`` of the training split, for networks that look at label statistics; none of its rows is
                there when a checkpoint is loaded, which brings what was made of them.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build_network")

    def configure_model(self) -> None:
        """Make the network as soon as a trainer is there; Lightning calls this before fit, test and predict."""
        if self.width is None and self._trainer is not None:
            data = self.trainer.datamodule  # type: ignore[attr-defined]  # set by Trainer.fit
            corpus = data.corpus("train")
            if self.features is not None and corpus.texts is not None:
                self.features.fit(corpus.texts)
            self.build(data.dataset("train", self.data_input).features.shape[1], corpus.labels)

    def build(self, width: int, labels: Tensor | None = None) -> None:
        """Make the network for ``width`` features; ``labels`` as in ``build_network``."""
        self.width = width
        self.build_network(width, torch.zeros(0, len(self.label_space)) if labels is None else labels)
        self.to(self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the number of features, and what was fitted on texts, into the checkpoint."""
        super().on_save_checkpoint(checkpoint)
        fitted = {} if self.features is None else self.features.state_dict()
        checkpoint["features"] = {"width": self.width, "state": fitted}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make the network for the checkpoint's number of features."""
        super().on_load_checkpoint(checkpoint)
        saved = checkpoint["features"]
        if self.width != saved["width"]:
            self.build(saved["width"])
        if self.features is not None:
            self.features.load_state_dict(saved["state"])
