"""From token states to one vector a text."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["Pooling", "pool"]

Pooling = Literal["mean", "cls", "max", "last"]


def pool(states: Tensor, attention_mask: Tensor, how: Pooling) -> Tensor:
    """One vector a text: the mean or maximum over its tokens, or the state of its first or last token.

    Of a causal model, only the state of the last token depends on the whole text.

    Args:
        states: ``(B, L, d)`` token states.
        attention_mask: ``(B, L)``, 1 = token, 0 = padding.
        how: ``mean``, ``max``, ``cls`` (the first token) or ``last``.

    Returns:
        ``(B, d)``.
    """
    if how == "cls":
        return states[:, 0]
    if how == "last":
        places = torch.arange(attention_mask.shape[1], device=states.device)
        last = (attention_mask * places).argmax(1)  # on whichever side the padding is
        return states[torch.arange(states.shape[0], device=states.device), last]
    mask = attention_mask.unsqueeze(-1).to(states.dtype)
    if how == "max":
        return states.masked_fill(mask == 0, torch.finfo(states.dtype).min).amax(1)
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1)
