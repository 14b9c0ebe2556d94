"""The graph of the labels, and graph isomorphism layers over it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mlemo.nn.rectifier_mlp import rectifier_mlp

__all__ = ["LabelGraphEncoder", "conditional_adjacency"]


def conditional_adjacency(labels: Tensor) -> Tensor:
    """Compute ``A = ½ (P + Pᵀ)`` with ``P_ij = P(label j | label i)``, and a zero diagonal.

    Args:
        labels: ``(N, C)`` in {0, 1}, the training split.

    Returns:
        ``(C, C)`` float32, symmetric, within [0, 1]; a label that never occurs has no neighbor.

    Example:
        >>> conditional_adjacency(torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
        tensor([[0.0000, 0.7500],
                [0.7500, 0.0000]])
    """
    together = labels.T @ labels
    conditional = together / together.diagonal()[:, None].clamp(min=1)
    return ((conditional + conditional.T) / 2).fill_diagonal_(0)


class LabelGraphEncoder(nn.Module):
    """Two layers ``h ← MLP((1 + ε) h + A h)``, ε learned, with a residual for equal widths (Xu et al. 2019).

    The MLPs, of two layers with half the embedding's width between them, normalize over the labels.

    Args:
        width: Dimension of the input vectors.
        embedding: Dimension of the embeddings.
        dropout: Dropout in each MLP.
    """

    def __init__(self, width: int, embedding: int, dropout: float) -> None:
        super().__init__()
        hidden = math.ceil(embedding / 2)
        self.layers = nn.ModuleList(
            rectifier_mlp([inputs, hidden, embedding], slope=0.1, dropout=dropout, batch_norm=True)
            for inputs in (width, embedding)
        )
        self.epsilon = nn.Parameter(torch.zeros(2))

    def forward(self, vectors: Tensor, adjacency: Tensor) -> Tensor:
        """Compute embeddings ``(C, embedding)`` from vectors ``(C, width)`` and adjacency ``(C, C)``."""
        for layer, epsilon in zip(self.layers, self.epsilon):
            refined = layer((1 + epsilon) * vectors + adjacency @ vectors)
            vectors = vectors + refined if vectors.shape == refined.shape else refined
        return vectors
