"""What the splits of a corpus hold, as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlemo.data.corpus import Corpus

__all__ = ["short_texts", "split_report"]


def split_report(corpora: Mapping[Any, Corpus], min_words: int | None = None) -> list[str]:
    """Rows, labels a row, rows without a label, dropped rows and repeated texts, one line per split.

    Args:
        corpora: The splits by name, ``train`` among them.
        min_words: Count the texts with fewer words, which are kept outside of ``train``.
    """
    lines = []
    texts: dict[str, np.ndarray] = {}
    for split, corpus in corpora.items():
        labels = corpus.labels.sum(1)
        line = f"  {split:<5} {len(corpus):>7,} rows, {labels.mean():.4f} labels a row"
        line += f", {int((labels == 0).sum()):,} without a label"
        masked = int((~corpus.mask).sum())
        if masked:
            line += f", {masked:,} label cells not annotated"
        line += "".join(f", {count:,} dropped: {reason}" for reason, count in corpus.dropped.items())
        if split != "train" and min_words is not None:
            line += f", {int(short_texts(corpus, min_words).sum()):,} with fewer than {min_words} words (kept)"
        if corpus.texts is not None:
            texts[split] = _distinct(corpus.texts)
            repeated = len(corpus) - len(texts[split])
            if repeated:
                line += f", {repeated:,} repeated texts"
        lines.append(line)
    for first, second in combinations(texts, 2):
        shared = len(np.intersect1d(texts[first], texts[second], assume_unique=True))
        if shared:
            lines.append(f"  {shared:,} texts are in both {first} and {second} (kept, as official splits are)")
    return lines


def short_texts(corpus: Corpus, min_words: int) -> Tensor:
    """Which texts have fewer words, ``(N,)`` bool.

    Raises:
        ValueError: The corpus has no texts.
    """
    if corpus.texts is None:
        raise ValueError("data.min_words counts words, and this corpus has no texts")
    return torch.tensor([len(text.split()) < min_words for text in corpus.texts], dtype=torch.bool)


def _distinct(texts: Sequence[str]) -> np.ndarray:
    # 64 bits a text in place of the text: that two of 10 million have the same by chance has probability 3e-6
    return np.unique(np.fromiter(map(hash, texts), np.int64, len(texts)))
