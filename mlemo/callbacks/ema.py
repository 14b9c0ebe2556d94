"""Exponential moving average of the weights: Lightning's callback with its known faults guarded."""

from __future__ import annotations

import warnings
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn

__all__ = ["EMAWeights"]


class EMAWeights(EMAWeightAveraging):
    """θ̄ ← decay·θ̄ + (1 − decay)·θ after every optimizer step; θ̄ is what is validated, saved and tested.

    What differs from Lightning's ``EMAWeightAveraging``: buffers are never averaged (integer position ids would be
    corrupted); before the first update the weights are not swapped, and an average that was never updated does not
    replace the trained weights; after an exception in validation the trained weights are back in the model; a test that
    follows training in the same process keeps the averaged weights of the checkpoint it loads.

    Args:
        decay: Share of the old average that stays.
        every_n_steps: Update each so many optimizer steps.
        start_step: First optimizer step (from 0) that is averaged.

    Raises:
        ValueError: ``decay`` outside (0, 1), or ``every_n_steps`` below one.
    """

    def __init__(self, decay: float = 0.999, every_n_steps: int = 1, start_step: int | None = None) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"EMAWeights.decay must lie between 0 and 1, found {decay}")
        if every_n_steps < 1:
            raise ValueError(f"EMAWeights.every_n_steps must be at least 1, found {every_n_steps}")
        super().__init__(
            use_buffers=False, decay=decay, update_every_n_steps=every_n_steps, update_starting_at_step=start_step
        )
        self._swapped = False

    @property
    def updated(self) -> bool:
        """Whether the average has taken up any weights yet."""
        return self._average_model is not None and int(self._average_model.n_averaged) > 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the average when training begins."""
        with warnings.catch_warnings():
            # a warning about sharded layers, which mlemo has none of
            warnings.filterwarnings("ignore", message=".*overrides the configure_model callback")
            super().setup(trainer, pl_module, stage)

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
