"""Chain-based adaptive batch selection (AdaC): each sample of a batch is drawn by the labels of the previous one."""

from __future__ import annotations

import math
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from mlemo.samplers.adaptive import AdaptiveBatchSampler
from mlemo.samplers.imbalance import irlbl
from mlemo.samplers.selection import Rows, SelectionOptions

__all__ = ["ChainAdaptiveBatchSampler", "label_affinity"]


def label_affinity(labels: Tensor) -> Tensor:
    """Compute the symmetric conditional probability of each pair of labels.

        A_ij = (P(j | i) + P(i | j)) / 2,   P(j | i) = share of the samples with label i that have label j

    Args:
        labels: ``(n, C)`` in {0, 1}.

    Returns:
        ``(C, C)`` float32 in [0, 1]; 0 on the diagonal and for labels that never occur.
    """
    together = labels.float().T @ labels.float()
    conditional = together / together.diagonal()[:, None].clamp(min=1)
    return (conditional + conditional.T).fill_diagonal_(0.0) / 2


class ChainAdaptiveBatchSampler(AdaptiveBatchSampler):
    """Draw adaptive batches along the correlation of labels (AdaC; Zhou et al. 2024, section 3.5).

    The first sample of a batch is drawn from p, as in `AdaptiveBatchSampler`. Then, for each sample, the one of its
    labels with the largest IRLbl is selected, and the next sample is drawn, by p, from those with any of the ⌈Card⌉
    labels closest to it by `label_affinity`. Card is the mean number of labels per sample.

    Not specified by the paper: the close labels exclude the label itself and labels that never occur with it, so there
    may be fewer than ⌈Card⌉. Of equally rare, or equally close, labels the first one is used. Samples already in the
    batch are not candidates (unless with ``replacement``). After a sample without labels, and without candidates left,
    the next sample is drawn from p over the whole corpus.

    A batch takes one short search per sample, and a pass over the candidates where those with high losses are rare.

    Args:
        labels: ``(n, C)`` in {0, 1}, the labels of the corpus.
        batch_size: Samples per batch and process.
        selection_pressure: s_e, at least 1.
        weights: ``(n,)`` w; ``None`` = all 1.
        options: See `SelectionSampler`.

    Raises:
        ValueError: See `irlbl` and `AdaptiveBatchSampler`.
    """

    def __init__(
        self,
        labels: Tensor,
        batch_size: int,
        selection_pressure: float = 2.0,
        weights: Tensor | None = None,
        **options: Unpack[SelectionOptions],
    ) -> None:
        rarity = irlbl(labels)
        super().__init__(len(labels), batch_size, selection_pressure, weights, **options)
        present = labels > 0
        rarest = torch.where(present, rarity, 0.0).argmax(1)
        #: label by which the sample after this one is drawn; -1 for a sample without labels
        self.leads = torch.where(present.any(1), rarest, -1).numpy()
        affinity = label_affinity(labels)
        closest = affinity.argsort(dim=1, descending=True, stable=True)[:, : math.ceil(labels.sum() / len(labels))]
        self.close = [line[affinity[label, line] > 0] for label, line in enumerate(closest)]
        self._present = present
        self._candidates: dict[int, Rows] = {-1: np.arange(self.n)}

    def candidates(self, label: int) -> Rows:
        """Return the rows with a label close to this one; all rows for -1, and if there are none."""
        if label not in self._candidates:
            rows = self._present[:, self.close[label]].any(1).nonzero()[:, 0].numpy()
            self._candidates[label] = rows if len(rows) else self._candidates[-1]
        return self._candidates[label]

    def _draw(self, generator: np.random.Generator, size: int) -> Rows:
        trials = min(math.ceil(8 * self.selection_pressure), 512)
        places, coins = generator.random((2, size, trials))
        free = np.ones(self.n, dtype=bool)
        batch = np.empty(size, np.int64)
        label = -1
        for position in range(size):
            pool = self.candidates(label)
            proposed = pool[(places[position] * len(pool)).astype(np.int64)]
            kept = free[proposed] & (coins[position] < self._chance(proposed))
            first = kept.argmax()
            batch[position] = proposed[first] if kept[first] else self._draw_one(generator, pool, free)
            free[batch[position]] = self.replacement
            label = int(self.leads[batch[position]])
        return batch

    def _draw_one(self, generator: np.random.Generator, pool: Rows, free: np.ndarray) -> int:
        rows = pool[free[pool]]
        if not len(rows):
            rows = np.flatnonzero(free)
        reach = self._chance(rows).cumsum()
        return int(rows[np.searchsorted(reach, generator.random() * reach[-1], side="right")])
