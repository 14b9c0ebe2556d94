"""The order of the labels in a prompt: reordered and order-free prompts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlemo.batch import Batch
from mlemo.nn.encoder_properties import first_position

__all__ = ["check_order_free", "order_free_inputs", "prompt_orders", "reorder_prompt", "visible_tokens"]


def prompt_orders(count: int, labels: int) -> Tensor:
    """Create orders of the labels that are equal in all runs: the canonical one, then random ones.

    Args:
        count: Number of orders.
        labels: Number of labels C.

    Returns:
        ``(count, C)`` long, one permutation per row; the first rows do not depend on ``count``.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randperm(labels, generator=generator) for _ in range(count - 1)]
    return torch.stack([torch.arange(labels), *drawn])


def reorder_prompt(batch: Batch, order: Tensor) -> Batch:
    """Reorder the labels in the prompt of each row of a batch; vectorized, on the batch's device.

    Segments differ in length, but their sum, and so the length of the prompt, is the same for every order.

    Args:
        batch: A prompted batch, in any order.
        order: ``(B, C)`` long, one permutation per row: ``order[b, m]`` is the label at position ``m``.

    Returns:
        A new batch with prompts in that order; labels and logits remain in canonical order.
    """
    labels = order.shape[1]
    place = F.pad(F.pad(order.argsort(1), (1, 0), value=-1), (0, 1), value=labels)  # of segment -1 … C, (B, C + 2)
    source = place.gather(1, batch["prompt_segments"] + 1).argsort(dim=1, stable=True)  # of every token, (B, L)
    reordered = batch.copy()
    reordered["input_ids"] = batch["input_ids"].gather(1, source)
    reordered["prompt_segments"] = batch["prompt_segments"].gather(1, source)
    if "position_ids" in batch:
        reordered["position_ids"] = batch["position_ids"].gather(1, source)
    reordered["label_positions"] = source.argsort(1).gather(1, batch["label_positions"])
    reordered["label_order"] = order
    return reordered


def visible_tokens(segments: Tensor, attention_mask: Tensor, labels: int) -> Tensor:
    """Create the attention mask of an order-free prompt.

    The text and the special tokens attend to each other only; the segment of a label attends to itself, the text and
    the special tokens. The states of the text, and those of a label, thus do not depend on the (other) labels.

    Args:
        segments: ``(B, L)`` long, see ``Batch.prompt_segments``.
        attention_mask: ``(B, L)``, 1 = token, 0 = padding.
        labels: Number of labels C.

    Returns:
        ``(B, 1, L, L)`` bool: ``[b, 0, i, j]`` is whether token ``i`` attends to token ``j``.
    """
    shared = (segments < 0) | (segments >= labels)
    same = segments[:, :, None] == segments[:, None, :]
    return ((same | shared[:, None, :]) & attention_mask[:, None, :].bool())[:, None]


def order_free_inputs(encoder: Any, batch: Batch) -> dict[str, Tensor]:
    """Create position ids and block attention mask of an order-free prompt, as arguments of a Hugging Face encoder.

    Args:
        encoder: A transformers encoder.
        batch: A batch with ``position_ids`` and ``prompt_segments``.

    Returns:
        ``position_ids (B, L)`` and ``attention_mask (B, 1, L, L)``: bool for torch's scaled dot-product attention, else
        a number that is added to the attention scores.
    """
    labels = batch["label_positions"].shape[1]
    mask = visible_tokens(batch["prompt_segments"], batch["attention_mask"], labels)
    if getattr(encoder.config, "_attn_implementation", None) != "sdpa":
        hidden = torch.finfo(encoder.dtype).min
        mask = torch.zeros_like(mask, dtype=encoder.dtype).masked_fill(~mask, hidden)
    return {"position_ids": batch["position_ids"] + first_position(encoder), "attention_mask": mask}


@torch.no_grad()
def check_order_free(encoder: nn.Module, tolerance: float = 1e-4) -> None:
    """Check on two prompts that a label's state does not depend on its position or on the other label.

    Encoders with relative or rotary positions computed from the order of the tokens, or without position ids and a 4-D
    attention mask as inputs, fail.

    Args:
        encoder: A transformers encoder.
        tolerance: Largest accepted difference of states.

    Raises:
        ValueError: The encoder fails.
    """
    config: Any = encoder.config
    start, first, second, third, text = (int(config.vocab_size * part / 6) for part in range(1, 6))
    ids = torch.tensor([[start, first, second, text, start], [start, third, first, text, start]])
    segments = torch.tensor([[-1, 0, 1, 2, 2], [-1, 1, 0, 2, 2]])
    batch: Batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "position_ids": torch.tensor([0, 1, 1, 2, 3]).expand(2, -1),
        "prompt_segments": segments,
        "label_positions": torch.tensor([[1, 2], [2, 1]]),
    }
    training = encoder.training
    encoder.eval()
    fault = ""
    try:
        device = next(encoder.parameters()).device
        inputs = {"input_ids": ids, **order_free_inputs(encoder, batch)}
        states = encoder(**{name: value.to(device) for name, value in inputs.items()}).last_hidden_state
        alike, swapped = states[0, [0, 1, 3, 4]], states[1, [0, 2, 3, 4]]
        if not torch.allclose(alike, swapped, rtol=0, atol=tolerance):
            fault = "the states of its tokens depend on their order in the input, or it ignores the attention mask"
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        fault = str(error)
    finally:
        encoder.train(training)
    if fault:
        raise ValueError(
            f"model.prompt_order free needs an encoder with absolute positions that takes position ids and a 4-D "
            f"attention mask, such as BERT, MiniLM or RoBERTa; {type(encoder).__name__} does not: {fault}. "
            "Use prompt_order sequential with this encoder"
        )
