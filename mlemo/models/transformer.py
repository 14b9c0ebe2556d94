"""Plain fine-tuning of a text encoder: the baseline of every table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mlemo.batch import Batch, ModelOutput
from mlemo.labels import LabelSpace
from mlemo.models.text_model import TextModel
from mlemo.nn.encoder import EncoderSource
from mlemo.nn.pooling import Pooling, pool

__all__ = ["TransformerClassifier"]


class TransformerClassifier(TextModel):
    """``logits = W · Dropout(pool(encoder(text))) + b``.

    Args:
        label_space: The labels.
        encoder: A name on the hub, a local folder in its layout, or an encoder source such as ``FromScratch``.
        pooling: How a text's token states become one vector; ``last`` is meant for decoder language models, of which
            only the last token has seen the whole text.
        dropout: Dropout before the linear head.
        kwargs: Settings of ``TextModel``: ``loss``, ``max_length``, ``optimization``.

    Raises:
        ValueError: ``pooling`` is ``cls`` and the encoder is causal (when the encoder is made).
    """

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        encoder: EncoderSource | str = "bert-base-uncased",
        pooling: Pooling = "mean",
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(label_space, encoder, **kwargs)
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)

    def build_head(self, width: int) -> None:
        """One linear map from the text's vector to the logits."""
        if self.causal and self.pooling == "cls":
            raise ValueError(
                f"model.pooling is 'cls', and the first token of {type(self.encoder).__name__}, a causal model, has "
                "seen no other: set model.pooling to last or mean"
            )
        self.head = nn.Linear(width, len(self.label_space))

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``(B, C)``."""
        return self.head(self.dropout(pool(self.encode(batch), batch["attention_mask"], self.pooling)))

    def outputs(self, batch: Batch) -> ModelOutput:
        """Logits, and the texts' vectors ``(B, d)`` as ``embeddings`` for the loss."""
        vectors: list[Tensor] = []
        # noted on the way, since sharded weights are gathered by a call of the model itself
        with self.dropout.register_forward_pre_hook(lambda module, inputs: vectors.append(inputs[0])):
            logits = self(batch)
        return ModelOutput(logits, context={"embeddings": vectors[0]})
