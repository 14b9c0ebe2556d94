"""The base class of models over feature vectors, of tabular corpora or of encoded texts."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from mlemo.batch import FeatureInput
from mlemo.labels import LabelSpace
from mlemo.losses import Loss
from mlemo.models.base import MultiLabelModel, Parts
from mlemo.models.optimization import Optimization
from mlemo.nn.features import TextFeatures, features_from_dict, features_to_dict

__all__ = ["FeatureModel"]


class FeatureModel(MultiLabelModel):
    """Base class of models over feature vectors: of tabular corpora, or of texts encoded by ``features``.

    The network is created when training starts, since the number of features is known from the data only. A checkpoint
    has everything needed to use the model: the features with their settings and fitted state (but see ``FrozenEncoder``
    for the state of an encoder).

    Args:
        label_space: The labels.
        features: Conversion of texts to vectors, such as ``FrozenEncoder`` or ``Tfidf``; not needed for tabular
            corpora.
        loss: A loss of mlemo.
        optimization: Settings of the optimization; by default Adam at a constant rate of 0.001 and a weight decay of
            0.0001, as is usual for networks on feature vectors.
    """

    default_parts: ClassVar[Parts] = {
        **MultiLabelModel.default_parts,
        "optimization": partial(
            Optimization,
            optimizer="adam",
            learning_rate=1e-3,
            weight_decay=1e-4,
            beta2=0.999,
            warmup=0.0,
            schedule="constant",
        ),
    }

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
        """The input that this model needs from the data.

        Raises:
            ValueError: The model is tested but was neither trained nor loaded.
        """
        if self.width is None and self._trainer is not None and self.trainer.state.fn != TrainerFn.FITTING:
            raise ValueError(
                f"this {type(self).__name__} has no network before training; to test a trained model, set ckpt_path to "
                "its checkpoint"
            )
        return FeatureInput(self.features)

    def build_network(self, width: int, labels: Tensor) -> None:
        """Create the network.

        Args:
            width: Number of features, ``F``.
            labels: ``(N, C)`` of the training split, for networks that use label statistics; without rows when a
                checkpoint is loaded, which contains the results.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build_network")

    def configure_model(self) -> None:
        """Create the network before training; for test and predict it is loaded from the checkpoint."""
        if self.width is not None or self._trainer is None or self.trainer.state.fn != TrainerFn.FITTING:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # set by Trainer.fit
        corpus = data.corpus("train")
        if corpus.texts is None:
            self.features = None
        elif self.features is not None:
            self.features.fit(corpus.texts)
        self.build(data.dataset("train", self.data_input).features.shape[1], corpus.labels)

    def build(self, width: int, labels: Tensor | None = None) -> None:
        """Create the network for ``width`` features; ``labels`` as in ``build_network``."""
        self.width = width
        self.build_network(width, torch.zeros(0, len(self.label_space)) if labels is None else labels)
        self.to(self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the number of features and their conversion from texts in the checkpoint."""
        super().on_save_checkpoint(checkpoint)
        from_texts = None if self.features is None else features_to_dict(self.features)
        checkpoint["features"] = {"width": self.width, "from_texts": from_texts}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Create the network for the checkpoint's number of features, and restore the features."""
        super().on_load_checkpoint(checkpoint)
        saved = checkpoint["features"]
        if self.width != saved["width"]:
            self.build(saved["width"])
        from_texts = saved["from_texts"]
        if from_texts is None:
            self.features = None
        elif self.features is None:
            self.features = features_from_dict(from_texts)
        elif not _equal(self.features.state_dict(), from_texts["state"]):
            # a new object, since the data may store vectors of the old one
            self.features = copy.copy(self.features)
            self.features.load_state_dict(from_texts["state"])


def _equal(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) if isinstance(value, Tensor) else value == second[name]
        for name, value in first.items()
    )
