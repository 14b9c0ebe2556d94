"""Message passing over a graph of texts: GraphSAGE with a learned mixture of aggregations, GCN, and GAT."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, MessagePassing, SimpleConv
from torch_geometric.nn.aggr import Aggregation, AttentionalAggregation, MaxAggregation, MeanAggregation

__all__ = ["GCNConv", "GraphNetwork", "Kind", "MixedAggregation", "SageConv"]

Kind = Literal["sage", "gcn", "gat"]


class MixedAggregation(Aggregation):
    """``Σ_a softmax(w)_a AGG_a`` over mean, maximum and attention of the neighbors (Alrasheedy et al. 2026, eq. 10).

    Args:
        width: d.
    """

    names = ("mean", "max", "attention")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.aggregations = nn.ModuleList(
            [MeanAggregation(), MaxAggregation(), AttentionalAggregation(nn.Linear(width, 1))]
        )
        self.logits = nn.Parameter(torch.zeros(len(self.aggregations)))

    def weights(self) -> Tensor:
        """Return the weights of mean, maximum and attention, ``(3,)``."""
        return self.logits.softmax(0)

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> Tensor:
        """Aggregate messages ``(E, d)`` to the texts ``index (E,)``: ``(dim_size, d)``, zero without messages."""
        parts = torch.stack([aggregate(x, index, ptr, dim_size, dim) for aggregate in self.aggregations])
        return (self.weights()[:, None, None] * parts).sum(0)


class SageConv(MessagePassing):
    """``W_self h_i + b + W_neigh AGG{w_ij h_j : j ∈ N_i}`` (eq. 9), with the mixed aggregation.

    Args:
        width: d.
    """

    def __init__(self, width: int) -> None:
        super().__init__(aggr=MixedAggregation(width))
        self.own = nn.Linear(width, width)
        self.neighbors = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        """Compute states ``(N, d)`` over edges ``(2, E)`` with weights ``(E,)``: ``(N, d)``."""
        return self.own(x) + self.neighbors(self.propagate(edge_index, x=x, edge_weight=edge_weight))

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        """Compute the messages along each edge, ``(E, d)``."""
        return edge_weight.to(x_j.dtype)[:, None] * x_j


class GCNConv(nn.Module):
    """``W mean({h_i} ∪ {w_ij h_j : j ∈ N_i}) + b`` (Kipf and Welling 2017, with the normalization ``D⁻¹(A + I)``).

    With the symmetric normalization a message would depend on the number of neighbors of its source, which is not part
    of a memory.

    Args:
        width: d.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = SimpleConv(aggr="mean", combine_root="self_loop")
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        """Compute states ``(N, d)`` over edges ``(2, E)`` with weights ``(E,)``: ``(N, d)``."""
        return self.linear(self.mean(x, edge_index, edge_weight.to(x.dtype)))


class GraphNetwork(nn.Module):
    """Layers ``h ← LayerNorm(ReLU(conv(h)))``, each followed by dropout (eq. 9).

    Args:
        width: d.
        kind: ``sage`` (`SageConv`), ``gcn`` (`GCNConv`) or ``gat`` (Veličković et al. 2018, one head).
        depth: Number of layers.
        dropout: Dropout after every layer.

    Raises:
        ValueError: ``depth`` below one, or another ``kind``.
    """

    def __init__(self, width: int, kind: Kind = "sage", depth: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"a graph network has at least one layer, found depth {depth}")
        if kind not in get_args(Kind):
            raise ValueError(f"a graph network is one of {', '.join(get_args(Kind))}, found {kind!r}")
        self.convolutions = nn.ModuleList(_convolution(kind, width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        """Compute states ``(N, d)`` after all layers, over edges ``(2, E)``, sources first, with weights ``(E,)``."""
        for layer in range(len(self.convolutions)):
            states = self.layer(layer, states, edges, weights)
        return states

    def layer(self, number: int, states: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        """Compute states ``(N, d)`` after one layer."""
        return self.dropout(self.norms[number](self.convolutions[number](states, edges, weights).relu()))

    def mixtures(self) -> list[dict[str, Tensor]]:
        """Return the weights of mean, maximum and attention in each GraphSAGE layer, by name."""
        mixed = [module for module in self.modules() if isinstance(module, MixedAggregation)]
        return [dict(zip(aggregation.names, aggregation.weights())) for aggregation in mixed]


def _convolution(kind: Kind, width: int) -> Any:
    if kind == "sage":
        return SageConv(width)
    if kind == "gcn":
        return GCNConv(width)
    return GATConv(width, width, edge_dim=1)
