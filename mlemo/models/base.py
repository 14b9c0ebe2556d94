"""The base class of models: steps, metrics, optimizers, and self-contained checkpoints."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from mlemo.batch import Batch, DataInput, ModelOutput, StepOutput, extras_of, repeated
from mlemo.labels import LabelSpace
from mlemo.losses import BinaryCrossEntropy, Loss
from mlemo.losses.base import MultiTermLoss
from mlemo.losses.controller import WeightController
from mlemo.models.evaluation import Evaluation, Stage
from mlemo.models.optimization import Optimization
from mlemo.utils.seeding import seed_step, step_seed
from mlemo.utils.serialization import Recorded

__all__ = ["MultiLabelModel", "Parts"]

#: Name of a setting -> function that creates its part.
Parts = Mapping[str, partial[Any]]


class MultiLabelModel(Recorded, LightningModule):
    """Base of all models: ``forward(batch) -> logits (B, C)``, one logit a label, in canonical label order.

    Args:
        label_space: The labels (on the command line linked to those of the data).
        loss: A loss of mlemo; that of ``default_parts`` if left out.
        optimization: Settings of the optimization; those of ``default_parts`` if left out.
    """

    #: Default parts of settings that are left out, shown by the command line.
    default_parts: ClassVar[Parts] = {
        "loss": partial(BinaryCrossEntropy),
        "optimization": partial(Optimization),
    }
    loss_weight: float = 1.0  #: weight of the loss in a sum with a network's own terms
    needs_labels: bool = True  #: whether nothing can be learned from rows without labels
    returns_sample_losses: bool = False  #: whether training steps return the loss per sample, for callbacks

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        loss: Loss | None = None,
        optimization: Optimization | None = None,
    ) -> None:
        super().__init__()
        self.label_space = LabelSpace.of(label_space)
        self._save_plain_hyperparameters()
        self.loss = self.default_parts["loss"]() if loss is None else loss
        self.loss.bind(len(self.label_space))
        self.optimization = self.default_parts["optimization"]() if optimization is None else optimization
        self.evaluation = Evaluation()  #: outputs of the evaluation epoch, for callbacks

    def _save_plain_hyperparameters(self) -> None:
        """Save the settings in the checkpoint, as plain values only.

        The command line passes the loss and other parts as config. A model created in Python has objects instead, which
        a checkpoint must not contain; a trained model can be used without them.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is an instance of `nn.Module`.*")
            self.save_hyperparameters()
        if "_class_path" not in self.hparams:
            self.hparams["label_space"] = self.label_space.as_dict()
            self.remove_ignored_hparams([name for name, value in self.hparams.items() if not _is_plain(value)])
            self._hparams_initial = copy.deepcopy(self._hparams)  # for loggers

    @property
    def data_input(self) -> DataInput:
        """The input that the model needs from the data."""
        raise NotImplementedError(f"{type(self).__name__} must define data_input")

    def forward(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)`` in canonical label order."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def outputs(self, batch: Batch) -> ModelOutput:
        """Compute logits, additional loss terms and context for the loss; labels are used in training only.

        A network without additional terms defines `forward` only.
        """
        return ModelOutput(self(batch))

    @property
    def inferences(self) -> tuple[str, ...]:
        """Names of the model's inference modes: that of validation and test, then those of ``other_logits``.

        Each mode has its own probabilities and a decision rule fitted on them.
        """
        return ("forward",)

    @property
    def prediction_inference(self) -> str:
        """The inference mode of `predict_logits`."""
        return self.inferences[0]

    def predict_logits(self, batch: Batch) -> Tensor:
        """Compute logits ``(B, C)`` of new texts with ``prediction_inference``."""
        return self(batch)

    def objective(self, batch: Batch, output: ModelOutput) -> Tensor:
        """Compute ``loss_weight · loss(logits) + Σ terms``, the scalar that training minimizes."""
        loss = self.loss_weight * self.loss(**_judged(batch, output))
        for term in output.terms.values():
            loss = loss + term.mean()
        return loss

    @torch.no_grad()
    def sample_losses(self, batch: Batch, output: ModelOutput) -> Tensor | None:
        """Compute ``loss_weight · loss_i + Σ terms_i``, the contribution of each sample to the objective, ``(B,)``.

        Terms without values per sample are left out; ``None`` if the loss has none, see `Loss.per_sample`.
        """
        values = self.loss.per_sample(**_judged(batch, output))
        return None if values is None else self.loss_weight * values + output.of_samples()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the class name, so that a checkpoint can be loaded without knowing its model."""
        checkpoint["model_class"] = f"{type(self).__module__}.{type(self).__qualname__}"

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Allow loading a trained model with a different loss."""
        if self._trainer is not None and self.trainer.state.fn in (None, TrainerFn.FITTING):
            return
        own = self.loss.state_dict(prefix="loss.")
        saved = {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("loss.")}
        if {name: value.shape for name, value in saved.items()} != {name: value.shape for name, value in own.items()}:
            for name in saved:
                del checkpoint["state_dict"][name]
            checkpoint["state_dict"].update(own)

    def load_base(self, checkpoint: Mapping[str, Any]) -> None:
        """Load parts that a checkpoint names but does not contain, before its state; nothing by default."""

    def on_fit_start(self) -> None:
        """Prepare the loss with the training labels; warn if the loss needs whole batches but gets parts of them."""
        corpus = self.trainer.datamodule.corpus("train")  # type: ignore[attr-defined]  # set by Trainer.fit
        self.loss.observe(corpus.labels.to(self.device), corpus.mask.to(self.device))
        accumulated, shared = self.trainer.accumulate_grad_batches > 1, self.trainer.world_size > 1
        partial = [
            type(part).__name__
            for part in self.loss.modules()
            if getattr(part, "batchwise", False) and (accumulated or (shared and not getattr(part, "gather", False)))
        ]
        if partial:
            rank_zero_warn(
                f"{', '.join(partial)} is a loss of whole batches but gets parts of them: gradient accumulation splits "
                "a batch into micro-batches, and several processes divide it unless the loss has gather: true"
            )

    # steps ------------------------------------------------------------------------------------------------------

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout by epoch and batch, so that a resumed run continues exactly; prepare the loss and its batch."""
        seed_step(step_seed(self.current_epoch, batch_idx, self.global_rank))
        copies = max(getattr(part, "copies", 1) for part in self.loss.modules())
        if copies > 1:
            batch.update(repeated(batch, copies))
        if batch_idx == 0:  # Lightning skips on_train_epoch_start when resuming after the last batch of an epoch
            for part in self.loss.modules():
                if isinstance(part, Loss | WeightController):
                    part.start_epoch()

    def training_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Compute logits and loss of one batch."""
        output = self._step(batch)
        # not for Lightning's bar, which reads what it is to show in every step; that of mlemo shows it (ProgressBar)
        self.log("train/loss", output["loss"].detach(), batch_size=len(batch["index"]))
        for name, value in output.get("diagnostics", {}).items():
            self.log(f"model/{name}", value, batch_size=len(batch["index"]))
        return output

    def validation_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Compute logits and loss of one batch, and keep the outputs for the metrics of the epoch."""
        return self._evaluation_step("val", batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Compute logits and loss of one batch, and keep the outputs for the metrics of the epoch."""
        return self._evaluation_step("test", batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Compute the logits of one batch."""
        return {"logits": self.predict_logits(batch), "index": batch["index"]}

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics at threshold 0.5."""
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        """Log the test metrics at threshold 0.5."""
        self._log_metrics("test")

    def on_predict_epoch_end(self) -> None:
        """Drop the outputs that callbacks have read."""
        self.evaluation.clear()

    def _step(self, batch: Batch) -> StepOutput:
        output = self.outputs(batch)
        # before the objective, since a loss may update its state with each batch
        wanted = self.training and self.returns_sample_losses
        sample_losses = self.sample_losses(batch, output) if wanted else None
        loss = self.objective(batch, output)
        step: StepOutput = {"loss": loss, "logits": output.logits.detach(), "index": batch["index"]}
        if sample_losses is not None:
            step["sample_losses"] = sample_losses
        components = dict(self.loss.last_components) if isinstance(self.loss, MultiTermLoss) else {}
        components |= {name: term.detach().mean() for name, term in output.terms.items()}
        if components:
            step["components"] = components
        if output.other_logits:
            step["other_logits"] = {name: logits.detach() for name, logits in output.other_logits.items()}
        if output.diagnostics:
            step["diagnostics"] = {name: value.detach() for name, value in output.diagnostics.items()}
        return step

    def _evaluation_step(self, stage: Stage, batch: Batch, batch_idx: int) -> StepOutput:
        output = self._step(batch)
        self.evaluation.add(output, batch, batch_idx)
        self.log(f"{stage}/loss", output["loss"], batch_size=len(batch["index"]), sync_dist=True)
        return {**output, "labels": batch["labels"], "label_mask": batch["label_mask"]}

    def _log_metrics(self, stage: Stage) -> None:
        values = self.evaluation.values(self, stage)
        self.evaluation.clear()
        shown = {"micro_f1", "macro_f1", "jaccard"} if stage == "val" else set()
        for name, value in values.items():
            # the outputs of all processes are gathered; sync_dist only avoids Lightning's warning
            self.log(f"{stage}/{name}", value, prog_bar=name in shown, sync_dist=True)

    # optimizer --------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """Create AdamW with a warm-up, and SGD for the learned weights of the loss, if any."""
        optimizer, schedule = self.optimization.build(
            self,
            self.loss.weight_parameters(),
            int(self.trainer.estimated_stepping_batches),
            fused=self.trainer.precision != "16-mixed",  # a fused step would undo the loss scaling after the clipping
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients of the network, not those of the loss's weights, which have their own optimizer.

        Lightning's own clipping does not allow fused optimizers in mixed precision, even without scaled gradients.
        """
        if not gradient_clip_val:
            return
        learned_by_sgd = {id(parameter) for parameter in self.loss.weight_parameters()}
        network = [parameter for parameter in self.parameters() if id(parameter) not in learned_by_sgd]
        if gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(network, gradient_clip_val)
        else:
            nn.utils.clip_grad_norm_(network, gradient_clip_val)


def _judged(batch: Batch, output: ModelOutput) -> dict[str, Any]:
    """Return the context of the loss, which ignores entries that it does not use, so any loss works with any model."""
    logits = output.logits if output.loss_logits is None else output.loss_logits
    known = {"logits": logits, "targets": batch["labels"], "mask": batch.get("label_mask")}
    known |= {"label_order": batch.get("label_order"), "index": batch["index"]}
    return {**known, **extras_of(batch), **output.context}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in (*value.keys(), *value.values()))
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool)
