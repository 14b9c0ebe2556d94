"""Zero-shot classification by label descriptions, over frozen text vectors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from mlemo.batch import Batch
from mlemo.labels import LabelSpace
from mlemo.models.base import Parts
from mlemo.models.fitted_model import FittedModel
from mlemo.models.label_words import prompt_words
from mlemo.nn.features import TextFeatures
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.label_similarity import cosines, offsets

__all__ = ["ZeroShot"]

log = logging.getLogger(__name__)


class ZeroShot(FittedModel):
    """``logit_c = (cos(x, x(description of label c)) − offset_c) / σ``, x the frozen vector of a text.

    The offset of a label is the cosine above which a share of the training texts is, and σ the standard deviation of
    the cosines within the labels. With a number as ``share`` no label of the training rows is used, and there may be
    none: then nothing is validated, and the last checkpoint decides at 0.5.

    Args:
        label_space: The labels.
        features: Conversion of texts to vectors, such as ``FrozenEncoder`` with a sentence encoder.
        descriptions: A text per label, in label order, in the language of the texts; or ``names`` or ``corpus`` as the
            label words of ``BertWDL``.
        share: Share of the texts that have a label, the same for all labels; ``None`` for the share of each label in
            the annotated training rows.
        kwargs: Settings of ``FittedModel``: ``loss``.

    Raises:
        ValueError: ``share`` is not within (0, 1), or the number of descriptions is not that of the labels; in
            training: the corpus has no texts.
    """

    default_parts: ClassVar[Parts] = {
        **FittedModel.default_parts,
        "features": partial(FrozenEncoder, "sentence-transformers/all-MiniLM-L6-v2"),
    }

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        features: TextFeatures | None = None,
        descriptions: Literal["names", "corpus"] | Sequence[str] = "names",
        share: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, features, **kwargs)
        if share is not None and not 0 < share < 1:
            raise ValueError(f"model.share must be above 0 and below 1, found {share}")
        names, words = self.label_space.names, prompt_words(descriptions, self.label_space, None)
        self.descriptions = [text.replace("_", " ") for text in (names if words is None else words)]
        if len(self.descriptions) != len(names):
            raise ValueError(
                f"model.descriptions has {len(self.descriptions)} texts, expected one per label: {len(names)}"
            )
        self.share = share
        self.needs_labels = share is None

    def configure_model(self) -> None:
        """Create the model before training; without an annotated validation row there is no validation."""
        super().configure_model()
        if self._trainer is None or self.trainer.state.fn != TrainerFn.FITTING:
            return
        if not self.trainer.datamodule.corpus("val").mask.any():  # type: ignore[attr-defined]  # set by Trainer.fit
            self.trainer.limit_val_batches = 0
            log.info("no row is annotated: nothing is validated or tested, and labels are decided at 0.5")

    def build_network(self, width: int, labels: Tensor) -> None:
        """Create the vectors of the descriptions, offsets and σ."""
        count = len(self.label_space)
        self.weight = nn.Parameter(torch.zeros(count, width), requires_grad=False)
        self.offset = nn.Parameter(torch.zeros(count), requires_grad=False)
        self.deviation = nn.Parameter(torch.ones(()), requires_grad=False)

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, mask: Tensor, candidate: int = 0) -> None:
        """Compute the vectors of the descriptions, offsets and σ; see ``FittedModel.fit``."""
        if self.features is None:
            raise ValueError("ZeroShot compares texts with label descriptions, and this corpus has features, no texts")
        self.weight.copy_(self.features(self.descriptions).to_dense())
        similarities = cosines(features.to_dense().to(self.device), self.weight)
        shares = (
            labels.sum(0) / mask.sum(0).clamp(min=1) if self.share is None else torch.full_like(labels[0], self.share)
        )
        self.offset.copy_(offsets(similarities, shares))
        self.deviation.copy_((similarities - similarities.mean(0)).square().mean().sqrt().clamp(min=1e-6))

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)``."""
        return (cosines(batch["features"], self.weight) - self.offset) / self.deviation
