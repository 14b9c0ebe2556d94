"""A line per epoch in the run's folder, for whoever watches the training from another process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from mlemo.callbacks.run_folder import run_folder
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import EPOCHS

__all__ = ["EpochLog", "read_epochs"]


class EpochLog(Callback):
    """Appends a line to ``epochs.jsonl`` after each validation: epoch, from 0, number of epochs, and metrics."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drop the lines of epochs beyond the checkpoint from which the training is resumed."""
        path = EPOCHS.path(run_folder(trainer))
        if trainer.is_global_zero and path.is_file():
            kept = [line for line in read_epochs(path.parent) if line["epoch"] < trainer.current_epoch]
            write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Append the line."""
        if not trainer.is_global_zero or trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        line = {"epoch": trainer.current_epoch, "epochs": trainer.max_epochs, "metrics": metrics}
        path = EPOCHS.path(run_folder(trainer))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_epochs(folder: Path) -> list[dict[str, Any]]:
    """The lines in the folder of a run, without one that is being written; none where there is no file."""
    path = EPOCHS.path(folder)
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
