"""KimCNN: parallel convolutions of several heights over word vectors and lexicon values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mlemo.batch import Batch, TextInput
from mlemo.labels import LabelSpace
from mlemo.models.base import Parts
from mlemo.models.text_model import TextModel
from mlemo.nn.encoder import EncoderSource
from mlemo.nn.words import WordsConfig, WordVectors

__all__ = ["KimCNN"]

SHORTEST = 8  # shortest input in tokens
ANY_LENGTH = 1_000_000


class KimCNN(TextModel):
    """The CNN of Hurtado et al. (2020), section 4 and Fig. 1, after Kim (2014).

    ``S (n, d + v) → BN → [conv of height h, 128 filters, "same" → BN → ReLU → max over the text] for h = 1…6 → linear``

    ``S`` has the vector and the lexicon values of each word. Over word vectors the input is ``n`` words of each text,
    padded with zeros at the start, which convolutions and normalizations treat like words, as published; so a text's
    logits do not depend on its batch. Over any other encoder, whose states at padding have no meaning, a batch is as
    long as its longest text, and padding is excluded from convolutions, normalizations and maxima.

    Args:
        label_space: The labels.
        encoder: Word vectors, or any other encoder source, hub name or folder; ``WordVectors()`` if left out.
        heights: Numbers of words spanned by filters.
        filters: Number of filters per height.
        dropout: Dropout before the linear head; the paper has none.
        max_length: The length n in tokens; ``None`` uses that of the paper, the mean of the average and the largest
            length of the training texts, so that few texts are truncated and most have less padding.
        kwargs: Settings of ``TextModel``: ``loss``, ``optimization``, ``cleaning``.

    Raises:
        ValueError: No height, a height below 1, or no filters.
    """

    default_parts: ClassVar[Parts] = {**TextModel.default_parts, "encoder": partial(WordVectors)}

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        encoder: EncoderSource | str | None = None,
        *,
        heights: Sequence[int] = (1, 2, 3, 4, 5, 6),
        filters: int = 128,
        dropout: float = 0.0,
        max_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not heights or min(heights) < 1 or filters < 1:
            raise ValueError(f"model.heights and model.filters must be at least 1, found {heights} and {filters}")
        longest = ANY_LENGTH if max_length is None else max_length
        super().__init__(
            label_space, self.default_parts["encoder"]() if encoder is None else encoder, max_length=longest, **kwargs
        )
        self.heights, self.filters, self.length = tuple(heights), filters, max_length
        self.dropout = nn.Dropout(dropout)

    def build(self, texts: Callable[[], Sequence[str]] | None = None) -> None:
        """Create tokenizer, encoder and network, and compute the length from the training texts.

        Raises:
            ValueError: There are no training texts for the tokenizer or the length.
        """
        super().build(texts)
        if self.length is None:
            if texts is None:
                raise ValueError(
                    "the length is computed from the training texts, and there are none: set model.max_length"
                )
            tokens = self.tokenizer(list(self.cleaned(texts())), add_special_tokens=False)["input_ids"]
            lengths = torch.tensor([len(text) for text in tokens], dtype=torch.double)
            length = math.ceil((lengths.mean() + lengths.max()) / 2)
            self.length = max(SHORTEST, length) + self.tokenizer.num_special_tokens_to_add()

    @property
    def data_input(self) -> TextInput:
        """The input that this model needs from the data: over word vectors, all texts at one length."""
        data_input = super().data_input
        longest = min(data_input.max_length, self.length or ANY_LENGTH)
        return replace(data_input, max_length=longest, fixed_length=self._fixed)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the length in the checkpoint."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["max_length"] = self.length

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Load the length from the checkpoint."""
        super().on_load_checkpoint(checkpoint)
        self.length = checkpoint["max_length"]

    def build_head(self, width: int) -> None:
        """Create convolutions, normalizations and the linear map from all maxima to the logits."""
        channels = len(self.heights) * self.filters
        self.input_norm = nn.BatchNorm1d(width)
        # the following normalization has a bias
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, self.filters, height, padding=height // 2, bias=False) for height in self.heights
        )
        self.norm = nn.BatchNorm1d(channels)  # normalizes each filter separately, so one layer serves all heights
        self.head = nn.Linear(channels, len(self.label_space))

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)``."""
        present = None if self._fixed else batch["attention_mask"].bool()
        # contiguous: convolutions over a transposed view are slower by a third
        states = _normalize(self.input_norm, self.encode(batch).transpose(1, 2).contiguous(), present)  # (B, d, L)
        length = states.shape[-1]
        # Padding of height // 2 on both sides gives an even height one place too many, at the start.
        maps = torch.cat([convolve(states)[..., -length:] for convolve in self.convolutions], 1)
        # ReLU and maximum commute; since ReLU is at least 0, zeros at padding do not change a maximum
        return self.head(self.dropout(_normalize(self.norm, maps, present).amax(-1).relu()))

    @property
    def _fixed(self) -> bool:
        return isinstance(self.encoder.config, WordsConfig)


def _normalize(norm: nn.BatchNorm1d, states: Tensor, present: Tensor | None) -> Tensor:
    """Normalize ``(B, d, L)`` over the batch; with ``present`` ``(B, L)`` over these tokens only, zero elsewhere."""
    if present is None:
        return norm(states)
    if not norm.training:  # by fixed statistics, so that other tokens do not matter
        return norm(states).masked_fill(~present[:, None], 0.0)
    tokens = norm(states.transpose(1, 2)[present])  # (tokens, d)
    result = tokens.new_zeros(*present.shape, tokens.shape[-1])
    result[present] = tokens
    return result.transpose(1, 2)
