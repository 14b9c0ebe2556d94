"""What a training is about to do, in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback

from mlemo.callbacks import BatchSelection, ThresholdTuning
from mlemo.callbacks.run_manifest import RunManifest
from mlemo.data import EmotionDataModule
from mlemo.models import FittedModel, MultiLabelModel
from mlemo.training.teacher import Teacher

__all__ = ["training_summary"]


def training_summary(
    model: MultiLabelModel,
    data: EmotionDataModule,
    trainer: Trainer,
    standing: Mapping[str, Any],
    seed: Any,
) -> list[str]:
    """Model, loss, decision rule, batch selection, callbacks, precision, global batch and seed of a training.

    Args:
        model: The model.
        data: The corpus.
        trainer: The trainer.
        standing: Callbacks that are always there, by their keys; among them ``thresholds``, ``checkpoint`` and
            ``early_stopping``.
        seed: Seed of the run; ``None`` where nothing is seeded.

    Returns:
        The lines.
    """
    thresholds: ThresholdTuning = standing["thresholds"]
    always = {id(callback) for callback in standing.values()}
    chosen = [
        callback
        for callback in trainer.callbacks  # type: ignore[attr-defined]  # set by Trainer.__init__
        if id(callback) not in always and not isinstance(callback, (SaveConfigCallback, RunManifest, Teacher))
    ]
    selection = next((one for one in chosen if isinstance(one, BatchSelection)), None)
    others = [type(one).__name__ for one in chosen if one is not selection]
    batches = "shuffled" if selection is None else type(selection.strategy).__name__
    if isinstance(model, FittedModel):
        length = "one fit of all training rows" if model.fits == 1 else f"{model.fits} fits of all training rows"
    else:
        epochs = "no limit of" if trainer.max_epochs in (None, -1) else f"at most {trainer.max_epochs}"
        length = f"{epochs} epochs, learning rate {model.optimization.learning_rate:g}"
    return [
        f"model {type(model).__name__} on {type(data).__name__}, loss {type(model.loss).__name__}",
        f"decision rule: {thresholds.rule.describe()}",
        _selection(standing["checkpoint"], standing["early_stopping"]),
        f"batches: {batches}; {_global_batch(data, trainer)}",
        f"callbacks: {', '.join(others) or 'none but the standing ones'}",
        f"{length}, precision {trainer.precision}, seed {'none' if seed is None or seed is False else seed}",
    ]


def _selection(checkpoint: ModelCheckpoint, stopping: EarlyStopping) -> str:
    if checkpoint.monitor is None:
        kept = "the last epoch is kept"
    else:
        kept = f"the epoch with the {'highest' if checkpoint.mode == 'max' else 'lowest'} {checkpoint.monitor} is kept"
    what = "it" if stopping.monitor == checkpoint.monitor else stopping.monitor
    return f"{kept}; stop after {stopping.patience} epochs in which {what} has not improved"


def _global_batch(data: EmotionDataModule, trainer: Trainer) -> str:
    """Rows per optimizer step, and what they consist of."""
    accumulated, processes = trainer.accumulate_grad_batches, trainer.world_size
    rows = data.rows_per_batch(processes, accumulated)
    factors = [f"{rows} rows"]
    if accumulated > 1:
        factors.append(f"{accumulated} accumulated batches")
    if processes > 1:
        factors.append(f"{processes} processes")
    total = rows * accumulated * processes
    return f"{total} rows per step" + (f" ({' × '.join(factors)})" if len(factors) > 1 else "")
