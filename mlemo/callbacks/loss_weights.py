"""Components of a composite loss and their weights, written down at every step."""

from __future__ import annotations

import csv
import io
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from mlemo.callbacks.run_folder import run_folder
from mlemo.losses.base import MultiTermLoss
from mlemo.runs.atomic import write_atomically

__all__ = ["LossWeightMonitor"]


class LossWeightMonitor(Callback):
    """Logs ``loss/<component>`` and ``weight/<component>`` of every training batch, to the loggers and to a CSV.

    The weights are those that the batch's components were multiplied by, those of the backward pass; ``step`` counts
    the optimizer's steps taken until then, from 0. Losses without parts are left alone. Values are written with a
    delay of ``flush_every`` batches, so that an accelerator is not waited for at every step.

    Args:
        file: Name of the CSV in the run's folder; ``None`` to write none.
        flush_every: Batches between two writings.
    """

    def __init__(self, file: str | None = "loss_weights.csv", flush_every: int = 50) -> None:
        self.file, self.flush_every = file, flush_every
        self._step = 0
        self._weights: dict[str, Tensor] = {}
        self._rows: list[tuple[int, dict[str, Tensor]]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove what an interrupted run wrote after the checkpoint it is resumed from."""
        path = None if self.file is None else run_folder(trainer) / self.file
        if path is not None and trainer.is_global_zero and path.is_file():
            header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
            whole = [row for row in rows if row.endswith("\n")]  # a row that was being written has no end
            kept = [row for row in whole if int(row.split(",", 1)[0]) < trainer.global_step]
            write_atomically(path, "".join([header, *kept]))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write what is left, so that a run resumed from this checkpoint misses no step."""
        self._flush(trainer)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights: some losses set them in the forward pass, for others the optimizer will change them."""
        if isinstance(pl_module.loss, MultiTermLoss):
            self._weights = {f"weight/{name}": value.clone() for name, value in pl_module.loss.weights().items()}
            self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the components; write when enough batches have come together."""
        if "components" not in outputs:
            return
        components = {f"loss/{name}": value for name, value in outputs["components"].items()}
        self._rows.append((self._step, components | self._weights))
        if len(self._rows) >= self.flush_every:
            self._flush(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is left."""
        self._flush(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what is left."""
        self._flush(trainer)

    def _flush(self, trainer: Trainer) -> None:
        rows = [(step, {name: float(value) for name, value in values.items()}) for step, values in self._rows]
        self._rows = []
        if not rows or not trainer.is_global_zero:
            return
        for step, values in rows:
            for logger in trainer.loggers:
                logger.log_metrics(values, step)
        if self.file is not None:
            path = run_folder(trainer) / self.file
            lines = io.StringIO()
            writer = csv.writer(lines, lineterminator="\n")
            writer.writerows([step, *values.values()] for step, values in rows)
            if path.exists():
                with path.open("a", newline="", encoding="utf-8") as stream:
                    stream.write(lines.getvalue())
            else:
                header = io.StringIO()
                csv.writer(header, lineterminator="\n").writerow(["step", *rows[0][1]])
                write_atomically(path, header.getvalue() + lines.getvalue(), sync=False)
