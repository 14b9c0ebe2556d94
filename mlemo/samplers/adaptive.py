"""Adaptive batch selection: a sample's chance grows with its quantised loss, weighted for label imbalance."""

from __future__ import annotations

from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlemo.samplers.selection import Rows, SelectionOptions, SelectionSampler

__all__ = ["AdaptiveBatchSampler"]

#: How much of a step a loss may lie above the border of two steps and still fall below it: float32 carries no more,
#: and losses that differ by a common factor must not fall on different sides.
TOLERANCE = float(np.finfo(np.float32).eps)


class AdaptiveBatchSampler(SelectionSampler):
    """Batches drawn by the quantised, weighted loss (Zhou et al. 2024, eq. 5-7).

        p_i ∝ exp(log(s_e) / n)^Q_i,   Q_i = ⌈w_i ℓ_i / Δ⌉,   Δ = max_j w_j ℓ_j / n

    Q runs from 0, for a loss of exactly 0, to n, for the largest; a common factor of the losses makes no difference.
    By default all probabilities follow each batch, as in the paper; ``refresh="epoch"`` does what the authors' public
    code does in effect. Neither weights nor probabilities touch the gradient.

    Args:
        n: Rows of the corpus.
        batch_size: Samples a batch, in each process.
        selection_pressure: s_e, at least 1.
        weights: ``(n,)`` w, positive, as `instance_weights` computes them; ``None`` = all 1.
        options: See `SelectionSampler`.

    Raises:
        ValueError: Weights of another size, or not positive and finite; see also `SelectionSampler`.

    Example:
        >>> sampler = AdaptiveBatchSampler(4, batch_size=2, selection_pressure=16.0)
        >>> sampler.update(range(4), [0.0, 0.3, 0.2, 0.4])  # Q = 0, 3, 2, 4
        >>> sampler.probabilities()  # 1, 8, 4 and 16 of 29
        tensor([0.0345, 0.2759, 0.1379, 0.5517], dtype=torch.float64)
    """

    _weighted: NDArray[np.float32]
    _highest: float

    def __init__(
        self,
        n: int,
        batch_size: int,
        selection_pressure: float = 2.0,
        weights: Tensor | None = None,
        **options: Unpack[SelectionOptions],
    ) -> None:
        super().__init__(n, batch_size, selection_pressure, **options)
        weights = torch.ones(n) if weights is None else torch.as_tensor(weights).detach().cpu().float()
        if weights.shape != (n,) or not ((weights > 0) & weights.isfinite()).all():
            raise ValueError(
                f"{n} positive, finite weights are expected, found shape {tuple(weights.shape)}: {weights}"
            )
        self.weights = weights

    def _prepare(self, losses: NDArray[np.float32]) -> None:
        self._weighted = losses * self.weights.numpy()
        highest = self._weighted.max()
        if np.isinf(highest):  # rows without a loss
            highest = self._weighted.max(where=np.isfinite(self._weighted), initial=0.0)
        self._highest = float(highest) or 1.0  # any step does where all losses are 0

    def _levels(self, rows: Rows) -> NDArray[np.float64]:
        steps = self._weighted[rows].astype(np.float64) / self._highest * self.n
        return np.minimum(np.ceil(steps * (1 - TOLERANCE)), self.n) / self.n
