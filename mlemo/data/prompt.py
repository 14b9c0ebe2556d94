"""The label prompt of Bert-WDL: ``[CLS] e1 [MASK] e2 [MASK] … eM [MASK] [SEP] text [SEP]``, made of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import torch

from mlemo.batch import PromptLayout

__all__ = ["Prompt", "special_tokens"]


def special_tokens(tokenizer: Any, pair: bool) -> tuple[list[int], list[int], list[int]]:
    """Ids that a tokenizer puts before, between and after its segments (``[CLS]``, ``[SEP]`` and their like).

    Args:
        tokenizer: A transformers tokenizer.
        pair: Whether the input has two segments.

    Returns:
        Three lists of ids: before the first segment, between the segments (empty for one segment), after the last.
    """
    encoded = tokenizer("a", "a", return_token_type_ids=False) if pair else tokenizer("a", return_token_type_ids=False)
    ids, segments = encoded["input_ids"], encoded.sequence_ids(0)
    first, last = segments.index(0), len(segments) - 1 - segments[::-1].index(1 if pair else 0)
    before, after = ids[:first], ids[last + 1 :]
    between = [token for token, segment in zip(ids[first:last], segments[first:last]) if segment is None]
    return before, between, after


class Prompt:
    """Token ids of the prompt in canonical label order; ``reorder_prompt`` puts it in any other order.

    The *segment* of a label is the tokens that stand for it in the prompt: its word pieces and ``[MASK]``
    (``words_masks``, as in the paper), its word pieces alone (``words``), or a ``[MASK]`` alone (``masks``). Its
    *read-out* is the token whose state the model turns into the label's logit: the ``[MASK]``, or the first word piece
    where there is none (the last one with ``last``).

    Args:
        tokenizer: A transformers tokenizer; it runs here, once, and never again.
        words: One phrase per label, in canonical label order (underscores are read as blanks).
        layout: What a segment consists of.
        last: The prompt is after the text, from which a line break separates it; it then has no special tokens,
            and without ``[MASK]`` the read-out of a label is its last word piece.

    Attributes:
        ids: ``(P,)`` long, the prompt with the special tokens before and after it, or the line break before it.
        segments: ``(P,)`` long, the label of each token; -1 before the first label, C after the last.
        positions: ``(C,)`` long, index of the read-out of each label.
        order: ``(C,)`` long, the canonical order.
        position_ids: ``(P,)`` long, where all segments start at the same position and the longest is counted.

    Raises:
        ValueError: The tokenizer has no mask token, or finds no word piece in a phrase.
    """

    def __init__(self, tokenizer: Any, words: Sequence[str], layout: PromptLayout, last: bool = False) -> None:
        needs_mask = layout != "words"
        if needs_mask and tokenizer.mask_token_id is None:
            raise ValueError(
                f"prompt layout {layout!r} needs a mask token and {type(tokenizer).__name__} has none; "
                "use an encoder that was trained with one, or layout 'words' (--model.prompt words)"
            )
        segments: list[list[int]] = []
        for word in words:
            # the leading blank matters to byte-level and sentence-piece vocabularies, and to no other
            pieces = tokenizer(" " + word.replace("_", " "), add_special_tokens=False)["input_ids"]
            if layout != "masks" and not pieces:
                raise ValueError(f"the tokenizer finds no word piece in the label words {word!r}")
            readout = [tokenizer.mask_token_id] if needs_mask else []
            segments.append(readout if layout == "masks" else [*pieces, *readout])
        between: list[int] = []
        if last:
            before = list(tokenizer("\n", add_special_tokens=False)["input_ids"])
        else:
            before, between, _ = special_tokens(tokenizer, pair=True)
        self.layout = layout
        self.ids = torch.tensor([*before, *(token for segment in segments for token in segment), *between])
        lengths = torch.tensor([len(before), *map(len, segments), len(between)])
        starts = lengths.cumsum(0) - lengths
        self.segments = torch.repeat_interleave(torch.arange(-1, len(segments) + 1), lengths)
        self.positions = starts[1:-1] + (lengths[1:-1] - 1 if needs_mask or last else 0)
        self.order = torch.arange(len(segments))
        shared_starts = torch.full_like(starts, len(before))
        shared_starts[0], shared_starts[-1] = 0, len(before) + int(lengths[1:-1].max())
        self.position_ids = torch.arange(len(self.ids)) + torch.repeat_interleave(shared_starts - starts, lengths)

    def to(self, device: torch.device | str) -> Self:
        """The same prompt with its tensors on a device."""
        moved = copy(self)
        for name in ("ids", "segments", "positions", "order", "position_ids"):
            setattr(moved, name, getattr(self, name).to(device))
        return moved

    def __len__(self) -> int:
        """Tokens of the prompt with the special tokens before and after it."""
        return len(self.ids)
