"""What an encoder is like: how long its inputs may be, where its positions begin, whether it is causal."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["first_position", "is_causal", "max_length"]


def max_length(encoder: Any, tokenizer: Any, asked: int) -> int:
    """The longest input that both the user's setting and the encoder's position table allow."""
    limits = [asked, int(min(tokenizer.model_max_length, 1_000_000))]
    positions = getattr(encoder.config, "max_position_embeddings", None)
    if positions is not None:
        limits.append(positions - first_position(encoder))
    return min(limits)


def first_position(encoder: Any) -> int:
    """Position id of the first token: 0, or that after the padding id in RoBERTa-like encoders."""
    embeddings = getattr(encoder, "embeddings", None)
    counts_from_padding = getattr(embeddings, "padding_idx", None) is not None
    return (encoder.config.pad_token_id or 0) + 1 if counts_from_padding else 0


@torch.no_grad()
def is_causal(encoder: Any, tolerance: float = 1e-6) -> bool:
    """Whether the state of a token depends on the tokens before it and on none behind it, as in GPT, Llama or Qwen.

    The encoder is tried on an input of four tokens, so the answer does not depend on the name of its class.

    Args:
        encoder: A transformers model.
        tolerance: Largest difference between states that count as equal.
    """
    first, second, third, last, other = (int(encoder.config.vocab_size * part / 6) for part in range(1, 6))
    ids = torch.tensor([[first, second, third, last], [first, second, third, other], [other, second, third, last]])
    modes = {module: module.training for module in encoder.modules()}
    encoder.eval()
    try:
        device = next(encoder.parameters()).device
        states = encoder(input_ids=ids.to(device), attention_mask=torch.ones_like(ids, device=device))
        whole, other_last, other_first = states.last_hidden_state.float()
    finally:
        for module, training in modes.items():
            module.training = training
    depends_on_last = (whole[0] - other_last[0]).abs().max() > tolerance
    depends_on_first = (whole[-1] - other_first[-1]).abs().max() > tolerance
    return bool(depends_on_first and not depends_on_last)
