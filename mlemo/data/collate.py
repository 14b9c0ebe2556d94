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
        if text_input.prompt is None:
            before, _, after = special_tokens(tokenizer, pair=False)
            self.prefix = torch.tensor(before, dtype=torch.long)
        else:
            words = text_input.label_words or corpus.label_space.names
            if len(words) != len(corpus.label_space):
                raise ValueError(
                    f"{len(words)} label words for {len(corpus.label_space)} labels: one phrase a label is expected"
                )
            self.prompt = Prompt(tokenizer, words, text_input.prompt)
            _, _, after = special_tokens(tokenizer, pair=True)
            self.prefix = self.prompt.ids
        room = text_input.max_length - len(self.prefix) - len(after)
        if room < self.MIN_TEXT:
            raise ValueError(
                f"max_length {text_input.max_length} leaves {room} tokens to the text beside "
                f"{len(self.prefix) + len(after)} of prompt and special tokens; at least {self.MIN_TEXT} are expected: "
                "raise max_length or choose a shorter prompt"
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
        lengths = self.lengths[index]
        if self.fixed_length is None:
            column = torch.arange(max(1, int(lengths.max()))).expand(len(index), -1)  # (B, T), place in the text
            present = column < lengths[:, None]
        else:
            column = torch.arange(self.fixed_length) - (self.fixed_length - lengths[:, None])
            present = column >= 0
        where = torch.where(present, self.starts[index, None] + column, 0)
        text = torch.where(present, self.tokens[where], self.pad_id)
        size = len(index)
        batch: Batch = {
            "input_ids": torch.cat([self.prefix.expand(size, -1), text], 1),
            "attention_mask": torch.cat([torch.ones(size, len(self.prefix), dtype=torch.bool), present], 1).long(),
            **self._labels(index),
        }
        if self.token_types:
            types = torch.zeros_like(batch["input_ids"])
            if self.prompt is not None:
                types[:, len(self.prefix) :] = present.long()
            batch["token_type_ids"] = types
        if self.prompt is not None:
            batch["label_positions"] = self.prompt.positions.expand(size, -1)
            batch["label_order"] = self.prompt.order.expand(size, -1)
            behind = torch.full_like(text, len(self.prompt.order))
            batch["prompt_segments"] = torch.cat([self.prompt.segments.expand(size, -1), behind], 1)
            if self.order_free:
                of_text = self.prompt.position_ids.max() + 1 + torch.arange(text.shape[1])
                batch["position_ids"] = torch.cat([self.prompt.position_ids, of_text]).expand(size, -1)
        return batch
