"""A progress bar that says what is going on, and a line an epoch for logs."""

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
    """Lightning's bar with words for what is happening; after each validation one line that stays in a log.

    Where the output is not a terminal the bar is not drawn, and the lines remain.

    Args:
        refresh_rate: Batches between two drawings.
    """

    def __init__(self, refresh_rate: int = 5) -> None:
        super().__init__(refresh_rate=refresh_rate if sys.stderr.isatty() else 0)
        self._epoch_start = 0.0

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
        """Logged values beside the bar, without the logger's version number."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        """Name the epoch."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(self.train_description)
        self._epoch_start = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line with the validation's figures."""
        super().on_validation_end(trainer, pl_module)
        if trainer.sanity_checking or (not trainer.training and trainer.state.fn != "fit"):
            return
        values = trainer.callback_metrics
        shown = ("train/loss", "val/loss", "val/macro_f1", "val/tuned_macro_f1", "val/micro_f1", "val/jaccard")
        figures = "  ".join(f"{name} {float(values[name]):.4f}" for name in shown if name in values)
        seconds = time.perf_counter() - self._epoch_start
        rank_zero_only(log.info)(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs or '?'}  {seconds:.0f} s  {figures}"
        )
