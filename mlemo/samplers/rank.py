"""Rank-based batch selection ("Hard"): sampling probabilities from the ranks of the losses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlemo.samplers.selection import Rows, SelectionSampler

__all__ = ["RankBatchSampler"]


class RankBatchSampler(SelectionSampler):
    """Draw batches by the rank of the loss (Loshchilov & Hutter 2016; Zhou et al. 2024, eq. 3).

        p_i ∝ exp(log(s_e) / n)^r(ℓ_i)

    r(ℓ_i) is the rank of the loss in ascending order, from 1 to n; equal losses share the mean of their ranks. The
    losses are kept sorted: after a batch only changed losses are moved, in O(n), and the rank of a row is found by
    binary search. Arguments and errors are those of `SelectionSampler`.

    Example:
        >>> sampler = RankBatchSampler(4, batch_size=2, selection_pressure=16.0)
        >>> sampler.update(range(4), [0.1, 0.3, 0.2, 7.0])
        >>> sampler.probabilities()  # 2, 8, 4 and 16 of 30
        tensor([0.0667, 0.2667, 0.1333, 0.5333], dtype=torch.float64)
    """

    _ranked: NDArray[np.float32] = np.empty(0, np.float32)  # the losses of all rows, which `_sorted` has in order
    _sorted: NDArray[np.float32]

    def _prepare(self, losses: NDArray[np.float32]) -> None:
        changed = np.flatnonzero(losses != self._ranked) if len(self._ranked) else np.arange(self.n)
        if len(changed) > self.n // 10:
            self._ranked, self._sorted = losses.copy(), np.sort(losses)
            return
        old, new = np.sort(self._ranked[changed]), np.sort(losses[changed])
        # the m-th of several equal losses is the m-th of those in `_sorted`
        repeats = np.arange(len(old)) - np.searchsorted(old, old)
        rest = np.delete(self._sorted, np.searchsorted(self._sorted, old) + repeats)
        self._sorted = np.insert(rest, np.searchsorted(rest, new), new)
        self._ranked[changed] = losses[changed]

    def _levels(self, rows: Rows) -> NDArray[np.float64]:
        losses = self._ranked[rows]
        lower, upper = (np.searchsorted(self._sorted, losses, side=side) for side in ("left", "right"))
        return (lower + 1 + upper) / (2 * self.n)
