"""Label shuffling: each training sample with several random orders of the labels in its prompt."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mlemo.batch import repeated
from mlemo.nn.prompt_order import reorder_prompt
from mlemo.utils.seeding import step_generator
from mlemo.utils.serialization import Recorded

__all__ = ["LabelShuffle"]


class LabelShuffle(Recorded, Callback):
    """Order-invariant learning (Hu et al. 2025, Algorithm 1, lines 3-11); training batches only.

    ``level="input"``: a batch of B samples becomes K·B, each copy with its own random order of the labels in its
    prompt; one forward and one backward pass. ``level="loss"``: the prompt stays as it is, and only the difference
    terms of the loss take K random orders of the same B rows of logits, at the cost of one forward pass.
    The orders are drawn on the batch's device from the place in training, so a resumed run draws the same ones.

    Args:
        k: Orders per sample.
        level: Where the orders act.

    Raises:
        ValueError: ``k`` below one; or, when training starts, ``level="input"`` with a model that has no prompt or an
            order-free one.
    """

    def __init__(self, k: int = 3, level: Literal["input", "loss"] = "input") -> None:
        if k < 1:
            raise ValueError(f"LabelShuffle.k must be at least 1, found {k}")
        self.k, self.level = k, level

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to shuffle a prompt that is not there, or that has no order."""
        if self.level == "input" and getattr(pl_module, "prompt", None) is None:
            raise ValueError(
                f"LabelShuffle(level='input') permutes the labels in the prompt, and {type(pl_module).__name__} has no "
                "prompt; use level='loss', or a prompted model such as BertWDL"
            )
        if self.level == "input" and getattr(pl_module, "prompt_order", None) == "free":
            raise ValueError(
                "LabelShuffle(level='input') has no effect on an order-free prompt: all copies of a sample have the "
                "same logits; leave LabelShuffle out, use level='loss' for permutation: sampled, or set "
                "model.prompt_order to sequential"
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Replace the batch by its shuffled copies, in place."""
        samples, labels = batch["labels"].shape
        device = batch["labels"].device
        generator = step_generator(device, trainer.current_epoch, batch_idx, trainer.global_rank)
        # sorting uniform noise draws a uniformly random permutation for every row at once
        order = torch.rand(self.k, samples, labels, device=device, generator=generator).argsort(-1)
        if self.level == "loss":
            batch["label_order"] = order
            return
        batch.update(reorder_prompt(repeated(batch, self.k), order.flatten(0, 1)))
