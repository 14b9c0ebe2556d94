"""Numbers that describe one split: its labels, the sizes of its label sets, and the lengths of its texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlemo.data import Corpus
from mlemo.data.prompt import special_tokens
from mlemo.data.tokens import tokenize
from mlemo.samplers import irlbl

__all__ = ["LabelNumbers", "Lengths", "SplitNumbers", "split_numbers", "token_lengths"]

LONGEST = 2**31 - 1  # tokens of a text: none is truncated


@dataclass(frozen=True)
class LabelNumbers:
    """Frequency of a label in a split.

    Args:
        name: Name of the label.
        positives: Rows that have it.
        annotated: Rows in which it is annotated, with or without it.
        share: ``positives / annotated``; ``None`` where no row is annotated.
        irlbl: (Positives of the most frequent label) / ``positives``; ``None`` without a positive.
    """

    name: str
    positives: int
    annotated: int
    share: float | None
    irlbl: float | None


@dataclass(frozen=True)
class Lengths:
    """Distribution of the lengths of texts in one unit.

    Args:
        mean: Mean length.
        percentiles: 101 lengths: entry p is the smallest length that p % of the texts do not exceed.
    """

    mean: float
    percentiles: tuple[int, ...]

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Lengths:
        """Describe the lengths of at least one text."""
        values = np.fromiter(lengths, np.int64)
        cut = np.quantile(values, np.linspace(0, 1, 101), method="inverted_cdf")
        return cls(float(values.mean()), tuple(cut.tolist()))


@dataclass(frozen=True)
class SplitNumbers:
    """Description of one split.

    Args:
        rows: Number of rows, ``N``.
        inputs: Number of inputs of a tabular corpus; ``None`` for texts.
        labels: Frequency of each of the ``C`` labels.
        cardinality: Mean number of labels per row.
        density: ``cardinality / C``.
        mean_ir: Mean of ``irlbl`` over the labels that occur; ``None`` if none occurs.
        label_sets: Number of different label sets.
        sizes: Rows with 0, 1, 2, … labels.
        not_annotated: Entries of the ``N × C`` table of labels that are not annotated.
        empty_texts: Texts without a character other than blanks; ``None`` for tabular corpora.
        lengths: Lengths of the texts by unit, ``characters`` and ``words`` (between blanks); empty for tabular corpora.
        dropped: Rows left out by the reader, by reason.
    """

    rows: int
    inputs: int | None
    labels: tuple[LabelNumbers, ...]
    cardinality: float
    density: float
    mean_ir: float | None
    label_sets: int
    sizes: tuple[int, ...]
    not_annotated: int
    empty_texts: int | None
    lengths: dict[str, Lengths]
    dropped: dict[str, int]


def split_numbers(corpus: Corpus) -> SplitNumbers:
    """Describe a split; a label that is not annotated counts as absent from its row.

    Reference:
        Charte et al., *Addressing Imbalance in Multilabel Classification*, Neurocomputing 2015 (IRLbl, MeanIR).
    """
    positives, annotated = corpus.labels.sum(0), corpus.mask.sum(0)
    ratios = irlbl(corpus.labels).double() if positives.any() else torch.full((len(positives),), torch.inf)
    found = ratios[ratios.isfinite()]
    sizes = corpus.labels.sum(1)
    labels = zip(corpus.label_space.names, positives.long().tolist(), annotated.tolist(), ratios.tolist())
    texts = corpus.texts
    return SplitNumbers(
        rows=len(corpus),
        inputs=None if corpus.features is None else corpus.features.shape[1],
        labels=tuple(
            LabelNumbers(name, count, known, count / known if known else None, ratio if count else None)
            for name, count, known, ratio in labels
        ),
        cardinality=float(sizes.double().mean()),
        density=float(sizes.double().mean()) / len(positives),
        mean_ir=float(found.mean()) if len(found) else None,
        label_sets=_different_rows(corpus.labels),
        sizes=tuple(sizes.long().bincount().tolist()),
        not_annotated=int((~corpus.mask).sum()),
        empty_texts=None if texts is None else sum(not text.strip() for text in texts),
        lengths={} if texts is None else {"characters": Lengths.of(map(len, texts)), "words": _word_lengths(texts)},
        dropped=dict(corpus.dropped),
    )


def token_lengths(texts: Sequence[str], tokenizer: Any) -> Tensor:
    """Count the tokens of each of ``N`` texts with the special tokens around it, ``(N,)`` long."""
    before, _, after = special_tokens(tokenizer, pair=False)
    return tokenize(texts, tokenizer, LONGEST, after).lengths + len(before)


def _word_lengths(texts: Sequence[str]) -> Lengths:
    return Lengths.of(len(text.split()) for text in texts)


def _different_rows(labels: Tensor) -> int:
    """Count different rows, packed to bits: of many labels they are a few bytes each."""
    packed = np.ascontiguousarray(np.packbits(labels.numpy() > 0, axis=1))
    return len(np.unique(packed.view(f"V{packed.shape[1]}")))
