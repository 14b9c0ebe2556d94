"""The base class of models that are fitted to all training rows at once, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import SGD, Optimizer

from mlemo.batch import Batch, StepOutput
from mlemo.labels import LabelSpace
from mlemo.losses import Loss
from mlemo.models.base import Parts
from mlemo.models.feature_model import FeatureModel
from mlemo.nn.features import TextFeatures
from mlemo.nn.tfidf import Tfidf

__all__ = ["FittedModel"]


class FittedModel(FeatureModel):
    """Base class of models that are fitted to all training rows at once, without gradients.

    An epoch is one fit, so that validation, decision rules, checkpoints and resuming are those of any training. A model
    with several candidates of a setting has an epoch per candidate, and the run's monitor (by default the macro average
    precision on validation) chooses among them. The number of epochs is ``fits``, whatever ``trainer.max_epochs`` is;
    the batch size has no effect, and training has one process.

    Args:
        label_space: The labels.
        features: Conversion of texts to vectors; by default the TF-IDF weights of words and characters, as sparse
            features. Not needed for tabular corpora.
        loss: A loss of mlemo, which is logged; nothing is trained on it.
    """

    default_parts: ClassVar[Parts] = {
        **FeatureModel.default_parts,
        "features": partial(Tfidf, width=None, terms=None),
    }

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        features: TextFeatures | None = None,
        loss: Loss | None = None,
    ) -> None:
        super().__init__(label_space, self.default_parts["features"]() if features is None else features, loss)
        self._default_features = features is None

    @property
    def fits(self) -> int:
        """Number of fits, one per candidate of a setting."""
        return 1

    def fit(self, features: Tensor, labels: Tensor, mask: Tensor, candidate: int = 0) -> None:
        """Fit the model, which has been created by ``build``.

        Args:
            features: ``(N, F)``, dense or sparse.
            labels: ``(N, C)``.
            mask: ``(N, C)`` bool, ``False`` where not annotated.
            candidate: Which candidate of a setting to fit with, from 0.
        """
        raise NotImplementedError(f"{type(self).__name__} must define fit")

    def configure_model(self) -> None:
        """Create the model before training, and set the number of epochs.

        Raises:
            ValueError: Training has several processes.
        """
        super().configure_model()
        if self._trainer is None or self.trainer.state.fn != TrainerFn.FITTING:
            return
        if self.trainer.world_size > 1:
            raise ValueError(
                f"{type(self).__name__} is fitted by one process, found {self.trainer.world_size}: set trainer.devices "
                "and trainer.num_nodes to 1"
            )
        self.trainer.limit_train_batches = 1  # the rows are read by `training_step` itself
        self.trainer.fit_loop.max_epochs = self.fits

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the features of the checkpoint, of any class where none were given."""
        if self._default_features and self.width is None:
            self.features = None
        super().on_load_checkpoint(checkpoint)

    @torch.no_grad()
    def training_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Fit the model to the training split, and compute the loss of one batch."""
        rows = self.trainer.datamodule.dataset("train", self.data_input)  # type: ignore[attr-defined]  # set by Trainer.fit
        self.fit(rows.features, rows.labels, rows.mask, self.current_epoch)
        return super().training_step(batch, batch_idx)

    def configure_optimizers(self) -> Optimizer:
        """Create an optimizer without parameters, for the count of steps."""
        return SGD([torch.zeros(0)], lr=0.0)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute no gradients."""

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Run the training step, which is the whole training."""
        if optimizer_closure is not None:
            optimizer_closure()
