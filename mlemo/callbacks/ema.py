"""Exponential moving average of the weights, with a warm-up of the decay, on Lightning's averaging callback."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from mlemo.utils.serialization import Recorded

__all__ = ["EMAWeights"]


class EMAWeights(Recorded, WeightAveraging):
    """``θ̄ ← d_t·θ̄ + (1 − d_t)·θ`` after every optimizer step; θ̄ is what is validated, saved and tested.

        d_t = min(decay, (1 + t) / (10 + t))   in update t = 1, 2, …;   θ̄ = θ before the first

    The warm-up is that of TensorFlow's ``ExponentialMovingAverage(num_updates=...)`` and of diffusers' ``EMAModel``.
    Without it (eq. 20 of Alrasheedy et al. 2026) the average keeps a share ``decay^t`` of the first weights: .64 after
    448 steps at .999. With it the share is ``10! (t + 1)! / (t + 10)!`` until ``decay`` is reached, 1.4e-7 after 25.

    Beyond Lightning's ``WeightAveraging``: buffers are never averaged (integer position ids would be corrupted); before
    the first update the weights are not swapped, and an average that was never updated does not replace the trained
    weights; after an exception in validation the trained weights are back in the model; a test that follows training in
    the same process keeps the averaged weights of the checkpoint it loads.

    Args:
        decay: Share of the old average that stays.
        every_n_steps: Optimizer steps from one update to the next.
        start_step: First optimizer step (from 0) that is averaged.
        warmup: Whether the decay starts low; ``False`` = ``d_t = decay``.

    Raises:
        ValueError: ``decay`` outside (0, 1), or ``every_n_steps`` below one.
    """

    def __init__(
        self, decay: float = 0.999, every_n_steps: int = 1, start_step: int | None = None, warmup: bool = True
    ) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"EMAWeights.decay must lie between 0 and 1, found {decay}")
        if every_n_steps < 1:
            raise ValueError(f"EMAWeights.every_n_steps must be at least 1, found {every_n_steps}")
        super().__init__(use_buffers=False)
        self.decay, self.every_n_steps, self.start_step, self.warmup = decay, every_n_steps, start_step, warmup
        self._swapped = False

    def decay_at(self, update: int) -> float:
        """d_t, the share of the old average that stays in update t (from 1)."""
        return min(self.decay, (1 + update) / (10 + update)) if self.warmup else self.decay

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether the average takes up the weights after this optimizer step."""
        return step_idx is not None and step_idx >= (self.start_step or 0) and step_idx % self.every_n_steps == 0

    @property
    def updated(self) -> bool:
        """Whether the average has taken up any weights yet."""
        return self._average_model is not None and int(self._average_model.n_averaged) > 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the average when training begins, on the device where the model is going to be."""
        self._device = trainer.strategy.root_device
        with warnings.catch_warnings():
            # a warning about sharded layers, which mlemo has none of
            warnings.filterwarnings("ignore", message=".*overrides the configure_model callback")
            super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            # counted by the host, which would wait for the device to read it
            self._average_model.n_averaged = torch.zeros_like(self._average_model.n_averaged, device="cpu")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take up the weights after an optimizer step, where it is time.

        As ``AveragedModel.update_parameters``, which has the host read the number of updates on the device.
        """
        average, step = self._average_model, trainer.global_step
        if average is None or step <= self._latest_update_step or not self.should_update(step_idx=step - 1):
            return
        self._latest_update_step = step
        updates = int(average.n_averaged)
        with torch.no_grad():
            share = 1 - self.decay_at(updates) if updates else 1.0
            averaged: list[Tensor] = list(average.module.parameters())
            if averaged:  # a fitted model may have none
                torch._foreach_lerp_(averaged, list(pl_module.parameters()), share)
            for buffer, present in zip(average.module.buffers(), pl_module.buffers(), strict=True):
                buffer.copy_(present)
        average.n_averaged += 1

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swap the average in; only in training: otherwise the weights are those of a checkpoint already."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swap the trained weights back in."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_validation_epoch_end(trainer, pl_module)

    def _swap_models(self, pl_module: LightningModule) -> None:
        if self.updated:
            super()._swap_models(pl_module)
            self._swapped = not self._swapped

    def _copy_average_to_current(self, pl_module: LightningModule) -> None:
        if self.updated:
            super()._copy_average_to_current(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Put the trained weights back where an exception fell into a validation with the averaged ones."""
        if self._swapped:
            self._swap_models(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the average as the weights, and the trained weights beside it; only the latter before any update."""
        if self.updated:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Resume weights and average; in test and predict the average has been loaded as the weights already.

        A checkpoint from before the first update holds no average, and needs none: the first update takes the weights.
        """
        if trainer.state.fn == TrainerFn.FITTING and "averaging_state" in checkpoint:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
