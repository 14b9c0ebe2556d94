"""What a run costs: parameters, samples a second, seconds an epoch, milliseconds a test batch, memory."""

from __future__ import annotations

import json
import resource
import sys
import time
from statistics import median
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mlemo.callbacks.label_shuffle import LabelShuffle
from mlemo.callbacks.run_folder import run_folder
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import COST

__all__ = ["Cost", "peak_memory"]


class Cost(Callback):
    """Writes ``cost.json`` into the run's folder after every epoch, and again when a test ends.

    =============================== ===============================================================================
    key                             value
    =============================== ===============================================================================
    ``parameters``                  numbers in the model, trained or not
    ``trainable_parameters``        those that are trained
    ``train_samples_per_second``    samples of the corpus (not the copies that label shuffling makes of them) over the
                                    time of training batches alone, loading included, validation left out; all
                                    processes
    ``seconds_per_epoch``           median over epochs of an epoch's seconds without its validations
    ``processor_seconds_per_epoch`` the same in seconds of processor time, of all threads of this process
    ``train_minutes``               minutes of all epochs, without their validations
    ``test_ms_per_batch``           milliseconds per test batch, with the work of other callbacks
    ``peak_memory_bytes``           of the GPU where one is used, else of the process
    =============================== ===============================================================================

    What could not be measured is left out, such as the speed of epochs of a single batch. An accelerator is waited for
    at most four times an epoch and never within a step; the first batch of every epoch is not timed.

    Args:
        skip: Batches at the start of the run that are not timed, as the first ones are slower than the rest.
    """

    def __init__(self, skip: int = 3) -> None:
        self.skip = skip
        self._samples = 0
        self._seconds = 0.0
        self._epochs: list[float] = []
        self._processor_epochs: list[float] = []
        self._batches = 0
        self._since: float | None = None
        self._rows = 0
        self._epoch_start = self._pause_start = self._paused = 0.0
        self._processor_start = self._processor_pause_start = self._processor_paused = 0.0
        self._test_since = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What was measured so far, so that a resumed run counts all its epochs."""
        epochs = {"epochs": list(self._epochs), "processor_epochs": list(self._processor_epochs)}
        return {"samples": self._samples, "seconds": self._seconds, **epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._samples, self._seconds = state_dict["samples"], state_dict["seconds"]
        self._epochs = list(state_dict["epochs"])
        self._processor_epochs = list(state_dict.get("processor_epochs", []))  # older checkpoints have none

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock."""
        self._epoch_start, self._paused = _now(pl_module), 0.0
        self._processor_start, self._processor_paused = time.process_time(), 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch; the clock starts behind the first batch that may be left out."""
        self._batches += 1
        if self._since is not None:
            self._rows += len(batch["labels"])
        elif self._batches >= self.skip:
            self._since = _now(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of training."""
        self._stop(trainer, pl_module)
        self._pause_start, self._processor_pause_start = time.perf_counter(), time.process_time()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the validation out of the epoch."""
        self._paused += time.perf_counter() - self._pause_start
        self._processor_paused += time.process_time() - self._processor_pause_start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the epoch's seconds, and write what training cost before the checkpoint that may be the last one."""
        self._stop(trainer, pl_module)
        self._epochs.append(_now(pl_module) - self._epoch_start - self._paused)
        self._processor_epochs.append(time.process_time() - self._processor_start - self._processor_paused)
        cost = {
            "seconds_per_epoch": median(self._epochs),
            "processor_seconds_per_epoch": median(self._processor_epochs),
            "train_minutes": sum(self._epochs) / 60,
        }
        if self._samples:
            cost["train_samples_per_second"] = trainer.world_size * self._samples / self._seconds
        _write(trainer, pl_module, cost)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Start the clock of testing: at the second batch where there are several."""
        if batch_idx == min(1, self._last_test_batch(trainer)):
            self._test_since = _now(pl_module)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Stop it behind the last one, and write what testing cost beside what training did."""
        if batch_idx == self._last_test_batch(trainer):
            seconds = _now(pl_module) - self._test_since
            _write(trainer, pl_module, {"test_ms_per_batch": 1000 * seconds / max(1, batch_idx)})

    def _stop(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._since is not None:
            self._seconds += _now(pl_module) - self._since
            self._samples += self._rows // _copies(trainer)
            self._since, self._rows = None, 0

    @staticmethod
    def _last_test_batch(trainer: Trainer) -> int:
        return int(trainer.num_test_batches[0]) - 1


def _write(trainer: Trainer, pl_module: LightningModule, measured: dict[str, float]) -> None:
    if not trainer.is_global_zero:
        return
    parameters = list(pl_module.parameters())
    cost = {
        "parameters": sum(parameter.numel() for parameter in parameters),
        "trainable_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "peak_memory_bytes": peak_memory(pl_module.device),
    }
    path = COST.path(run_folder(trainer))
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    # written after every epoch, which may take less time than waiting for a disk
    write_atomically(path, json.dumps(before | cost | measured, indent=1) + "\n", sync=False)


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that torch held on a GPU, or that the process held where the device is no GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Linux counts in KiB, macOS in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _copies(trainer: Trainer) -> int:
    """How many rows of a training batch one sample of the corpus becomes."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it without declaring it
    return next((found.k for found in callbacks if isinstance(found, LabelShuffle) and found.level == "input"), 1)


def _now(pl_module: LightningModule) -> float:
    """Seconds, when the accelerator has done all that it was given."""
    if pl_module.device.type == "cuda":
        torch.cuda.synchronize(pl_module.device)
    return time.perf_counter()
