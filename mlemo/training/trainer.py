"""Lightning's trainer, which takes the folder of its run before it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from mlemo.callbacks.curve_logger import curves
from mlemo.callbacks.run_folder import take_folder

__all__ = ["RunTrainer"]


class RunTrainer(Trainer):
    """Lightning's trainer; it refuses to train in the folder of another run, see :mod:`mlemo.runs.place`."""

    _has_folder = False

    def take_folder(self, checkpoint: str | Path | None = None, overwrite: bool = False) -> None:
        """Take the folder, before any logger opens a file in it; nothing where this trainer has it already.

        Args:
            checkpoint: What the training continues from.
            overwrite: Delete the files of another run that is there.

        Raises:
            ValueError: Another run is there.
        """
        if not self._has_folder and not self.fast_dev_run:  # type: ignore[attr-defined]  # set by Lightning
            take_folder(self, checkpoint, overwrite)
            self._has_folder = True

    def fit(  # noqa: PLR0917  # as Lightning has it
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train as Lightning does, in a folder of its own.

        Raises:
            ValueError: Another run is in the folder.
        """
        self.take_folder(ckpt_path)
        with curves(self.loggers):
            super().fit(model, train_dataloaders, val_dataloaders, datamodule, ckpt_path, weights_only)
