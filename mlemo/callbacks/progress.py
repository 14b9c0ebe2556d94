"""A progress bar with the current activity, and lines for logs where the output is not a terminal."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.utilities import rank_zero_only

__all__ = ["ProgressBar"]

log = logging.getLogger(__name__)


class ProgressBar(TQDMProgressBar):
    """Lightning's bar with the current activity; after each validation one line that stays in a log.

    Where the output is not a terminal the bar is not drawn. The lines remain, and a line with the position in the epoch
    is written every ``heartbeat`` seconds.

    Args:
        refresh_rate: Batches between two drawings.
        heartbeat: Seconds between two lines where the output is not a terminal; 0 for none.
    """

    def __init__(self, refresh_rate: int = 5, heartbeat: float = 60.0) -> None:
        terminal = sys.stderr.isatty()
        super().__init__(refresh_rate=refresh_rate if terminal else 0)
        self.heartbeat = 0.0 if terminal else heartbeat
        self._epoch_start = 0.0
        self._last_line = time.perf_counter()

    @property
    def sanity_check_description(self) -> str:
        """Shown while two validation batches are tried before training."""
        return "trying validation"

    @property
    def train_description(self) -> str:
        """Shown while training."""
        return f"training epoch {self.trainer.current_epoch + 1}/{self.trainer.max_epochs or '?'}"

    @property
    def validation_description(self) -> str:
        """Shown while validating."""
        return "validating"

    @property
    def test_description(self) -> str:
        """Shown while testing."""
        return "testing"

    @property
    def predict_description(self) -> str:
        """Shown while predicting."""
        return "predicting"

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Training loss and logged values beside the bar, without the logger's version number.

        The loss is read here, when the bar is drawn; Lightning would read it, and wait for the device, in every step.
        """
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        loss = trainer.callback_metrics.get("train/loss")
        return metrics if loss is None else {"train/loss": float(loss), **metrics}

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        """Name the epoch."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(self.train_description)
        self._epoch_start = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line with the validation's figures."""
        super().on_validation_end(trainer, pl_module)
        self._last_line = time.perf_counter()
        if trainer.sanity_checking or (not trainer.training and trainer.state.fn != "fit"):
            return
        values = trainer.callback_metrics
        shown = (
            "train/loss",
            "val/loss",
            "val/macro_ap",
            "val/macro_f1",
            "val/tuned_macro_f1",
            "val/micro_f1",
            "val/jaccard",
        )
        figures = "  ".join(f"{name} {float(values[name]):.4f}" for name in shown if name in values)
        seconds = time.perf_counter() - self._epoch_start
        rank_zero_only(log.info)(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs or '?'}  {seconds:.0f} s  {figures}"
        )

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Advance the bar, or write a line where the last one is older than the heartbeat."""
        super().on_train_batch_end(trainer, pl_module, *args)
        self._beat(self.train_description, args, trainer.num_training_batches)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Advance the bar, or write a line where the last one is older than the heartbeat."""
        super().on_validation_batch_end(trainer, pl_module, *args)
        self._beat(self.validation_description, args, self.total_val_batches_current_dataloader)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Advance the bar, or write a line where the last one is older than the heartbeat."""
        super().on_test_batch_end(trainer, pl_module, *args)
        self._beat(self.test_description, args, self.total_test_batches_current_dataloader)

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Advance the bar, or write a line where the last one is older than the heartbeat."""
        super().on_predict_batch_end(trainer, pl_module, *args)
        self._beat(self.predict_description, args, self.total_predict_batches_current_dataloader)

    def _beat(self, activity: str, hook: tuple[Any, ...], batches: float) -> None:
        """Write the position in the epoch, where it is time; ``hook`` holds outputs, batch and index of the batch."""
        if not self.heartbeat or time.perf_counter() - self._last_line < self.heartbeat:
            return
        self._last_line = time.perf_counter()
        rank_zero_only(log.info)(f"{activity}: batch {hook[2] + 1}/{batches}")
