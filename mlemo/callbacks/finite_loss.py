"""Stop of a training whose loss is no longer a number."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

__all__ = ["FiniteLoss"]


class FiniteLoss(Callback):
    """Raise an error that names epoch and step where the training loss became NaN or infinite.

    Each step updates a counter on the device of the loss, so that no step waits for the device. The counter is read
    every ``every_n_steps`` steps, before each validation and at the end of each epoch. In ``16-mixed`` precision a step
    that overflows is skipped by the loss scaling; there the error is raised where no loss since the last reading was
    finite.

    Args:
        every_n_steps: Steps between two readings; ``None`` for the trainer's ``log_every_n_steps``.

    Raises:
        ValueError: ``every_n_steps`` is below one, or, in training, the loss is not finite.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"FiniteLoss.every_n_steps must be at least 1, found {every_n_steps}")
        self.every_n_steps = every_n_steps
        self._first: Tensor | None = None  # (2,): batch of the first loss that was not finite or -1, and its value
        self._finite: Tensor | None = None  # whether a loss since the last reading was finite

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note whether the loss is finite; read the notes at intervals."""
        loss = outputs["loss"].detach().double()
        finite = loss.isfinite()
        if self._first is None or self._finite is None:
            self._first, self._finite = (
                torch.stack([-torch.ones_like(loss), torch.zeros_like(loss)]),
                finite.new_zeros(()),
            )
        here = torch.stack([torch.full_like(loss, batch_idx), loss])  # filled there; a copy would wait for the device
        self._first = torch.where(finite | (self._first[0] >= 0), self._first, here)
        self._finite = self._finite | finite
        if (batch_idx + 1) % self._interval(trainer) == 0:
            self._read(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the notes before a validation, whose metrics refuse probabilities that are not finite."""
        self._read(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the notes of the epoch's last steps."""
        self._read(trainer)

    def _interval(self, trainer: Trainer) -> int:
        if self.every_n_steps is not None:
            return self.every_n_steps
        return max(1, int(trainer.log_every_n_steps))  # type: ignore[attr-defined]  # set by Trainer.__init__

    def _read(self, trainer: Trainer) -> None:
        if self._first is None or self._finite is None:
            return
        first, recovered = self._first.tolist(), bool(self._finite) and trainer.precision == "16-mixed"
        self._first = self._finite = None
        if first[0] < 0 or recovered:
            return
        raise ValueError(
            f"the training loss is {first[1]} in epoch {trainer.current_epoch + 1}, batch {int(first[0]) + 1} of "
            f"{trainer.num_training_batches} (expected a finite number). Likely causes: a learning rate that is too "
            "high or without warm-up, no gradient clipping (trainer.gradient_clip_val), too low a precision "
            "(trainer.precision), or NaN among the features or labels"
        )
