"""Strategies of batch selection: which sampler draws the training batches, and where it looks for neighbors."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from copy import copy
from typing import Unpack

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from mlemo.data.collate import BatchedCorpus, FeatureCorpus
from mlemo.nn.features import TextFeatures
from mlemo.nn.tfidf import Tfidf
from mlemo.samplers import (
    AdaptiveBatchSampler,
    ChainAdaptiveBatchSampler,
    RandomBatchSampler,
    RankBatchSampler,
    SelectionOptions,
    SelectionSampler,
    instance_weights,
)
from mlemo.utils.serialization import Recorded

__all__ = ["Adaptive", "Chain", "Hard", "Random", "SelectionStrategy"]

log = logging.getLogger(__name__)


class SelectionStrategy(Recorded, ABC):
    """Which sampler draws the batches; it is made when the corpus is there."""

    @abstractmethod
    def sampler(self, data: BatchedCorpus, batch_size: int, **options: Unpack[SelectionOptions]) -> SelectionSampler:
        """The sampler for a training corpus.

        Args:
            data: The corpus.
            batch_size: Samples a batch, in each process.
            options: See `SelectionSampler`.
        """

    def reading(self, features: TextFeatures | None) -> SelectionStrategy:
        """The strategy for a model that reads texts as tokens.

        Args:
            features: Vectors of texts that the model has before training; ``None`` if it has none.
        """
        return self


class Random(SelectionStrategy):
    """Shuffled passes, without end: the baseline, and a warm-up that any other strategy can continue from."""

    def sampler(self, data: BatchedCorpus, batch_size: int, **options: Unpack[SelectionOptions]) -> SelectionSampler:
        """A `RandomBatchSampler`; only the seed and the processes matter to it."""
        place = {name: options[name] for name in ("seed", "world_size", "rank")}  # type: ignore[literal-required]
        return RandomBatchSampler(len(data), batch_size, **place)


class Hard(SelectionStrategy):
    """Rank-based selection.

    Args:
        selection_pressure: How many times as likely the sample with the largest loss is as that with the smallest.
    """

    def __init__(self, selection_pressure: float = 2.0) -> None:
        self.selection_pressure = selection_pressure

    def sampler(self, data: BatchedCorpus, batch_size: int, **options: Unpack[SelectionOptions]) -> SelectionSampler:
        """A `RankBatchSampler`."""
        return RankBatchSampler(len(data), batch_size, self.selection_pressure, **options)


class Adaptive(SelectionStrategy):
    """Adaptive selection, by quantised losses that are weighted for label imbalance.

    Args:
        selection_pressure: How many times as likely the sample with the largest loss is as one without loss.
        weights: Weight the losses by how isolated samples of minority labels are among their neighbors.
        neighbours: k, neighbours of a sample.
        features: Space of the neighbours for a text corpus; by default the vectors that the model reads. Where it reads
            tokens, they are those of its encoder as it was pretrained (`TextModel.pretrained_features`), and `Tfidf`
            where it has none. For a tabular corpus it is that of its own features, scaled to [0, 1].
    """

    def __init__(
        self,
        selection_pressure: float = 2.0,
        weights: bool = True,
        neighbours: int = 5,
        features: TextFeatures | None = None,
    ) -> None:
        self.selection_pressure, self.weights, self.neighbours = selection_pressure, weights, neighbours
        self.features = features

    def sampler(self, data: BatchedCorpus, batch_size: int, **options: Unpack[SelectionOptions]) -> SelectionSampler:
        """An `AdaptiveBatchSampler`."""
        weights = self.instance_weights(data)
        return AdaptiveBatchSampler(len(data), batch_size, self.selection_pressure, weights, **options)

    def reading(self, features: TextFeatures | None) -> SelectionStrategy:
        """The same with these features, where none were set."""
        strategy = copy(self)
        strategy.features = features if self.features is None else self.features
        return strategy

    def instance_weights(self, data: BatchedCorpus) -> Tensor | None:
        """Weights ``(n,)`` of the samples; ``None`` where they are not asked for."""
        if not self.weights:
            return None
        rank_zero_only(log.info)(f"looking for the neighbors of {len(data):,} samples")
        features = self._features(data)
        return instance_weights(features, data.corpus.labels.to(features.device), self.neighbours)

    def _features(self, data: BatchedCorpus) -> Tensor:
        texts = data.corpus.texts
        if texts is None:
            return _to_unit_range(data.corpus.features)  # type: ignore[arg-type]  # a corpus has texts or features
        if self.features is None and isinstance(data, FeatureCorpus) and not data.features.is_sparse:
            return data.features
        features = self.features or Tfidf()
        features.fit(texts)
        return features(texts)


class Chain(Adaptive):
    """Adaptive selection along chains of correlated labels; settings as in `Adaptive`."""

    def sampler(self, data: BatchedCorpus, batch_size: int, **options: Unpack[SelectionOptions]) -> SelectionSampler:
        """A `ChainAdaptiveBatchSampler`."""
        weights, labels = self.instance_weights(data), data.corpus.labels
        return ChainAdaptiveBatchSampler(labels, batch_size, self.selection_pressure, weights, **options)


def _to_unit_range(features: Tensor) -> Tensor:
    lowest = features.amin(0)
    spread = features.amax(0) - lowest
    return (features - lowest) / torch.where(spread > 0, spread, 1.0)
