"""Label embeddings refined by a transformer: queries over the tokens of a text, and a matrix of affinities."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["LabelTransformer", "label_attention"]


class LabelTransformer(nn.Module):
    """``L' = Transformer(L)`` with learned label embeddings L ∈ R^{C×d} (Alrasheedy et al. 2026, eq. 11).

    Args:
        labels: C.
        width: d.
        layers: Number of transformer layers; 0 for unrefined embeddings.
        heads: Number of attention heads; divides ``width``.
        feedforward: Width of the feed-forward layers; the paper's parameter counts give 512.
        dropout: Dropout.

    Raises:
        ValueError: ``heads`` does not divide ``width``, or ``layers`` is negative.
    """

    def __init__(
        self, labels: int, width: int, *, layers: int = 2, heads: int = 8, feedforward: int = 512, dropout: float = 0.1
    ) -> None:
        super().__init__()
        if layers < 0:
            raise ValueError(f"label_layers must be 0 or more (null for no label embeddings), found {layers}")
        if width % heads:
            raise ValueError(f"label_heads must divide the encoder's width, found {heads} heads and width {width}")
        self.embeddings = nn.Parameter(torch.randn(labels, width) / math.sqrt(width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, feedforward, dropout, batch_first=True) for _ in range(layers)
        )

    def forward(self) -> Tensor:
        """Return refined label embeddings ``(C, d)``."""
        states = self.embeddings[None]
        for layer in self.layers:
            states = layer(states)
        return states[0]

    @staticmethod
    def affinity(embeddings: Tensor) -> Tensor:
        """Compute ``log Q``, ``Q = softmax(L' L'ᵀ / √d)`` by row: ``(C, C)`` float32."""
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            return (embeddings @ embeddings.T / math.sqrt(embeddings.shape[1])).log_softmax(1)


def label_attention(embeddings: Tensor, states: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Pool a text per label: ``u_c = Σ_j softmax_j(ℓ'_c · h_j / √d) h_j``.

    Args:
        embeddings: Refined label embeddings, ``(C, d)``.
        states: ``(B, L, d)``.
        attention_mask: ``(B, L)``, 1 = token.

    Returns:
        ``ℓ'_c · u_c / √d``, ``(B, C)``, and the weights ``(B, C, L)``.
    """
    scores = torch.einsum("cd,bld->bcl", embeddings.to(states.dtype), states).float() / math.sqrt(states.shape[-1])
    weights = scores.masked_fill(attention_mask[:, None] == 0, -torch.inf).softmax(-1)
    # ℓ'_c · u_c = Σ_j weight_j (ℓ'_c · h_j): the pooled vectors themselves are not needed
    return (weights * scores).sum(-1), weights
