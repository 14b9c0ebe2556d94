"""Message passing from the texts of a memory to texts that are not linked with each other."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from mlemo.nn.graph_network import GraphNetwork
from mlemo.nn.memory import Memory
from mlemo.nn.shares import in_shares

__all__ = ["memory_states", "pass_from_memory"]

PART = 64  #: number of texts whose neighbors are computed at a time


def pass_from_memory(
    network: GraphNetwork,
    embeddings: Tensor,
    memory: Memory,
    *,
    neighbors: int,
    threshold: float | None = None,
    exclude: Tensor | None = None,
    label_embedding: nn.Module | None = None,
) -> Tensor:
    """Compute states of texts after all layers, with their nearest texts of the memory as neighbors.

    A text i is linked with ``N_i``, the nearest texts of the memory. Layer l computes ``h_i ← layer_l(h_i, {m_j^l :
    j ∈ N_i})`` with ``m_j^l = memory.states[l, j] + label_embedding(labels_j)``. Stored states are constants: gradients
    flow to a text's own state, the network and the label embedding. The shapes do not depend on values, so there is no
    device synchronization.

    Args:
        network: The graph network.
        embeddings: ``(B, d)``.
        memory: Memory of the neighbors, on the device of the embeddings.
        neighbors: Largest number of neighbors per text.
        threshold: Cosine from which texts are linked; ``None`` links each text to all of its nearest.
        exclude: ``(B,)`` long, one index in the memory per text that is not its neighbor, −1 for none.
        label_embedding: Map of gold labels ``(B, k, C)`` in {0, 1} to ``(B, k, d)``; ``None`` without labels.

    Returns:
        ``(B, d)``.

    Raises:
        ValueError: A label embedding is given but the memory has no labels.
    """
    cosines, places = memory.nearest(embeddings.detach(), neighbors, exclude)
    added: Tensor | float = 0.0
    if label_embedding is not None:
        if memory.labels is None:
            raise ValueError("the memory has no labels, which the embedding of the neighbors' labels needs")
        added = label_embedding(memory.labels[places].to(embeddings.dtype))
    states, edges = embeddings, _edges(cosines, threshold)
    for layer, stored in enumerate(memory.states):
        states = _layer(network, layer, states, stored[places].to(states.dtype) + added, edges)
    return states


def memory_states(network: GraphNetwork, embeddings: Tensor, neighbors: int, threshold: float | None = None) -> Tensor:
    """Compute states of texts at the input of each layer, with the nearest other texts as neighbors.

    Labels are not used: a training text is the neighbor of its neighbors, so its own labels would return to it in the
    second layer. All pairs of texts are compared, `PART` × M at a time; several processes share the parts, and each
    must call this.

    Args:
        network: The graph network.
        embeddings: ``(M, d)``.
        neighbors: Largest number of neighbors per text.
        threshold: Cosine from which texts are linked; ``None`` links each text to all of its nearest.

    Returns:
        ``(layers, M, d)`` float32, the embeddings first.
    """
    states = [embeddings]
    layers = len(network.convolutions)
    if layers > 1:
        found = Memory(embeddings[None], torch.arange(len(embeddings), device=embeddings.device))
        near: dict[int, tuple[Tensor, Tensor]] = {}  # of the parts of this process, common to all layers

        def after(layer: int, part: Tensor) -> Tensor:
            first = int(part[0])
            if first not in near:
                cosines, places = found.nearest(embeddings[part], neighbors, exclude=part)
                near[first] = places, _edges(cosines, threshold)
            places, edges = near[first]
            return _layer(network, layer, states[layer][part], states[layer][places], edges).float()

        for layer in range(layers - 1):
            states.append(in_shares(found.rows.split(PART), partial(after, layer)))
    return torch.stack(states)


def _edges(cosines: Tensor, threshold: float | None) -> Tensor:
    """Create edges ``(2, B · k)`` from the nearest texts, which are nodes from B on, to the texts 0, …, B − 1."""
    texts, nearest = cosines.shape
    source = texts + torch.arange(texts * nearest, device=cosines.device)
    target = torch.arange(texts, device=cosines.device)[:, None].expand(texts, nearest).flatten()
    if threshold is not None:
        # an edge below the threshold points to its source, whose new state is discarded: the number of edges is
        # constant
        target = torch.where(cosines.flatten() >= threshold, target, source)
    return torch.stack([source, target])


def _layer(network: GraphNetwork, layer: int, states: Tensor, sources: Tensor, edges: Tensor) -> Tensor:
    """Compute states ``(B, d)`` after one layer, from the states ``(B, k, d)`` of the nearest texts of each text."""
    nodes = torch.cat([states, sources.flatten(0, 1)])
    return network.layer(layer, nodes, edges, nodes.new_ones(edges.shape[1]))[: states.shape[0]]
