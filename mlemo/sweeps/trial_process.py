"""One trial, trained in a process of its own, and the callback that asks after each epoch whether to go on."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from optuna import TrialPruned

from mlemo.training import instantiate
from mlemo.worker_process import begin

__all__ = ["Pruning", "train"]


class Pruning(Callback):
    """Reports a metric after each validation, and ends the training when the answer is that it does badly.

    Args:
        worker: Takes ``(epoch, value)`` and answers with a truth value.
        monitor: A logged metric, such as ``val/macro_f1``.
    """

    def __init__(self, worker: Connection, monitor: str) -> None:
        self.worker, self.monitor = worker, monitor

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, wait for the answer, and raise ``optuna.TrialPruned`` where it is true."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self.worker.send((trainer.current_epoch, float(trainer.callback_metrics[self.monitor])))
        if self.worker.recv():
            raise TrialPruned(f"pruned after epoch {trainer.current_epoch}")


def train(
    words: tuple[str, ...], folder: Path, metric: str, *, worker: Connection, threads: int, gpus: Sequence[str] | None
) -> None:
    """Train on one device, and validate the best checkpoint; the test split is not looked at.

    Args:
        words: The command line behind ``mlemo fit``.
        folder: Where the run writes.
        metric: The metric of validation that is reported.
        worker: The other end of the pipe is the worker's.
        threads: Number of processor threads.
        gpus: The only GPU that this process sees; ``None`` where there is none.
    """
    begin(folder, threads, gpus)
    place = [f"--trainer.logger.save_dir={folder.parent}", f"--trainer.logger.version={folder.name}"]
    cli = instantiate([*words, "--test_after_fit=false", *place])
    cli.trainer.callbacks.append(Pruning(worker, f"val/{metric}"))  # type: ignore[attr-defined]  # Trainer has it
    try:
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    except TrialPruned:
        return
    checkpoints = (callback for callback in cli.trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint))
    best = next(callback.best_model_path for callback in checkpoints if callback.monitor)
    cli.trainer.validate(cli.model, datamodule=cli.datamodule, ckpt_path=best, weights_only=True, verbose=False)
