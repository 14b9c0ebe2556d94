"""Early stopping that waits for the first validation."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer, callbacks

__all__ = ["EarlyStopping"]


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's early stopping, which is silent as long as nothing has been validated.

    A training that ends before its first validation (``--trainer.max_steps`` below an epoch) has no metric to monitor,
    and Lightning's own callback raises an error then.
    """

    _validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on there is a metric to check."""
        self._validated = not trainer.sanity_checking
        super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the metric, if there is one."""
        if self._validated:
            super().on_train_epoch_end(trainer, pl_module)
