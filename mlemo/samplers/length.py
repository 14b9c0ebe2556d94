"""Shuffled mini-batches, grouped by length so that little is padded; resumable, and shared out among processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler

__all__ = ["ShuffledBatchSampler"]


class ShuffledBatchSampler(Sampler[list[int]]):
    """Random mini-batches, a new order each epoch, with samples of like length together where lengths are given.

    The rows are shuffled, cut into windows of ``window`` batches, sorted by length inside each window, cut into
    batches, and the batches shuffled. The order is a function of ``(seed, epoch)`` alone. Under several processes
    every process takes each ``world_size``-th batch; the first ones are repeated until all have the same number.

    Args:
        n: Rows of the corpus.
        batch_size: Samples a batch; the last batch may be smaller.
        lengths: ``(n,)`` length of each row, or ``None`` to ignore lengths.
        seed: Seed of the orders.
        window: Batches that are sorted by length together; larger pads less and shuffles less.
        world_size: Number of processes.
        rank: This process.

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
            raise ValueError(f"a corpus and a batch have at least one row, found {n} and {batch_size}")
        if lengths is not None and len(lengths) != n:
            raise ValueError(f"{len(lengths)} lengths for {n} rows")
        self.n, self.batch_size, self.lengths = n, batch_size, lengths
        self.seed, self.window, self.world_size, self.rank = seed, window, world_size, rank
        self.epoch = 0
        self.drawn = 0
        self._resumed: int | None = None  # the epoch that was broken off

    @property
    def sampler(self) -> ShuffledBatchSampler:
        """Itself: Lightning calls ``set_epoch`` on the ``sampler`` of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose order the next iteration takes."""
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
        """Epoch, and batches drawn in it."""
        return {"epoch": self.epoch, "drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on behind the batches that were drawn already in the epoch that was broken off."""
        self.epoch, self.drawn = int(state["epoch"]), int(state["drawn"])
        self._resumed = self.epoch
