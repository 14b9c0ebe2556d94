"""Batch samplers, which choose the rows of the corpus for each mini-batch."""

from mlemo.samplers.adaptive import AdaptiveBatchSampler
from mlemo.samplers.chain import ChainAdaptiveBatchSampler, label_affinity
from mlemo.samplers.imbalance import (
    instance_weights,
    irlbl,
    local_imbalance,
    mean_ir,
    minority_labels,
    nearest_neighbours,
)
from mlemo.samplers.length import ShuffledBatchSampler
from mlemo.samplers.rank import RankBatchSampler
from mlemo.samplers.selection import RandomBatchSampler, SelectionOptions, SelectionSampler, put_losses

__all__ = [
    "AdaptiveBatchSampler",
    "ChainAdaptiveBatchSampler",
    "RandomBatchSampler",
    "RankBatchSampler",
    "SelectionOptions",
    "SelectionSampler",
    "ShuffledBatchSampler",
    "instance_weights",
    "irlbl",
    "label_affinity",
    "local_imbalance",
    "mean_ir",
    "minority_labels",
    "nearest_neighbours",
    "put_losses",
]
