"""What models over feature vectors share: tabular corpora as they are, texts through something that encodes them."""

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
    """Base of models over feature vectors: tabular corpora as they are, texts through ``features``.

    The network is made when training starts, as the number of features is known from the data only. A checkpoint holds
    all that is needed to use the model: the features with their settings and what was fitted (but see ``FrozenEncoder``
    for what it holds of an encoder).

    Args:
        label_space: The labels.
        features: How texts become vectors, such as ``FrozenEncoder`` or ``Tfidf``; not needed for tabular corpora.
        loss: Any loss of mlemo.
        optimization: How the network is trained; by default with Adam at a constant rate of 0.001 and a weight decay of
            0.0001, as networks on feature vectors mostly are.
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
        """What this model asks of the data.

        Raises:
            ValueError: It is to be scored, and was neither trained nor loaded.
        """
        if self.width is None and self._trainer is not None and self.trainer.state.fn != TrainerFn.FITTING:
            raise ValueError(
                f"this {type(self).__name__} has no network yet, it is made in training; to score a trained one, give "
                "its checkpoint as ckpt_path"
            )
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
        """Make the network before training; for test and predict it comes with the checkpoint, and no text is read."""
        if self.width is not None or self._trainer is None or self.trainer.state.fn != TrainerFn.FITTING:
            return
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
        """Put the number of features, and how they are made of texts, into the checkpoint."""
        super().on_save_checkpoint(checkpoint)
        from_texts = None if self.features is None else features_to_dict(self.features)
        checkpoint["features"] = {"width": self.width, "from_texts": from_texts}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make the network for the checkpoint's number of features, and the features as they were."""
        super().on_load_checkpoint(checkpoint)
        saved = checkpoint["features"]
        if self.width != saved["width"]:
            self.build(saved["width"])
        from_texts = saved["from_texts"]
        if from_texts is None:
            return
        if self.features is None:
            self.features = features_from_dict(from_texts)
        elif not _equal(self.features.state_dict(), from_texts["state"]):
            # a new object, as vectors that the old one made may be kept with the data
            self.features = copy.copy(self.features)
            self.features.load_state_dict(from_texts["state"])


def _equal(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) if isinstance(value, Tensor) else value == second[name]
        for name, value in first.items()
    )
