"""Contrastive fine-tuning for few examples: texts near the descriptions of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from mlemo.batch import Batch, ModelOutput
from mlemo.labels import LabelSpace
from mlemo.losses.jaccard_contrastive import jaccard_contrastive
from mlemo.models.label_words import LabelWords
from mlemo.models.text_model import TextModel
from mlemo.nn.encoder import EncoderSource
from mlemo.nn.label_similarity import cosines, offsets, similarity_head
from mlemo.nn.pooling import Pooling, pool

__all__ = ["ContrastiveClassifier"]

CALIBRATION_ROWS = 256  #: training texts from which the initial offsets are computed


class ContrastiveClassifier(TextModel):
    """An encoder trained toward label descriptions, and a linear head fitted to the vectors of the training rows.

    In training ``logit_c = scale · (cos(h(text), h(description of label c)) − offset_c)``, ``h = pool(encoder(·))``.
    The loss is that of these logits plus ``contrastive_weight`` times `jaccard_contrastive` over the texts of the batch
    and the descriptions, which count as rows with the set of their one label. So texts are drawn together as far as
    their label sets overlap, and toward the descriptions of their labels.

    The offsets start where the share of training texts above them is the share of the label in the annotated training
    rows; so training starts from a zero-shot classifier (see `ZeroShot`) and needs few examples.

    Validation, test and prediction use the head of `similarity_head`, a regularized logistic regression per label. It
    is fitted to the vectors of all training rows before each validation and at the end of training.

    Args:
        label_space: The labels.
        encoder: A name on the hub, a local folder in its layout, or an encoder source such as ``Lora``.
        descriptions: A text per label, in label order, in the language of the texts; or ``names``, ``corpus`` or
            ``auto`` as the label words of ``BertWDL``.
        contrastive_weight: Weight of the contrastive term; 0 to leave it out.
        temperature: Temperature of the contrastive term.
        scale: Factor between cosine and logit in training.
        pooling: Pooling of a text's token states to one vector.
        kwargs: Settings of ``TextModel``: ``loss``, ``max_length``, ``optimization``, ``cleaning``.

    Raises:
        ValueError: A negative weight, or a temperature or scale that is not positive; when the encoder is made: the
            number of descriptions is not that of the labels.
    """

    description_ids: Tensor
    description_mask: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        encoder: EncoderSource | str = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        descriptions: LabelWords = "names",
        contrastive_weight: float = 1.0,
        temperature: float = 0.1,
        scale: float = 10.0,
        pooling: Pooling = "mean",
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, encoder, **kwargs)
        if not contrastive_weight >= 0:
            raise ValueError(f"model.contrastive_weight must be at least 0, found {contrastive_weight}")
        for name, value in (("temperature", temperature), ("scale", scale)):
            if not value > 0:
                raise ValueError(f"model.{name} must be positive, found {value}")
        self.label_words = descriptions
        self.contrastive_weight, self.temperature, self.scale = contrastive_weight, temperature, scale
        self.pooling = pooling

    def build_head(self, width: int) -> None:
        """Tokenize the descriptions, and create the offsets and the head."""
        names, words = self.label_space.names, self.data_input.label_words
        descriptions = [text.replace("_", " ") for text in (names if words is None else words)]
        if len(descriptions) != len(names):
            raise ValueError(f"model.descriptions has {len(descriptions)} texts, expected one per label: {len(names)}")
        tokens = self.tokenizer(
            descriptions, padding=True, truncation=True, max_length=self.data_input.max_length, return_tensors="pt"
        )
        self.register_buffer("description_ids", tokens["input_ids"], persistent=False)
        self.register_buffer("description_mask", tokens["attention_mask"], persistent=False)
        self.offset = nn.Parameter(torch.zeros(len(names)))  # 0 until it is calibrated
        self.register_buffer("weight", torch.zeros(len(names), width))
        self.register_buffer("bias", torch.zeros(len(names)))

    @torch.no_grad()
    def on_fit_start(self) -> None:
        """Compute the initial offsets from evenly spaced training rows, unless a checkpoint has them."""
        super().on_fit_start()
        if self.offset.any():
            return
        texts, descriptions, labels, mask = self._training_vectors(CALIBRATION_ROWS)
        self.offset.copy_(offsets(cosines(texts, descriptions), labels.sum(0) / mask.sum(0).clamp(min=1)))

    def on_validation_epoch_start(self) -> None:
        """Fit the head, in training."""
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._fit_head()

    def on_train_end(self) -> None:
        """Fit the head to the final encoder."""
        self._fit_head()

    @torch.no_grad()
    def _fit_head(self) -> None:
        weight, bias = similarity_head(*self._training_vectors())
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def _training_vectors(self, most: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Vectors of training rows (at most ``most``, evenly spaced) and descriptions, labels and mask."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # set by Trainer.fit
        rows = data.dataset("train", self.data_input)
        count = len(rows) if most is None else min(len(rows), most)
        chosen = torch.linspace(0, len(rows) - 1, count, dtype=torch.float64).round().long()
        chosen = chosen[rows.lengths[chosen].argsort(stable=True)]  # similar lengths together: little padding
        training = self.encoder.training
        self.encoder.eval()
        parts = [self.transfer_batch_to_device(rows.__getitems__(part), self.device, 0) for part in chosen.split(64)]
        texts, descriptions = zip(*(self.vectors(part) for part in parts))
        self.encoder.train(training)
        labels, mask = (torch.cat([part[name] for part in parts]) for name in ("labels", "label_mask"))
        return torch.cat(texts), descriptions[0], labels, mask

    def vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the vectors of the texts ``(B, d)`` and of the descriptions ``(C, d)``."""
        descriptions: Batch = {"input_ids": self.description_ids, "attention_mask": self.description_mask}
        return self._pooled(batch), self._pooled(descriptions)

    def forward(self, batch: Batch) -> Tensor:
        """Compute the logits of the head, ``(B, C)``."""
        texts = self._pooled(batch)
        with torch.autocast(texts.device.type, enabled=False):
            return linear(normalize(texts.float(), dim=1), self.weight.float(), self.bias.float())

    def outputs(self, batch: Batch) -> ModelOutput:
        """Compute logits: in training by the descriptions, with the contrastive term; else those of the head."""
        if not self.training:
            return ModelOutput(self(batch))
        texts, descriptions = self.vectors(batch)
        logits = self.scale * (cosines(texts, descriptions) - self.offset)
        if not self.contrastive_weight:
            return ModelOutput(logits)
        labels, mask = batch["labels"], batch["label_mask"]
        own = torch.eye(len(descriptions), device=labels.device)
        term = jaccard_contrastive(
            torch.cat([texts, descriptions]),
            torch.cat([labels, own]),
            torch.cat([mask, torch.ones_like(own, dtype=torch.bool)]),
            self.temperature,
        )
        return ModelOutput(logits, {"contrastive": self.contrastive_weight * term})

    def _pooled(self, batch: Batch) -> Tensor:
        return pool(self.encode(batch), batch["attention_mask"], self.pooling)
