"""The training texts with the most similar embeddings to a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlemo.batch import Batch
from mlemo.data import Corpus
from mlemo.data.collate import FeatureCorpus, batched
from mlemo.models import GTHLEmo, MultiLabelModel, TextModel
from mlemo.nn.memory import Memory
from mlemo.nn.pooling import pool

__all__ = ["Neighbor", "embeddings", "nearest_training_texts", "training_memory"]

MOST = 20_000  #: number of training texts that are searched if the model has no memory
PART = 64  # texts per forward pass


@dataclass(frozen=True)
class Neighbor:
    """A training text near another text.

    Args:
        cosine: Cosine similarity of the two embeddings.
        id: ID of the training text.
        text: The training text.
        labels: Its gold labels.
    """

    cosine: float
    id: str
    text: str
    labels: list[str]


def nearest_training_texts(
    model: MultiLabelModel, memory: Memory, train: Corpus, texts: Sequence[str], k: int
) -> list[list[Neighbor]]:
    """Find the k nearest training texts of each text by cosine, nearest first (Alrasheedy et al. 2026, Table 12).

    Args:
        model: A trained model.
        memory: Embeddings of training texts, from ``training_memory``.
        train: The training split.
        texts: The texts.
        k: Number of neighbors.

    Raises:
        ValueError: The memory has rows that the training split does not have.
    """
    if len(memory) and int(memory.rows.max()) >= len(train):
        raise ValueError(
            f"the checkpoint's memory has row {int(memory.rows.max())} of its training split, but the split found has "
            f"{len(train)} rows: it is not the split that the model was trained on"
        )
    space = model.label_space
    corpus = Corpus(space, torch.zeros(len(texts), len(space)), [str(row) for row in range(len(texts))], list(texts))
    cosines, places = memory.nearest(embeddings(model, corpus), k)
    rows = memory.rows[places].tolist()
    labels = (train.labels.bool() & train.mask).tolist()
    contents = train.texts or []
    return [
        [
            Neighbor(cosine, train.ids[row], contents[row], space.decode(labels[row]))
            for cosine, row in zip(own_cosines, own_rows)
        ]
        for own_cosines, own_rows in zip(cosines.tolist(), rows)
    ]


def training_memory(model: MultiLabelModel, train: Corpus, seed: int = 0) -> Memory:
    """Return the model's memory of training texts on the CPU, or create one of at most ``MOST`` drawn texts."""
    if isinstance(model, GTHLEmo) and model.memory is not None:
        return Memory(**model.memory.state_dict())
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:MOST].sort().values
    return Memory(embeddings(model, train.select(rows))[None], rows)


def embeddings(model: MultiLabelModel, corpus: Corpus) -> Tensor:
    """Compute one vector per text, ``(N, d)`` float32 on the CPU.

    The pooled text of GTHL-Emo; the mean of the encoder's token states of other text models; the features of models
    over feature vectors.

    Raises:
        ValueError: The features are sparse, and would take too much memory as vectors.
    """
    dataset = batched(corpus, model.data_input)
    if isinstance(dataset, FeatureCorpus) and dataset.features.is_sparse:
        raise ValueError(f"not searched among the {dataset.features.shape[1]:,} sparse features of this model")
    order = dataset.lengths.argsort(descending=True, stable=True)  # texts of similar length together: little padding
    with torch.inference_mode():
        parts = [_vectors(model, dataset.__getitems__(rows)).float().cpu() for rows in order.split(PART)]
    return torch.cat(parts)[order.argsort()].clone()


def _vectors(model: MultiLabelModel, batch: Batch) -> Tensor:
    batch = model.transfer_batch_to_device(batch, model.device, 0)
    if isinstance(model, GTHLEmo):
        return model.compute(batch, "none").embeddings
    if isinstance(model, TextModel):
        return pool(model.encode(batch), batch["attention_mask"], "mean")
    return batch["features"]
