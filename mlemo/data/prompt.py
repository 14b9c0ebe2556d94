"""The label prompt of Bert-WDL: ``[CLS] e1 [MASK] e2 [MASK] … eM [MASK] [SEP] text [SEP]``, made of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mlemo.batch import Batch, PromptLayout

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
    """Token ids of the prompt in canonical label order, and the means to put it in any other order.

    A label's *segment* is what stands in the prompt for it: its word pieces and ``[MASK]`` (``words_masks``, the
    paper's), its word pieces alone (``words``), or a ``[MASK]`` alone (``masks``). Its *read-out* is the token whose
    state the model turns into the label's logit: the ``[MASK]``, or the first word piece where there is none.
    Segments differ in length, but their sum, and so the length of the prompt, is the same for every order.

    Args:
        tokenizer: A transformers tokenizer; it runs here, once, and never again.
        words: One phrase a label, in canonical label order (underscores are read as blanks).
        layout: What a segment consists of.

    Raises:
        ValueError: The tokenizer has no mask token, or finds no word piece in a phrase.
    """

    def __init__(self, tokenizer: Any, words: Sequence[str], layout: PromptLayout) -> None:
        needs_mask = layout != "words"
        if needs_mask and tokenizer.mask_token_id is None:
            raise ValueError(
                f"prompt layout {layout!r} needs a mask token and {type(tokenizer).__name__} has none; "
                "use an encoder that was trained with one, or layout 'words'"
            )
        segments: list[list[int]] = []
        for word in words:
            # the leading blank matters to byte-level and sentence-piece vocabularies, and to no other
            pieces = tokenizer(" " + word.replace("_", " "), add_special_tokens=False)["input_ids"]
            if layout != "masks" and not pieces:
                raise ValueError(f"the tokenizer finds no word piece in the label words {word!r}")
            readout = [tokenizer.mask_token_id] if needs_mask else []
            segments.append(readout if layout == "masks" else [*pieces, *readout])
        before, between, _ = special_tokens(tokenizer, pair=True)
        self.layout = layout
        self.lengths = torch.tensor([len(segment) for segment in segments])  # (M,)
        self.readouts = self.lengths - 1 if needs_mask else torch.zeros_like(self.lengths)  # offset in the segment
        self.segment_ids = torch.tensor([token for segment in segments for token in segment])  # (P,)
        self.segment_label = torch.repeat_interleave(torch.arange(len(segments)), self.lengths)  # (P,)
        starts = self.lengths.cumsum(0) - self.lengths
        self.segment_offset = torch.arange(len(self.segment_ids)) - starts[self.segment_label]  # (P,)
        self.first = len(before)
        self.ids = torch.tensor([*before, *self.segment_ids.tolist(), *between])
        self.positions = self.first + starts + self.readouts  # (M,) canonical order
        self.order = torch.arange(len(segments))

    def __len__(self) -> int:
        """Tokens of the prompt with the special tokens before and after it."""
        return len(self.ids)

    def permute(self, batch: Batch, order: Tensor) -> Batch:
        """The same batch with each row's prompt in the order that ``order`` gives; vectorised, on the batch's device.

        Args:
            batch: A prompted batch whose rows all have this prompt, in any order.
            order: ``(B, M)`` long, a permutation a row: ``order[b, m]`` is the label at place ``m``.

        Returns:
            A new batch: ``input_ids``, ``label_positions`` and ``label_order`` replaced; labels stay canonical.
        """
        device = order.device
        lengths = self.lengths.to(device)
        in_order = lengths[order]  # (B, M)
        start_at_place = in_order.cumsum(1) - in_order
        start = torch.empty_like(start_at_place).scatter_(1, order, start_at_place)  # of label c, (B, M)
        target = self.first + start[:, self.segment_label.to(device)] + self.segment_offset.to(device)  # (B, P)
        ids = batch["input_ids"].clone()
        ids.scatter_(1, target, self.segment_ids.to(device).expand_as(target))
        permuted = batch.copy()
        permuted["input_ids"] = ids
        permuted["label_positions"] = self.first + start + self.readouts.to(device)
        permuted["label_order"] = order
        return permuted
