"""A memory of training texts, in which a new text finds its neighbours whatever texts it comes with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Memory"]

BLOCK = 2**26  #: most similarities that are computed at a time, 256 MB


class Memory:
    """States of training texts at the entry of every layer of a graph network, searched exactly by cosine.

    A million texts of width 768 at two layers take 3 GB in a checkpoint (half precision, ``2 · layers · width`` bytes a
    text) and twice as much when they are searched (``2 · layers · width + 4 · width``, as cosines are computed in
    float32); the owner bounds their number.

    Args:
        states: ``(layers, M, d)``, kept in half precision; the first layer's are the embeddings that are searched.
        rows: ``(M,)`` long, the texts' rows in the training corpus.

    Raises:
        ValueError: The numbers of states and rows differ.

    Example:
        >>> memory = Memory(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([7, 8]))
        >>> cosine, place = memory.nearest(torch.tensor([[0.0, 2.0]]), k=1)
        >>> cosine.item(), memory.rows[place].item()
        (1.0, 8)
    """

    def __init__(self, states: Tensor, rows: Tensor) -> None:
        if states.ndim != 3 or states.shape[1] != len(rows):
            raise ValueError(f"a memory of {len(rows)} rows has states (layers, rows, d), found {tuple(states.shape)}")
        self.states, self.rows = states.half(), rows
        self._unit = F.normalize(self.states[0].float(), dim=1)

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> Memory:
        """The same memory, moved to a device in place."""
        self.states, self.rows, self._unit = self.states.to(device), self.rows.to(device), self._unit.to(device)
        return self

    def nearest(self, embeddings: Tensor, k: int, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The k most similar texts of each embedding, most similar first.

        Args:
            embeddings: ``(B, d)``, on the memory's device.
            k: How many; all there are, where the memory holds fewer.
            exclude: ``(B,)`` long, a place in the memory for each embedding that is no neighbour of its.

        Returns:
            Cosines and places in the memory, each ``(B, k)``.
        """
        k = min(k, len(self) - (exclude is not None))
        rows = torch.arange(len(embeddings), device=embeddings.device)
        cosines, places = [], []
        for part in rows.split(max(1, BLOCK // max(1, len(self)))):
            with torch.autocast(embeddings.device.type, enabled=False):
                similarity = F.normalize(embeddings[part].float(), dim=1) @ self._unit.T
            if exclude is not None:
                similarity[torch.arange(len(part), device=part.device), exclude[part]] = -torch.inf
            found = similarity.topk(k, 1)
            cosines.append(found.values)
            places.append(found.indices)
        return torch.cat(cosines), torch.cat(places)

    def state_dict(self) -> dict[str, Any]:
        """States and rows, on the CPU; the arguments of the constructor."""
        return {"states": self.states.cpu(), "rows": self.rows.cpu()}
