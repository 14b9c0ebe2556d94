"""The base class of callbacks that read the outputs of a whole evaluation epoch."""

from __future__ import annotations

from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from mlemo.metrics.outputs import Outputs
from mlemo.models import MultiLabelModel
from mlemo.models.evaluation import Stage
from mlemo.utils.serialization import Recorded

__all__ = ["OutputsCallback"]


class OutputsCallback(Recorded, Callback):
    """Base of callbacks that work on the outputs of a whole validation or test epoch: override ``on_outputs``.

    The model collects and gathers the outputs once; all these callbacks get the same object, in their order.
    """

    def on_outputs(self, trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs) -> None:
        """Called at the end of each validation, test or prediction epoch, on every process."""
        raise NotImplementedError(f"{type(self).__name__} must define on_outputs")

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Have the model keep the outputs, which it does of its own in validation and test alone."""
        callbacks = trainer.callbacks  # type: ignore[attr-defined]  # set by Trainer.__init__
        if self is next(callback for callback in callbacks if isinstance(callback, OutputsCallback)):
            cast(MultiLabelModel, pl_module).evaluation.add(outputs, batch, batch_idx)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the outputs of the validation."""
        if not trainer.sanity_checking:
            self._read(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the outputs of the test."""
        self._read(trainer, pl_module, "test")

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the outputs of the prediction."""
        self._read(trainer, pl_module, "predict")

    def _read(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        model = cast(MultiLabelModel, pl_module)
        outputs = model.evaluation.outputs(model, stage)
        if outputs is not None:
            self.on_outputs(trainer, model, stage, outputs)
