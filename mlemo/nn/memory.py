"""A memory of training texts, in which neighbors of a text are found independently of its batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Memory"]

BLOCK = 2**26  #: largest number of similarities computed at a time, 256 MB


class Memory:
    """States of training texts at the input of every layer of a graph network, with exact search by cosine.

    A million texts of width 768 at two layers take 3 GB in a checkpoint (half precision, ``2 · layers · width`` bytes
    per text) and twice as much during search (``2 · layers · width + 4 · width``, as cosines are computed in float32);
    the owner limits their number.

    Args:
        states: ``(layers, M, d)``, stored in half precision; those of the first layer are the embeddings for the
            search.
        rows: ``(M,)`` long, rows of the texts in the training corpus.
        labels: ``(M, C)`` bool, gold labels of the texts, ``False`` also where not annotated; ``None`` for a memory
            without labels.

    Raises:
        ValueError: The numbers of states, rows and labels differ.

    Example:
        >>> memory = Memory(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([7, 8]))
        >>> cosine, place = memory.nearest(torch.tensor([[0.0, 2.0]]), k=1)
        >>> cosine.item(), memory.rows[place].item()
        (1.0, 8)
        >>> memory.places(torch.tensor([8, 5, 7])).tolist()
        [1, -1, 0]
    """

    def __init__(self, states: Tensor, rows: Tensor, labels: Tensor | None = None) -> None:
        if states.ndim != 3 or states.shape[1] != len(rows):
            raise ValueError(f"a memory of {len(rows)} rows has states (layers, rows, d), found {tuple(states.shape)}")
        if labels is not None and len(labels) != len(rows):
            raise ValueError(f"a memory of {len(rows)} rows has labels (rows, C), found {tuple(labels.shape)}")
        self.states, self.rows, self.labels = states.half(), rows, labels
        self._unit = F.normalize(self.states[0].float(), dim=1)
        self._places = torch.full((int(rows.max()) + 1 if len(rows) else 0,), -1, device=rows.device)
        self._places[rows] = torch.arange(len(rows), device=rows.device)

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> Memory:
        """Move the memory to a device in place and return it."""
        self.states, self.rows = self.states.to(device), self.rows.to(device)
        self.labels = None if self.labels is None else self.labels.to(device)
        self._unit, self._places = self._unit.to(device), self._places.to(device)
        return self

    def places(self, rows: Tensor) -> Tensor:
        """Find the indices in the memory of rows ``(B,)`` of the training corpus; −1 for missing rows."""
        known = rows < len(self._places)
        return torch.where(known, self._places[rows.where(known, 0)], -1)

    def nearest(self, embeddings: Tensor, k: int, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Find the k most similar texts of each embedding, most similar first.

        Args:
            embeddings: ``(B, d)``, on the memory's device.
            k: Number of texts, at most the size of the memory.
            exclude: ``(B,)`` long, one index in the memory per embedding that is not its neighbor, −1 for none.

        Returns:
            Cosines and indices in the memory, each ``(B, k)``.
        """
        k = min(k, len(self) - (exclude is not None))
        rows, most = torch.arange(embeddings.shape[0], device=embeddings.device), max(1, BLOCK // max(1, len(self)))
        cosines, places = [], []
        for part in rows.split(most) if embeddings.shape[0] > most else (rows,):
            with torch.autocast(embeddings.device.type, enabled=False):
                similarity = F.normalize(embeddings[part].float(), dim=1) @ self._unit.T
            if exclude is not None:
                excluded = exclude[part, None]
                column = excluded.clamp(min=0)
                kept = similarity.gather(1, column).masked_fill(excluded >= 0, -torch.inf)
                similarity.scatter_(1, column, kept)
            found = similarity.topk(k, 1)
            cosines.append(found.values)
            places.append(found.indices)
        return torch.cat(cosines), torch.cat(places)

    def state_dict(self) -> dict[str, Any]:
        """Return states, rows and labels (if any) on the CPU, as the arguments of the constructor."""
        content = {"states": self.states.cpu(), "rows": self.rows.cpu()}
        return content if self.labels is None else {**content, "labels": self.labels.cpu()}
