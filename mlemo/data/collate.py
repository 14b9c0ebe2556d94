"""From a corpus to batches: every text is tokenised (or made a vector) once, and a batch is one gather."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlemo.batch import Batch, DataInput, FeatureInput, TextInput
from mlemo.data.corpus import Corpus
from mlemo.data.prompt import Prompt, special_tokens
from mlemo.text.readable import readable

__all__ = ["BatchedCorpus", "FeatureCorpus", "TokenizedCorpus", "batched"]


class BatchedCorpus(Dataset[Batch], ABC):
    """A corpus from which a batch of any rows is made at once.

    Attributes:
        corpus: The corpus.
        lengths: ``(N,)`` long, the length of each row, for batches of like lengths.
    """

    corpus: Corpus
    lengths: Tensor

    @abstractmethod
    def __getitems__(self, rows: Sequence[int] | Tensor) -> Batch:
        """The rows as one batch; ``DataLoader`` calls this with a batch of rows."""

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])

    def __len__(self) -> int:
        return len(self.corpus)

    def _labels(self, index: Tensor) -> Batch:
        return {"labels": self.corpus.labels[index], "label_mask": self.corpus.mask[index], "index": index}


def batched(corpus: Corpus, data_input: DataInput) -> BatchedCorpus:
    """The corpus in the form that a model asks for (``model.data_input``)."""
    if isinstance(data_input, FeatureInput):
        return FeatureCorpus(corpus, data_input)
    return TokenizedCorpus(corpus, data_input)


class FeatureCorpus(BatchedCorpus):
    """A corpus as feature vectors: those of a tabular corpus, or what ``from_texts`` makes of texts, once.

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
        self.corpus = corpus
        self.lengths = torch.ones(len(corpus), dtype=torch.long)

    def __getitems__(self, rows: Sequence[int] | Tensor) -> Batch:
        """The rows as one batch."""
        index = torch.as_tensor(rows, dtype=torch.long)
        return {"features": self.features[index], **self._labels(index)}


class TokenizedCorpus(BatchedCorpus):
    """A text corpus as one flat tensor of token ids, from which a batch of any rows is gathered without a loop.

    Args:
        corpus: Texts and labels.
        text_input: Tokenizer, maximum length and prompt layout, as the model asks for them.

    Raises:
        ValueError: The corpus has no texts, the prompt leaves fewer than 8 of ``max_length`` tokens to the text, or a
            prompt is asked for together with a fixed length.
    """

    MIN_TEXT = 8  # tokens; with less room a prompt would crowd the text out

    def __init__(self, corpus: Corpus, text_input: TextInput) -> None:
        if corpus.texts is None:
            raise ValueError("a text model needs a corpus with texts; this one has features only")
        if text_input.fixed_length and text_input.prompt is not None:
            raise ValueError("texts are padded to a fixed length at their start, where a prompt would stand")
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
        clean, texts = text_input.cleaning, [readable(text) for text in corpus.texts]
        texts = texts if clean is None else [clean(text) for text in texts]
        encoded = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=room)["input_ids"]
        self.lengths = torch.tensor([len(ids) + len(after) for ids in encoded], dtype=torch.long)
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.tokens = torch.tensor([token for ids in encoded for token in (*ids, *after)], dtype=torch.long)
        self.fixed_length = text_input.max_length - len(self.prefix) if text_input.fixed_length else None
        self.corpus = corpus

    def __getitems__(self, rows: Sequence[int] | Tensor) -> Batch:
        """The rows as one batch, padded to the longest of them, or to the fixed length."""
        index = torch.as_tensor(rows, dtype=torch.long)
        size, lengths = len(index), self.lengths[index, None]  # (B, 1)
        if self.fixed_length is None:
            column = torch.arange(max(1, int(lengths.max())) + len(self.suffix)).expand(size, -1)  # (B, T)
            present = column < lengths
        else:
            column = torch.arange(self.fixed_length) - (self.fixed_length - lengths)
            present = column >= 0
        where = torch.where(present, self.starts[index, None] + column, 0)
        text = torch.where(present, self.tokens[where], self.pad_id)
        segments = None
        if self.prompt_last:
            text, present, segments = self._with_prompt(text, present, column - lengths)
        batch: Batch = {
            "input_ids": torch.cat([self.prefix.expand(size, -1), text], 1),
            "attention_mask": torch.cat([torch.ones(size, len(self.prefix), dtype=torch.bool), present], 1).long(),
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
                of_text = self.prompt.position_ids.max() + 1 + torch.arange(text.shape[1])
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
