"""From a corpus to batches: every text is tokenized (or made a vector) once, and a batch is one gather."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Self, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlemo.batch import Batch, DataInput, FeatureInput, TextInput
from mlemo.data.corpus import Corpus
from mlemo.data.io.arrow_cache import ArrowCache
from mlemo.data.prompt import Prompt, special_tokens
from mlemo.data.tokens import tokenize

__all__ = ["BatchedCorpus", "FeatureCorpus", "TokenizedCorpus", "batched"]


class BatchedCorpus(Dataset[Batch], ABC):
    """A corpus from which a batch of any rows is made at once.

    Its columns may lie on another device than the CPU (`to`), and batches are then made there.

    Attributes:
        corpus: The corpus.
        lengths: ``(N,)`` long, the length of each row, for batches of like lengths; always on the CPU, as the size of a
            batch follows from it.
        labels: ``(N, C)`` float32.
        mask: ``(N, C)`` bool.
        extras: Further values per row, by name (`Corpus.extras`).
    """

    corpus: Corpus
    lengths: Tensor
    labels: Tensor
    mask: Tensor
    extras: dict[str, Tensor]

    @abstractmethod
    def __getitems__(self, rows: Sequence[int] | Tensor) -> Batch:
        """The rows as one batch; ``DataLoader`` calls this with a batch of rows."""

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])

    def __len__(self) -> int:
        return len(self.corpus)

    def to(self, device: torch.device | str) -> Self:
        """The same corpus with its columns on a device."""
        moved = copy(self)
        for name, column in self._columns().items():
            setattr(moved, name, column.to(device))
        moved.extras = {name: values.to(device) for name, values in self.extras.items()}
        return moved

    @property
    def nbytes(self) -> int:
        """Size of the columns in bytes."""
        return sum(_nbytes(column) for column in (*self._columns().values(), *self.extras.values()))

    def _columns(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor) and name != "lengths"}

    def _there(self, rows: Tensor) -> Tensor:
        """Numbers of rows, from the CPU to where the columns are."""
        device = self.labels.device
        if device.type == "cpu":
            return rows
        if device.type == "cuda":
            rows = rows.pin_memory()  # from pageable memory the copy would wait for the device
        return rows.to(device, non_blocking=True)

    def _labels(self, index: Tensor) -> Batch:
        labels, mask = self.labels.index_select(0, index), self.mask.index_select(0, index)
        extras = {name: values.index_select(0, index) for name, values in self.extras.items()}
        return cast(Batch, {"labels": labels, "label_mask": mask, "index": index, **extras})


def batched(corpus: Corpus, data_input: DataInput, cache: ArrowCache | None = None) -> BatchedCorpus:
    """The corpus in the form that a model needs (``model.data_input``).

    Args:
        corpus: The corpus.
        data_input: What the model needs.
        cache: Where the tokens are kept, and mapped from; ``None`` for the memory.
    """
    if isinstance(data_input, FeatureInput):
        return FeatureCorpus(corpus, data_input)
    return TokenizedCorpus(corpus, data_input, cache)


def _nbytes(column: Tensor) -> int:
    return column._indices().nbytes + column._values().nbytes if column.is_sparse else column.nbytes


class FeatureCorpus(BatchedCorpus):
    """A corpus as feature vectors: those of a tabular corpus, or what ``from_texts`` makes of texts, once.

    Vectors may be sparse; those of a batch are dense.

    Args:
        corpus: Features or texts, and labels.
        feature_input: How texts become vectors.

    Raises:
        ValueError: A corpus of texts, and no way to make vectors of them.
    """

    def __init__(self, corpus: Corpus, feature_input: FeatureInput) -> None:
        if corpus.features is not None:
            self.features = corpus.features
        elif feature_input.from_texts is not None:
            self.features = feature_input.from_texts(corpus.texts or []).float()
        else:
            raise ValueError(
                "this model reads feature vectors and the corpus has texts: set model.features to what makes vectors "
                "of texts, such as FrozenEncoder or Tfidf"
            )
        self.corpus, self.labels, self.mask, self.extras = corpus, corpus.labels, corpus.mask, corpus.extras
        self.lengths = torch.ones(len(corpus), dtype=torch.long)

    def __getitems__(self, rows: Sequence[int] | Tensor) -> Batch:
        """The rows as one batch."""
        index = self._there(torch.as_tensor(rows, dtype=torch.long))
        with torch.inference_mode(False):  # which threads of a gather of sparse rows do not have from their caller
            features = self.features.index_select(0, index)
        return {"features": features.to_dense() if features.is_sparse else features, **self._labels(index)}


class TokenizedCorpus(BatchedCorpus):
    """A text corpus as one flat tensor of token ids, from which a batch of any rows is gathered without a loop.

    Args:
        corpus: Texts and labels.
        text_input: Tokenizer, maximum length and prompt layout that the model needs.
        cache: Where the tokens are kept, and mapped from; ``None`` for the memory.

    Raises:
        ValueError: The corpus has no texts, the prompt leaves fewer than 8 of ``max_length`` tokens to the text, or a
            prompt is asked for together with a fixed length.
    """

    MIN_TEXT = 8  # tokens; with less room a prompt would crowd the text out

    def __init__(self, corpus: Corpus, text_input: TextInput, cache: ArrowCache | None = None) -> None:
        if corpus.texts is None:
            raise ValueError("a text model needs a corpus with texts; this one has features only")
        if text_input.fixed_length and text_input.prompt is not None:
            raise ValueError("texts are padded to a fixed length at their start, where a prompt would be")
        tokenizer = text_input.tokenizer
        self.prompt: Prompt | None = None
        self.prompt_last = text_input.prompt is not None and text_input.prompt_last
        self.suffix = torch.empty(0, dtype=torch.long)
        before, _, after = special_tokens(tokenizer, pair=text_input.prompt is not None and not self.prompt_last)
        if text_input.prompt is not None:
            words = text_input.label_words or corpus.label_space.names
            if len(words) != len(corpus.label_space):
                raise ValueError(
                    f"{len(words)} label words for {len(corpus.label_space)} labels: one phrase a label is expected"
                )
            self.prompt = Prompt(tokenizer, words, text_input.prompt, last=self.prompt_last)
            if self.prompt_last:
                after, self.suffix = [], self.prompt.ids
            else:
                before = self.prompt.ids.tolist()
        elif not before and not after and tokenizer.eos_token_id is not None:
            after = [tokenizer.eos_token_id]  # a text without words would have no token, and none to be read out at
        self.prefix = torch.tensor(before, dtype=torch.long)
        beside = len(self.prefix) + len(after) + len(self.suffix)
        room = text_input.max_length - beside
        if room < self.MIN_TEXT:
            raise ValueError(
                f"max_length {text_input.max_length} leaves {room} tokens to the text beside {beside} of prompt and "
                f"special tokens; at least {self.MIN_TEXT} are expected: raise max_length or choose a shorter prompt"
            )
        self.token_types = text_input.token_types
        self.order_free = text_input.prompt_order == "free"
        self.pad_id = tokenizer.pad_token_id or 0
        tokens = tokenize(corpus.texts, tokenizer, room, after, cleaning=text_input.cleaning, cache=cache)
        self.tokens, self.starts, self.lengths = tokens.ids, tokens.starts, tokens.lengths
        if not len(self.tokens):
            self.tokens = self.tokens.new_zeros(1)  # what padding is taken from, where no text has a token
        #: whether there are ids above 32,767, which are negative as int16
        self.above_int16 = tokens.ids.dtype == torch.int16 and bool(len(tokens.ids)) and int(tokens.ids.min()) < 0
        self.prefix_mask = torch.ones_like(self.prefix, dtype=torch.bool)
        self.fixed_length = text_input.max_length - len(self.prefix) if text_input.fixed_length else None
        self.corpus, self.labels, self.mask, self.extras = corpus, corpus.labels, corpus.mask, corpus.extras

    def to(self, device: torch.device | str) -> Self:
        """The same corpus with its columns, and the prompt, on a device."""
        moved = super().to(device)
        moved.prompt = None if self.prompt is None else self.prompt.to(device)
        return moved

    def __getitems__(self, rows: Sequence[int] | Tensor) -> Batch:
        """The rows as one batch, padded to the longest of them, or to the fixed length."""
        index = torch.as_tensor(rows, dtype=torch.long)
        size, lengths = len(index), self.lengths.index_select(0, index)[:, None]  # (B, 1)
        device, longest = self.tokens.device, int(lengths.max())  # of the CPU: the device is not waited for
        index, lengths = self._there(index), self._there(lengths)
        if self.fixed_length is None:
            places = max(1, longest + len(self.suffix))
            column = torch.arange(places, device=device).expand(size, -1)  # (B, T), place in the text
            present = column < lengths
        else:
            column = torch.arange(self.fixed_length, device=device) - (self.fixed_length - lengths)
            present = column >= 0
        where = torch.where(present, self.starts.index_select(0, index)[:, None] + column, 0)
        tokens = self.tokens.take(where).long()
        if self.above_int16:
            tokens &= 0xFFFF  # the bits of a uint16
        text, segments = torch.where(present, tokens, self.pad_id), None
        if self.prompt_last:
            text, present, segments = self._with_prompt(text, present, column - lengths)
        batch: Batch = {
            "input_ids": torch.cat([self.prefix.expand(size, -1), text], 1),
            "attention_mask": torch.cat([self.prefix_mask.expand(size, -1), present], 1).long(),
            **self._labels(index),
        }
        if self.token_types:
            types = torch.zeros_like(batch["input_ids"])
            if self.prompt is not None and not self.prompt_last:
                types[:, len(self.prefix) :] = present.long()
            batch["token_type_ids"] = types
        if self.prompt is not None:
            batch["label_order"] = self.prompt.order.expand(size, -1)
            if segments is None:
                batch["label_positions"] = self.prompt.positions.expand(size, -1)
                before, segments = self.prompt.segments, torch.full_like(text, len(self.prompt.order))
            else:
                batch["label_positions"] = len(self.prefix) + lengths + self.prompt.positions
                before = torch.full_like(self.prefix, -1)
            batch["prompt_segments"] = torch.cat([before.expand(size, -1), segments], 1)
            if self.order_free:
                of_text = self.prompt.position_ids.max() + 1 + torch.arange(text.shape[1], device=device)
                batch["position_ids"] = torch.cat([self.prompt.position_ids, of_text]).expand(size, -1)
        return batch

    def _with_prompt(self, text: Tensor, present: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Put the prompt behind each text.

        Args:
            text: ``(B, T)``, tokens of the texts.
            present: ``(B, T)``, whether there is a token.
            place: ``(B, T)``, place in the prompt, counted from the end of each text.

        Returns:
            Tokens, whether there is one, and the segment of each, ``(B, T)``.
        """
        assert self.prompt is not None
        behind = (place >= 0) & (place < len(self.suffix))
        place = place.clamp(0, len(self.suffix) - 1)
        segments = torch.where(behind, self.prompt.segments[place], torch.where(present, -1, len(self.prompt.order)))
        return torch.where(behind, self.suffix[place], text), present | behind, segments
