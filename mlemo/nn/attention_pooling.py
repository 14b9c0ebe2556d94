"""Attention pooling: one vector per text, and the weight of each token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["AttentionPooling"]


class AttentionPooling(nn.Module):
    """``s = Σ_j α_j h_j`` with ``α = softmax_j(h_j · a + b)`` over the tokens (Alrasheedy et al. 2026, eq. 3-5).

    Padding has a weight of 0; with ``top_k`` so has every token except those with the k highest scores.

    Args:
        width: d.
        top_k: Number of tokens with a weight; ``None`` for all.

    Raises:
        ValueError: ``top_k`` below one.
    """

    def __init__(self, width: int, top_k: int | None = None) -> None:
        super().__init__()
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, found {top_k}")
        self.top_k = top_k
        self.score = nn.Linear(width, 1)

    def forward(self, states: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool a batch.

        Args:
            states: ``(B, L, d)``.
            attention_mask: ``(B, L)``, 1 = token, 0 = padding; a text has at least one token.

        Returns:
            Vectors ``(B, d)`` and weights ``(B, L)``, which sum to 1 over the tokens.
        """
        scores = self.score(states).squeeze(-1).float().masked_fill(attention_mask == 0, -torch.inf)
        if self.top_k is not None:
            # indices, not values: of equal scores no more than k are kept
            best = scores.topk(torch.sym_min(self.top_k, scores.shape[1]), 1).indices
            kept = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)
            scores = scores.masked_fill(~kept, -torch.inf)
        weights = scores.softmax(1)
        return (weights.to(states.dtype).unsqueeze(1) @ states).squeeze(1), weights
