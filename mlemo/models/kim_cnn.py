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

SHORTEST = 8  # tokens; the least that the data leave to a text
ANY_LENGTH = 1_000_000


class KimCNN(TextModel):
    """The CNN of Hurtado et al. (2020), section 4 and Fig. 1, after Kim (2014).

    ``S (n, d + v) → BN → [conv of height h, 128 filters, "same" → BN → ReLU → max over the text] for h = 1…6 → linear``

    ``S`` holds for each word its vector and its lexicon values. Over word vectors the network reads ``n`` words of each
    text, shorter ones with zeros at the start, which convolutions and normalisations see like words, as published; so
    a text's logits are the same in any batch. Over any other encoder, whose states at padding mean nothing, a batch is
    as long as its longest text, and padding is left out of convolutions, normalisations and maxima.

    Args:
        label_space: The labels.
        encoder: Word vectors; any other encoder source, a name on the hub or a folder; ``WordVectors()`` if left out.
        heights: Words that a filter spans.
        filters: Filters of each height.
        dropout: Dropout before the linear head; the paper has none.
        max_length: The length n in tokens; ``None`` takes that of the paper, the mean of the average and the greatest
            length of the training texts, so that few texts lose their end and most have less padding.
        kwargs: Settings of ``TextModel``: ``loss``, ``optimization``, ``cleaning``.

    Raises:
        ValueError: No height, one below 1, or no filter.
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
        """Make tokenizer, encoder and network, and find the length of the training texts.

        Raises:
            ValueError: There are no texts to make the tokenizer or to find the length of.
        """
        super().build(texts)
        if self.length is None:
            if texts is None:
                raise ValueError("the length is that of the training texts, and there are none: set model.max_length")
            tokens = self.tokenizer(list(self.cleaned(texts())), add_special_tokens=False)["input_ids"]
            lengths = torch.tensor([len(text) for text in tokens], dtype=torch.double)
            length = math.ceil((lengths.mean() + lengths.max()) / 2)
            self.length = max(SHORTEST, length) + self.tokenizer.num_special_tokens_to_add()

    @property
    def data_input(self) -> TextInput:
        """What this model asks of the data: over word vectors, all texts at one length."""
        asked = super().data_input
        return replace(asked, max_length=min(asked.max_length, self.length or ANY_LENGTH), fixed_length=self._fixed)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the length into the checkpoint."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["max_length"] = self.length

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the length from the checkpoint."""
        super().on_load_checkpoint(checkpoint)
        self.length = checkpoint["max_length"]

    def build_head(self, width: int) -> None:
        """Convolutions, normalisations and the linear map from all maxima to the logits."""
        channels = len(self.heights) * self.filters
        self.input_norm = nn.BatchNorm1d(width)
        # the normalisation behind has a bias
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, self.filters, height, padding=height // 2, bias=False) for height in self.heights
        )
        self.norm = nn.BatchNorm1d(channels)  # of every filter by itself, so one for all heights
        self.head = nn.Linear(channels, len(self.label_space))

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``(B, C)``."""
        present = None if self._fixed else batch["attention_mask"].bool()
        # contiguous: convolutions over a transposed view are slower by a third
        states = _normalise(self.input_norm, self.encode(batch).transpose(1, 2).contiguous(), present)  # (B, d, L)
        length = states.shape[-1]
        # Padding of height // 2 on both sides gives an even height one place too many, at the start.
        maps = torch.cat([convolve(states)[..., -length:] for convolve in self.convolutions], 1)
        # ReLU and maximum may change places; as ReLU gives no less than 0, zeros at padding change no maximum
        return self.head(self.dropout(_normalise(self.norm, maps, present).amax(-1).relu()))

    @property
    def _fixed(self) -> bool:
        return isinstance(self.encoder.config, WordsConfig)


def _normalise(norm: nn.BatchNorm1d, states: Tensor, present: Tensor | None) -> Tensor:
    """Batch normalisation of ``(B, d, L)``; over the tokens that are present ``(B, L)`` only, zero at the others."""
    if present is None:
        return norm(states)
    tokens = norm(states.transpose(1, 2)[present])  # (tokens, d)
    result = tokens.new_zeros(*present.shape, tokens.shape[-1])
    result[present] = tokens
    return result.transpose(1, 2)
