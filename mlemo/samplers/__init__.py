"""Batch samplers: which rows of the corpus make a mini-batch."""

from mlemo.samplers.length import ShuffledBatchSampler

__all__ = ["ShuffledBatchSampler"]
