"""Label similarity of texts linked by the batch graph of GTHL-Emo."""

from __future__ import annotations

from copy import deepcopy

import pandas as pd
import torch
from torch import Tensor

from mlemo.data import Corpus
from mlemo.models import GTHLEmo, MultiLabelModel
from mlemo.nn.batch_graph import between, label_jaccard
from mlemo.reporting.explanations.neighbors import embeddings

__all__ = ["label_similarity_of_links"]


def label_similarity_of_links(
    model: MultiLabelModel, corpus: Corpus, batch_size: int = 16, most: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Compute the Jaccard index of the gold labels of pairs of texts in a batch, over linked and over all pairs.

    The texts are divided into random batches. They are linked as in evaluation, by their embeddings alone, and as in
    training, where labels may contribute to the graph.

    Args:
        model: A trained GTHL-Emo with a graph of batches.
        corpus: Texts with gold labels.
        batch_size: Number of texts per graph.
        most: Largest number of texts, drawn at random.
        seed: Seed of the draw.

    Returns:
        One row each for ``evaluation`` and ``training``: mean number of neighbors per text, mean index over the linked
        pairs, and mean index over all pairs in a batch.

    Raises:
        ValueError: The model has no graph of batches, or there are fewer than two texts.
    """
    if not isinstance(model, GTHLEmo) or model.linker is None:
        raise ValueError(f"links need a GTHLEmo with a graph of batches, found a {type(model).__name__} without one")
    if min(len(corpus), most, batch_size) < 2:
        raise ValueError(f"links need two texts, found {len(corpus)}, with most={most} and batch_size={batch_size}")
    rows = torch.randperm(len(corpus), generator=torch.Generator().manual_seed(seed))[:most]
    drawn, linker = corpus.select(rows), deepcopy(model.linker).cpu()
    vectors = embeddings(model, drawn)
    linked: dict[str, list[Tensor]] = {"evaluation": [], "training": []}
    pairs = []
    for batch in torch.arange(len(rows)).split(batch_size):
        labels, mask = drawn.labels[batch], drawn.mask[batch]
        alike = label_jaccard(labels, mask)
        pairs.append(between(alike))
        for name, seen in (("evaluation", None), ("training", labels)):
            with torch.inference_mode():
                sources, targets = linker(vectors[batch], seen, mask).edges
            linked[name].append(alike[sources, targets])
    average = torch.cat(pairs).mean().item()
    return pd.DataFrame(
        [(name, sum(map(len, own)) / len(rows), torch.cat(own).mean().item(), average) for name, own in linked.items()],
        columns=["linked as in", "neighbours of a text", "linked pairs", "all pairs"],
    )
