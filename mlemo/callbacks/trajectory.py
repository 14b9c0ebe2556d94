"""Records the outputs of every epoch, so that many rules of choosing an epoch are scored on one training."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from mlemo.callbacks.evaluation import OutputsCallback
from mlemo.callbacks.run_folder import run_folder
from mlemo.metrics.outputs import Outputs
from mlemo.models import MultiLabelModel
from mlemo.models.evaluation import Stage
from mlemo.runs.atomic import write_atomically

__all__ = ["FOLDER", "Trajectory"]

FOLDER = "trajectory"


class Trajectory(OutputsCallback):
    """Writes the validation and test probabilities of each training epoch into the run's folder.

    ``trajectory/targets.npz`` holds the gold labels and masks of both splits (``val_targets``, ``val_mask``,
    ``test_targets``, ``test_mask``; ``(N, C)`` bool), ``trajectory/epoch_000.npz`` the probabilities of the first epoch
    (``val``, ``test``; ``(N, C)`` float32) and its validation loss (``val_loss``). The test outputs are recorded for
    the comparison of selection rules afterwards; nothing in the training depends on them.

    Args:
        test_rows: Number of test rows, drawn at random with a fixed seed; ``None`` for all rows.

    Raises:
        ValueError: ``test_rows`` is below one, or the training has several processes.
    """

    def __init__(self, test_rows: int | None = None) -> None:
        super().__init__()
        if test_rows is not None and test_rows < 1:
            raise ValueError(f"Trajectory.test_rows must be at least 1, found {test_rows}")
        self.test_rows = test_rows

    def on_outputs(self, trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs) -> None:
        """Compute the test probabilities, and write the epoch."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if trainer.world_size > 1:
            raise ValueError(f"Trajectory records a training of one process, found {trainer.world_size} processes")
        folder = run_folder(trainer) / FOLDER
        test = trainer.datamodule.corpus("test")  # type: ignore[attr-defined]  # every mlemo datamodule has it
        rows = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[: self.test_rows].sort().values
        if not (folder / "targets.npz").exists():
            _save(
                folder / "targets.npz",
                val_targets=outputs.targets.bool(),
                val_mask=outputs.mask,
                test_targets=test.labels[rows].bool(),
                test_mask=test.mask[rows],
            )
        _save(
            folder / f"epoch_{trainer.current_epoch:03}.npz",
            val=outputs.probabilities,
            test=_probabilities(trainer, pl_module, rows),
            val_loss=trainer.callback_metrics["val/loss"],
        )


def _probabilities(trainer: Trainer, model: MultiLabelModel, rows: Tensor) -> Tensor:
    """Probabilities ``(N, C)`` of rows of the test split, in the precision of the training."""
    data = trainer.datamodule  # type: ignore[attr-defined]  # set by Trainer.fit
    dataset = data.dataset("test", model.data_input)
    by_length = dataset.lengths[rows].argsort(descending=True, stable=True)
    parts = []
    for part in rows[by_length].split(data.eval_batch_size):
        batch = trainer.strategy.batch_to_device(dataset.__getitems__(part))
        with trainer.precision_plugin.forward_context():
            parts.append(model.predict_logits(batch).float().sigmoid().cpu())
    return torch.cat(parts)[by_length.argsort()]


def _save(path: Path, **arrays: Tensor) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, **{name: array.cpu().numpy() for name, array in arrays.items()})  # type: ignore[arg-type]  # numpy types **kwds as allow_pickle
    write_atomically(path, stream.getbuffer())
