"""Components of a composite loss and their weights, written down at every step."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import IO, Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from mlemo.losses.base import MultiTermLoss

__all__ = ["LossWeightMonitor"]


class LossWeightMonitor(Callback):
    """Logs ``loss/<component>`` and ``weight/<component>`` at every training step, to the loggers and to a CSV.

    Losses without parts are left alone. Values are written to the CSV with a delay of ``flush_every`` steps, so that
    an accelerator is not waited for at every step.

    Args:
        file: Name of the CSV in the run's folder; ``None`` to write none.
        flush_every: Steps between two writings.
    """

    def __init__(self, file: str | None = "loss_weights.csv", flush_every: int = 50) -> None:
        self.file, self.flush_every = file, flush_every
        self._rows: list[dict[str, Any]] = []
        self._stream: IO[str] | None = None
        self._writer: csv.DictWriter[str] | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the step's components and weights; write when enough have come together."""
        if "components" not in outputs:
            return
        weights = cast(MultiTermLoss, pl_module.loss).weights()
        row = {f"loss/{name}": value for name, value in outputs["components"].items()}
        row |= {f"weight/{name}": value.clone() for name, value in weights.items()}
        self._rows.append({"step": trainer.global_step, **row})
        if len(self._rows) >= self.flush_every:
            self._flush(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is left."""
        self._flush(trainer)
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what is left."""
        self._flush(trainer)
        self._close()

    def _flush(self, trainer: Trainer) -> None:
        rows, self._rows = self._rows, []
        if not rows or not trainer.is_global_zero:
            return
        rows = [{name: float(value) for name, value in row.items()} for row in rows]
        for row in rows:
            step = int(row["step"])
            for logger in trainer.loggers:
                logger.log_metrics({name: value for name, value in row.items() if name != "step"}, step)
        if self.file is not None and trainer.log_dir is not None:
            if self._writer is None:
                path = Path(trainer.log_dir, self.file)
                path.parent.mkdir(parents=True, exist_ok=True)
                new = not path.exists()
                self._stream = path.open("a", newline="", encoding="utf-8")
                self._writer = csv.DictWriter(self._stream, fieldnames=list(rows[0]))
                if new:
                    self._writer.writeheader()
            self._writer.writerows({**row, "step": int(row["step"])} for row in rows)

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = self._writer = None
