"""Adaptive batch selection: sampling probabilities from quantized losses, weighted for label imbalance."""

from __future__ import annotations

from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlemo.samplers.selection import Rows, SelectionOptions, SelectionSampler

__all__ = ["AdaptiveBatchSampler"]

#: Share of a step by which a loss may exceed the border of two steps and still belong to the lower one: the precision
#: of float32. Losses that differ by a common factor must have the same steps.
TOLERANCE = float(np.finfo(np.float32).eps)


class AdaptiveBatchSampler(SelectionSampler):
    """Draw batches by the quantized, weighted loss (Zhou et al. 2024, eq. 5-7).

        p_i ∝ exp(log(s_e) / n)^Q_i,   Q_i = ⌈w_i ℓ_i / Δ⌉,   Δ = max_j w_j ℓ_j / n

    Q runs from 0, for a loss of exactly 0, to n, for the largest; a common factor of the losses makes no difference.
    By default all probabilities are updated after each batch, as in the paper; ``refresh="epoch"`` has the effect of
    the authors' public code. Neither weights nor probabilities change the gradient.

    Args:
        n: Number of rows of the corpus.
        batch_size: Samples per batch and process.
        selection_pressure: s_e, at least 1.
        weights: ``(n,)`` w, positive, as from `instance_weights`; ``None`` = all 1.
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
            raise ValueError(f"expected {n} positive, finite weights, found shape {tuple(weights.shape)}: {weights}")
        self.weights = weights

    def _prepare(self, losses: NDArray[np.float32]) -> None:
        self._weighted = losses * self.weights.numpy()
        highest = self._weighted.max()
        if np.isinf(highest):  # rows without a loss
            highest = self._weighted.max(where=np.isfinite(self._weighted), initial=0.0)
        self._highest = float(highest) or 1.0  # any step works where all losses are 0

    def _levels(self, rows: Rows) -> NDArray[np.float64]:
        steps = self._weighted[rows].astype(np.float64) / self._highest * self.n
        return np.minimum(np.ceil(steps * (1 - TOLERANCE)), self.n) / self.n
