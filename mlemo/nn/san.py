"""The self-attention feature refiner of Bert-WDL."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

__all__ = ["Scope", "SelfAttentionRefiner"]

Scope = Literal["independent", "labels", "context"]


class SelfAttentionRefiner(nn.Module):
    """A multi-head attention block with residual and layer normalization over the label read-outs.

    ``z = LayerNorm(h + Dropout(MultiHead(h, K, V)))`` with ``h`` the ``M`` read-out states of a sample and

    - ``independent``: K = V = the same read-out (attention over one token, so a linear map; the paper's wording),
    - ``labels``: K = V = all M read-outs of the sample,
    - ``context``: K = V = all tokens of the sample, padding masked.

    No positions are used, so permuting the read-outs permutes the result (Hu et al. 2025, "Prompt-based input and
    feature refinement"; four d×d projections and the normalization are the 2.4 M parameters of their Table 7).

    Args:
        width: Size d of the states.
        heads: Number of attention heads; divides ``width``.
        dropout: Dropout of the attention weights and of the block's output.
        scope: Keys and values of the attention, as above.

    Raises:
        ValueError: ``heads`` does not divide ``width``.
    """

    def __init__(self, width: int, heads: int = 12, dropout: float = 0.1, scope: Scope = "labels") -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"model.heads must divide the encoder's width, found {heads} heads and width {width}")
        self.scope = scope
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, readouts: Tensor, states: Tensor, attention_mask: Tensor) -> Tensor:
        """Refine the read-outs.

        Args:
            readouts: ``(B, M, d)`` states at the label positions.
            states: ``(B, L, d)`` all token states.
            attention_mask: ``(B, L)``, 1 = token, 0 = padding.

        Returns:
            ``(B, M, d)``.
        """
        query, padding = readouts, None
        if self.scope == "independent":
            query = keys = readouts.reshape(-1, 1, readouts.shape[-1])
        elif self.scope == "labels":
            keys = readouts
        else:
            keys, padding = states, attention_mask == 0
        refined = self.attention(query, keys, keys, key_padding_mask=padding, need_weights=False)[0]
        return self.norm(readouts + self.dropout(refined.reshape(readouts.shape)))
