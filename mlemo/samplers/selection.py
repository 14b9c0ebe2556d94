"""The base class of batch selection: the table of losses, the draw, the warm-up, and the state for resuming."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from mlemo.samplers.length import ShuffledBatchSampler

__all__ = ["RandomBatchSampler", "SelectionOptions", "SelectionSampler", "put_losses"]

Rows = NDArray[np.int64]


class SelectionOptions(TypedDict, total=False):
    """The options of all samplers of batch selection; see `SelectionSampler`."""

    refresh: Literal["batch", "epoch"]
    warmup_epochs: int
    seed: int
    replacement: bool
    short_last_batch: bool
    world_size: int
    rank: int


class SelectionSampler(Sampler[list[int]], ABC):
    """Draw mini-batches by the losses of the samples; a subclass maps the losses to levels.

        p_i ∝ s_e^{level_i},   level_i ∈ [0, 1]

    so that no sample is more than s_e times as likely as another, and none is excluded permanently. The first epochs
    are shuffled passes in which the table of losses is filled; after them every batch is drawn independently, and an
    epoch repeats some samples and omits others. `update` stores the losses of a batch. A sample without a loss has the
    highest level.

    The draw of a batch is a function of the losses and of ``(seed, epoch, batch)`` alone: a resumed run draws the same
    batches as an uninterrupted one, and several processes with the same losses draw one batch and use one share each.

    Args:
        n: Number of rows of the corpus.
        batch_size: Samples per batch and process; fewer only in the last batch of a shuffled pass, and where n is
            smaller.
        selection_pressure: s_e, at least 1; 1 draws uniformly.
        refresh: When new losses take effect: at the next ``"batch"``, or at the next ``"epoch"``.
        warmup_epochs: γ, epochs of shuffled passes.
        seed: Seed of passes and draws.
        replacement: Whether a batch may contain a sample twice.
        short_last_batch: Draw as many samples per epoch as the corpus has, with a smaller last batch as in a shuffled
            pass, instead of full batches only.
        world_size: Number of processes.
        rank: Index of this process.

    Raises:
        ValueError: A size below one, a selection pressure below one or not finite, or an unknown ``refresh``.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        selection_pressure: float = 2.0,
        *,
        refresh: Literal["batch", "epoch"] = "batch",
        warmup_epochs: int = 3,
        seed: int = 42,
        replacement: bool = False,
        short_last_batch: bool = False,
        world_size: int = 1,
        rank: int = 0,
    ) -> None:
        if not 1 <= selection_pressure < math.inf:
            raise ValueError(f"selection_pressure must be finite and at least 1, found {selection_pressure}")
        if refresh not in ("batch", "epoch"):
            raise ValueError(f"refresh must be 'batch' or 'epoch', found {refresh!r}")
        self._shuffled = ShuffledBatchSampler(n, batch_size * world_size, seed=seed)
        self.n, self.batch_size, self.selection_pressure = n, batch_size, selection_pressure
        self.refresh, self.warmup_epochs, self.seed = refresh, warmup_epochs, seed
        self.replacement, self.short_last_batch = replacement, short_last_batch
        self.world_size, self.rank = world_size, rank
        self.losses = torch.full((n,), torch.inf)  #: latest loss of each row; infinite before the first
        self.seen = torch.zeros(n, dtype=torch.bool)  #: rows drawn in this epoch, in any process
        self.epoch = 0
        self.drawn = 0
        self._resumed: int | None = None  # the epoch that was interrupted
        self._frozen: Tensor | None = None  # the losses by which an epoch is drawn, unless the latest

    # what a strategy defines ------------------------------------------------------------------------------------

    @abstractmethod
    def _prepare(self, losses: NDArray[np.float32]) -> None:
        """Prepare `_levels` for the losses of all rows; called before each draw."""

    @abstractmethod
    def _levels(self, rows: Rows) -> NDArray[np.float64]:
        """Compute the level of each of the rows, in [0, 1]."""

    # losses and probabilities -----------------------------------------------------------------------------------

    def update(self, index: Tensor | Sequence[int], losses: Tensor | Sequence[float]) -> None:
        """Store the losses of a batch, over all processes.

        Args:
            index: ``(B,)`` rows of the corpus, see `put_losses`.
            losses: ``(B,)``, at least 0.

        Raises:
            ValueError: A negative loss; see also `put_losses`.
        """
        values = torch.as_tensor(losses)
        if (values < 0).any():
            raise ValueError(f"losses must be at least 0, found {values.min()}")
        put_losses(self.losses, index, values)

    def probabilities(self) -> Tensor:
        """Compute the probability of each row to be drawn first in the next batch, by the current losses.

        Returns:
            ``(n,)`` float64 that sums to 1. Not used in warm-up epochs.
        """
        self._prepare(self._table())
        chance = self._chance(np.arange(self.n))
        return torch.from_numpy(chance / chance.sum())

    def _table(self) -> NDArray[np.float32]:
        return (self.losses if self._frozen is None else self._frozen).numpy()

    def _chance(self, rows: Rows) -> NDArray[np.float64]:
        """Compute the probability of each of the rows, relative to the largest possible one."""
        return np.power(self.selection_pressure, self._levels(rows) - 1)

    # batches ----------------------------------------------------------------------------------------------------

    @property
    def sampler(self) -> SelectionSampler:
        """This sampler: Lightning calls ``set_epoch`` on the ``sampler`` of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        if epoch != self.epoch:
            self.epoch, self.drawn = epoch, 0

    def __len__(self) -> int:
        return len(self._shuffled)

    def __iter__(self) -> Iterator[list[int]]:
        if self._resumed != self.epoch:
            self.drawn = 0
        if not self.drawn:
            self.seen.zero_()
            self._frozen = self.losses.clone() if self.refresh == "epoch" else None
        self._resumed = None
        self._shuffled.set_epoch(self.epoch)
        passes = list(self._shuffled) if self.epoch < self.warmup_epochs else None
        while self.drawn < len(self):
            rows = self._next() if passes is None else np.array(passes[self.drawn])
            self.drawn += 1
            if self.drawn == len(self):
                self._frozen = None
            self.seen[rows] = True
            yield self._share(rows).tolist()

    def _next(self) -> Rows:
        size = self.batch_size * self.world_size
        if self.short_last_batch and self.drawn == len(self) - 1:
            size = self.n - self.drawn * size
        self._prepare(self._table())
        generator = np.random.default_rng([self.seed, self.epoch, self.drawn])
        return self._draw(generator, size if self.replacement else min(size, self.n))

    def _draw(self, generator: np.random.Generator, size: int) -> Rows:
        """Draw one batch of all processes, sample by sample from p, without replacement or with it.

        By rejection sampling: rows are proposed uniformly and accepted with their probability, which equals drawing
        from p and needs the probabilities of few rows only. Once that would take longer than a pass over all rows, the
        rest is drawn from p itself.
        """
        rows = np.empty(0, np.int64)
        block = 4 * size
        for _ in range(min(math.ceil(self.selection_pressure), self.n // block)):
            proposed = generator.integers(self.n, size=block)
            rows = np.concatenate([rows, proposed[generator.random(block) < self._chance(proposed)]])
            if not self.replacement:
                rows = rows[np.sort(np.unique(rows, return_index=True)[1])]
            if len(rows) >= size:
                return rows[:size]
        rest = np.arange(self.n)
        if not self.replacement:
            rest = np.delete(rest, rows)
        chance = self._chance(rest)
        more = generator.choice(rest, size - len(rows), replace=self.replacement, p=chance / chance.sum())
        return np.concatenate([rows, more])

    def _share(self, rows: Rows) -> Rows:
        """Return the part of this process: the rows are split evenly over the processes, and no part is empty."""
        if len(rows) < self.world_size:
            rows = np.resize(rows, self.world_size)
        return np.array_split(rows, self.world_size)[self.rank]

    # state for resuming ------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch, the number of batches drawn in it, and the losses."""
        state = {"epoch": self.epoch, "drawn": self.drawn, "losses": self.losses.clone(), "seen": self.seen.clone()}
        return state if self._frozen is None else state | {"frozen": self._frozen.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume after the batches already drawn, with the losses of that time.

        The state may be that of another strategy, so that several can start from one warm-up, or that of a
        `ShuffledBatchSampler`, which has no losses.

        Raises:
            ValueError: The state belongs to a corpus of another size.
        """
        losses = state.get("losses", torch.full((self.n,), torch.inf))
        if len(losses) != self.n:
            raise ValueError(f"the saved state has losses of {len(losses)} rows, but the corpus has {self.n} rows")
        self.epoch, self.drawn = int(state["epoch"]), int(state["drawn"])
        self._resumed = self.epoch
        self.losses = losses.clone()
        self.seen = state.get("seen", torch.zeros(self.n, dtype=torch.bool)).clone()
        frozen = state.get("frozen") if self.refresh == "epoch" else None
        self._frozen = None if frozen is None else frozen.clone()


def put_losses(table: Tensor, index: Tensor | Sequence[int], losses: Tensor | Sequence[float]) -> None:
    """Write the losses of a batch to the table of all rows, in place.

    Args:
        table: ``(n,)`` float32.
        index: ``(B,)`` rows of the corpus. A row that occurs several times gets the mean of its losses.
        losses: ``(B,)``. Losses that are not finite are ignored, and the row keeps its previous loss.

    Raises:
        ValueError: The shapes differ, or a row is out of range.
    """
    rows = torch.as_tensor(index).detach().cpu().long()
    values = torch.as_tensor(losses).detach().cpu().double()
    if rows.ndim != 1 or rows.shape != values.shape:
        raise ValueError(
            f"expected one loss per row, found losses of shape {tuple(values.shape)} "
            f"for rows of shape {tuple(rows.shape)}"
        )
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(table)):
        raise ValueError(f"rows must lie in 0 to {len(table) - 1}, found {rows.min()} to {rows.max()}")
    known = values.isfinite()
    rows, place = rows[known].unique(return_inverse=True)
    table[rows] = (place.bincount(values[known]) / place.bincount()).float()


class RandomBatchSampler(SelectionSampler):
    """Draw shuffled passes only and record the losses: a baseline whose state other strategies can start from.

    The passes equal those of the warm-up of every strategy.

    Args:
        n: Number of rows of the corpus.
        batch_size: Samples per batch and process.
        seed: Seed of the passes.
        world_size: Number of processes.
        rank: Index of this process.

    Raises:
        ValueError: A size below one.
    """

    def __init__(self, n: int, batch_size: int, *, seed: int = 42, world_size: int = 1, rank: int = 0) -> None:
        super().__init__(n, batch_size, 1.0, warmup_epochs=sys.maxsize, seed=seed, world_size=world_size, rank=rank)

    def _prepare(self, losses: NDArray[np.float32]) -> None:
        pass

    def _levels(self, rows: Rows) -> NDArray[np.float64]:
        return np.ones(len(rows))
