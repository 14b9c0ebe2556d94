"""Batches and memories for tests of GTHL-Emo."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mlemo.batch import Batch
from mlemo.data import Corpus, TokenizedCorpus
from mlemo.models import GTHLEmo
from mlemo.nn.memory import Memory

__all__ = ["ROWS", "batch_of", "remember", "with_labels"]

ROWS = [5, 0, 22, 13, 7, 2]


def batch_of(model: GTHLEmo, corpus: Corpus, rows: list[int]) -> Batch:
    return TokenizedCorpus(corpus, model.data_input).__getitems__(rows)


def remember(model: GTHLEmo, rows: int = 15) -> GTHLEmo:
    """Give the model a memory of random states, which no label has touched."""
    generator = torch.Generator().manual_seed(4)
    model.memory = Memory(torch.randn(model.depth, rows, 32, generator=generator), torch.arange(rows))
    return model


def with_labels(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    return {**batch, "labels": change(batch["labels"]), "label_mask": change(batch["label_mask"].float()) > 0.5}
