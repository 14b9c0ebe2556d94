"""The graph of the texts of a batch: its edges and their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.utils import degree

__all__ = ["BatchGraph", "Construction", "Graph", "between", "label_entropy", "label_jaccard", "strongest"]

Construction = Literal["mixed", "cosine", "jaccard", "knn", "random"]
UNTHRESHOLDED = ("knn", "random")


@dataclass(frozen=True)
class Graph:
    """Edges j → i, along which text i receives the state of its neighbor j.

    Args:
        edges: ``(2, E)`` long, sources j in the first row, targets i in the second.
        weights: ``(E,)``, 1 in the forward pass, with the gradient of the similarity.
        mixture: ``(2,)`` weights of label and embedding similarity; ``None`` without a mixture.
    """

    edges: Tensor
    weights: Tensor
    mixture: Tensor | None = None

    def statistics(self, nodes: int) -> dict[str, Tensor]:
        """Compute mean neighbors per node, share of nodes without neighbors, and the mixture, for ``nodes`` texts."""
        incoming = degree(self.edges[1], nodes)
        values = {"edges_per_node": incoming.mean(), "isolated_nodes": (incoming == 0).float().mean()}
        if self.mixture is not None:
            values |= {"lambda_jaccard": self.mixture[0], "lambda_cosine": self.mixture[1]}
        return values


class BatchGraph(nn.Module):
    """Links between similar texts of a batch (Alrasheedy et al. 2026, eq. 6-8).

    Similarity ``S = λ₁ · Jaccard(labels) + λ₂ · cos(embeddings)``, ``(λ₁, λ₂) = softmax(LambdaNet(statistics of the
    batch))``. The neighbors of text i are the ``neighbors`` most similar texts j ≠ i with ``S_ij ≥ τ``. (The paper has
    ``>``; in a batch of two, whose only pair is the percentile, that gives no edge.) By labels alone (``jaccard``)
    texts without a common label are never linked, although τ is 0 if most pairs have none.

    A threshold has no gradient, so LambdaNet would not be trained: edges have weight 1 in the forward pass and the
    gradient of ``σ((S − τ) / T)``, or without a threshold that of S.

    Labels are used in training only. Without them S is the cosine alone for all constructions. S is computed in
    float32, also with mixed precision.

    Args:
        construction: ``mixed`` as above; ``cosine`` or ``jaccard`` alone; ``knn``, the nearest by cosine without a
            threshold; ``random``, as many neighbors drawn at random.
        threshold: τ, or ``None`` for the ``percentile``; not for ``knn`` and ``random``, which have none.
        percentile: Percentile of the similarities between different texts of the batch, in [0, 100].
        neighbors: Largest number of neighbors per text.
        temperature: T.

    Raises:
        ValueError: Another construction, ``percentile``, ``neighbors`` or ``temperature`` out of range, or a threshold
            for a graph that has none.
    """

    def __init__(
        self,
        construction: Construction = "mixed",
        threshold: float | None = None,
        percentile: float = 75.0,
        neighbors: int = 5,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        if construction not in get_args(Construction):
            raise ValueError(f"the graph is one of {', '.join(get_args(Construction))}, found {construction!r}")
        if threshold is not None and construction in UNTHRESHOLDED:
            raise ValueError(f"a {construction} graph has no threshold, found {threshold}")
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile must lie in [0, 100], found {percentile}")
        if neighbors < 1 or not temperature > 0:
            raise ValueError(f"neighbors and temperature must be positive, found {neighbors} and {temperature}")
        self.construction, self.threshold, self.percentile = construction, threshold, percentile
        self.neighbors, self.temperature = neighbors, temperature
        if construction == "mixed":
            self.lambda_net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, embeddings: Tensor, labels: Tensor | None = None, mask: Tensor | None = None) -> Graph:
        """Create the graph of a batch.

        Args:
            embeddings: ``(B, d)``.
            labels: ``(B, C)`` in {0, 1}, in training; ``None`` in evaluation.
            mask: ``(B, C)`` bool, ``False`` = not annotated; ``None`` = all are.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            if self.construction == "random":
                return self._link(self._draw(embeddings, labels), None)
            similarity, mixture = self._similarity(embeddings.float(), labels, mask)
            by_labels = self.construction == "jaccard" and labels is not None
            return self._link(similarity, mixture, above=0.0 if by_labels else None)

    def _similarity(
        self, embeddings: Tensor, labels: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Compute S, ``(B, B)``, and the weights of its two parts if mixed."""
        unit = F.normalize(embeddings, dim=1)
        cosine = unit @ unit.T
        cosine = (cosine + cosine.T) / 2  # due to rounding S_ij ≠ S_ji, and τ may be between them
        if labels is None or self.construction not in ("mixed", "jaccard"):
            return cosine, None
        jaccard = label_jaccard(labels.float(), mask)
        if self.construction == "jaccard":
            return jaccard, None
        mixture = self._mixture(cosine.detach(), jaccard, label_entropy(labels.float(), mask))
        return mixture[0] * jaccard + mixture[1] * cosine, mixture

    def _mixture(self, cosine: Tensor, jaccard: Tensor, entropy: Tensor) -> Tensor:
        pairs = max(1, len(cosine) * (len(cosine) - 1))
        means = [between(matrix).sum() / pairs for matrix in (cosine, jaccard)]
        return self.lambda_net(torch.stack([means[0], entropy, means[1]])).softmax(0)

    def _link(self, similarity: Tensor, mixture: Tensor | None, above: float | None = None) -> Graph:
        allowed = ~torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
        if above is not None:
            allowed = allowed & (similarity.detach() > above)
        threshold = self._threshold(similarity.detach())
        if threshold is not None:
            allowed = allowed & (similarity.detach() >= threshold)
        edges = strongest(similarity.detach(), allowed, self.neighbors)
        soft = similarity[edges[1], edges[0]]
        if threshold is not None:
            soft = ((soft - threshold) / self.temperature).sigmoid()
        return Graph(edges, 1 + (soft - soft.detach()), mixture)

    def _threshold(self, similarity: Tensor) -> Tensor | None:
        if self.construction in UNTHRESHOLDED or len(similarity) < 2:
            return None
        if self.threshold is not None:
            return similarity.new_full((), self.threshold)
        return between(similarity).quantile(self.percentile / 100)

    def _draw(self, embeddings: Tensor, labels: Tensor | None) -> Tensor:
        """Draw random similarities: in training from the step's random numbers, in evaluation always the same ones."""
        generator = None if labels is not None else torch.Generator().manual_seed(0)
        return torch.rand(len(embeddings), len(embeddings), generator=generator).to(embeddings.device)


def between(matrix: Tensor) -> Tensor:
    """Return the entries of a square matrix outside its diagonal, ``(B (B − 1),)``.

    Example:
        >>> between(torch.arange(9).view(3, 3))
        tensor([1, 2, 3, 5, 6, 7])
    """
    size = len(matrix)
    if size < 2:
        return matrix.new_empty(0)
    # each of the first B − 1 diagonal entries is followed by B others before the next one
    return matrix.flatten()[1:].view(size - 1, size + 1)[:, :-1].reshape(-1)


def strongest(similarity: Tensor, allowed: Tensor, neighbors: int) -> Tensor:
    """Link each row to at most ``neighbors`` of its most similar allowed columns: edges ``(2, E)``, columns first.

    Args:
        similarity: ``(B, M)``.
        allowed: ``(B, M)`` bool.
        neighbors: Largest number of edges per row.
    """
    ranked = similarity.masked_fill(~allowed, -torch.inf).topk(min(neighbors, similarity.shape[1]), 1)
    row, place = (ranked.values > -torch.inf).nonzero(as_tuple=True)
    return torch.stack([ranked.indices[row, place], row])


def label_jaccard(labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute ``|y_i ∩ y_j| / |y_i ∪ y_j|`` over the labels annotated in both, 1 for two empty sets: ``(B, B)``.

    Example:
        >>> label_jaccard(torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
        tensor([[1.0000, 0.5000],
                [0.5000, 1.0000]])
    """
    known = torch.ones_like(labels) if mask is None else mask.to(labels.dtype)
    on = labels * known
    both = on @ on.T
    either = on @ known.T + known @ on.T - both
    return torch.where(either > 0, both / either.clamp(min=1e-12), 1.0)


def label_entropy(labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute the mean entropy of the labels in the batch, in nats; a scalar."""
    known = torch.ones_like(labels) if mask is None else mask.to(labels.dtype)
    rate = (labels * known).sum(0) / known.sum(0).clamp(min=1)
    return -(torch.xlogy(rate, rate) + torch.xlogy(1 - rate, 1 - rate)).mean()
