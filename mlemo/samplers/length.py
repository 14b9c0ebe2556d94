"""Shuffled mini-batches, grouped by length to limit padding; resumable, and distributed over processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler

__all__ = ["ShuffledBatchSampler"]


class ShuffledBatchSampler(Sampler[list[int]]):
    """Draw shuffled mini-batches, in a new order per epoch, grouped by length where lengths are given.

    The rows are shuffled, split into windows of ``window`` batches, sorted by length within each window, split into
    batches, and the batches are shuffled. The order is a function of ``(seed, epoch)`` alone. With several processes
    each process uses every ``world_size``-th batch; the first ones are repeated until all have the same number.

    Args:
        n: Number of rows of the corpus.
        batch_size: Samples per batch; the last batch may be smaller.
        lengths: ``(n,)`` length of each row, or ``None`` to ignore lengths.
        seed: Seed of the order.
        window: Number of batches that are sorted by length together; a larger window has less padding and less
            shuffling.
        world_size: Number of processes.
        rank: Index of this process.

    Raises:
        ValueError: ``n`` or ``batch_size`` below one, or ``lengths`` of another size.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        lengths: Tensor | None = None,
        *,
        seed: int = 42,
        window: int = 50,
        world_size: int = 1,
        rank: int = 0,
    ) -> None:
        if n < 1 or batch_size < 1:
            raise ValueError(f"n and batch_size must be at least 1, found {n} and {batch_size}")
        if lengths is not None and len(lengths) != n:
            raise ValueError(f"{len(lengths)} lengths for {n} rows")
        self.n, self.batch_size, self.lengths = n, batch_size, lengths
        self.seed, self.window, self.world_size, self.rank = seed, window, world_size, rank
        self.epoch = 0
        self.drawn = 0
        self._resumed: int | None = None  # the epoch that was interrupted

    @property
    def sampler(self) -> ShuffledBatchSampler:
        """This sampler: Lightning calls ``set_epoch`` on the ``sampler`` of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(math.ceil(self.n / self.batch_size) / self.world_size)

    def __iter__(self) -> Iterator[list[int]]:
        if self._resumed != self.epoch:
            self.drawn = 0
        self._resumed = None
        rows, order = self._order()
        for place in range(self.drawn, len(self)):
            batch = order[(place * self.world_size + self.rank) % len(order)]
            self.drawn += 1
            yield rows[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()

    def _order(self) -> tuple[Tensor, Sequence[int]]:
        """The rows, batch behind batch, ``(n,)``, and the order of the batches."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        rows = torch.randperm(self.n, generator=generator)
        if self.lengths is not None:
            window = torch.arange(self.n) // (self.window * self.batch_size)
            by_length = self.lengths[rows].argsort(stable=True)
            rows = rows[by_length[window[by_length].argsort(stable=True)]]
        batches = math.ceil(self.n / self.batch_size)
        if self.lengths is None:
            return rows, range(batches)
        return rows, torch.randperm(batches, generator=generator).tolist()

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch and the number of batches drawn in it."""
        return {"epoch": self.epoch, "drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume after the batches already drawn in the interrupted epoch."""
        self.epoch, self.drawn = int(state["epoch"]), int(state["drawn"])
        self._resumed = self.epoch
