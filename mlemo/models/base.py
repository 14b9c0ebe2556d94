"""What all models share: steps, metrics, optimizers, and a checkpoint that stands alone."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from mlemo.batch import Batch, DataInput, ModelOutput, StepOutput
from mlemo.labels import LabelSpace
from mlemo.losses import BinaryCrossEntropy, Loss
from mlemo.losses.base import MultiTermLoss
from mlemo.losses.controller import WeightController
from mlemo.metrics import MultiLabelMetrics
from mlemo.models.optimization import Optimization
from mlemo.paths import Recorded
from mlemo.seeding import seed_step, step_seed

__all__ = ["MultiLabelModel", "Parts"]

#: Name of a setting -> how the part that it stands for is built.
Parts = Mapping[str, partial[Any]]


class MultiLabelModel(Recorded, LightningModule):
    """Base of all models: ``forward(batch) -> logits (B, C)``, one logit a label, in canonical label order.

    Args:
        label_space: The labels (from the data; the command line links it).
        loss: Any loss of mlemo; that of ``default_parts`` if left out.
        optimization: How the network is trained; that of ``default_parts`` if left out.
    """

    #: What is built for a setting that is left out; the command line shows it as the default.
    default_parts: ClassVar[Parts] = {
        "loss": partial(BinaryCrossEntropy),
        "optimization": partial(Optimization),
    }
    loss_weight: float = 1.0  #: of the loss beside a network's own terms
    tells_sample_losses: bool = False  #: whether training steps say the loss of each sample, for callbacks that ask

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
        self.metrics = nn.ModuleDict({stage: MultiLabelMetrics(self.label_space) for stage in ("val", "test")})

    def _save_plain_hyperparameters(self) -> None:
        """Keep the settings in the checkpoint, as plain values only.

        The command line gives the loss and other parts as config. Where a model is made in Python they are objects,
        which a checkpoint must not hold; a trained model can be used without them.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is an instance of `nn.Module`.*")
            self.save_hyperparameters()
        if "_class_path" not in self.hparams:
            self.hparams["label_space"] = self.label_space.as_dict()
            self.remove_ignored_hparams([name for name, value in self.hparams.items() if not _is_plain(value)])
            self._hparams_initial = copy.deepcopy(self._hparams)  # what loggers write

    @property
    def data_input(self) -> DataInput:
        """What the model asks of the data."""
        raise NotImplementedError(f"{type(self).__name__} must define data_input")

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``(B, C)`` in canonical label order."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def outputs(self, batch: Batch) -> ModelOutput:
        """Logits, and what a network adds to the loss or tells it; what depends on labels does so in training only.

        A network that is trained on its loss alone defines `forward` only.
        """
        return ModelOutput(self(batch))

    @property
    def inferences(self) -> tuple[str, ...]:
        """Names of the ways in which the model predicts: that of validation and test, then those of ``other_logits``.

        Each has probabilities of its own, and a decision rule that is fitted on them.
        """
        return ("forward",)

    @property
    def prediction_inference(self) -> str:
        """The one of ``inferences`` that `predict_logits` uses."""
        return self.inferences[0]

    def predict_logits(self, batch: Batch) -> Tensor:
        """Logits ``(B, C)`` of new texts, by ``prediction_inference``."""
        return self(batch)

    def objective(self, batch: Batch, output: ModelOutput) -> Tensor:
        """``loss_weight · loss(logits) + Σ terms``, the scalar that training minimises."""
        loss = self.loss_weight * self.loss(**_judged(batch, output))
        for term in output.terms.values():
            loss = loss + term.mean()
        return loss

    @torch.no_grad()
    def sample_losses(self, batch: Batch, output: ModelOutput) -> Tensor | None:
        """``loss_weight · loss_i + Σ terms_i``, the part of each sample in the objective, ``(B,)``.

        Terms without values of the samples are left out; ``None`` where the loss has none, see `Loss.per_sample`.
        """
        values = self.loss.per_sample(**_judged(batch, output))
        return None if values is None else self.loss_weight * values + output.of_samples()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Name the class, so that a checkpoint can be loaded without knowing what it holds."""
        checkpoint["model_class"] = f"{type(self).__module__}.{type(self).__qualname__}"

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let a trained model be loaded for use with another loss than it was trained with."""
        if self._trainer is not None and self.trainer.state.fn in (None, TrainerFn.FITTING):
            return
        own = self.loss.state_dict(prefix="loss.")
        saved = {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("loss.")}
        if {name: value.shape for name, value in saved.items()} != {name: value.shape for name, value in own.items()}:
            for name in saved:
                del checkpoint["state_dict"][name]
            checkpoint["state_dict"].update(own)

    def load_base(self, checkpoint: Mapping[str, Any]) -> None:
        """Load what a checkpoint names and does not hold, before its content is loaded; by default there is nothing."""

    def on_fit_start(self) -> None:
        """Show the loss the training labels; warn where it will not see the batch that it is meant to judge."""
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
                f"{', '.join(partial)} judges a batch as a whole and will see parts of it: gradient accumulation cuts "
                "it into micro-batches, and several processes share it out unless the loss has gather: true"
            )

    # steps ------------------------------------------------------------------------------------------------------

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout by epoch and batch, so that a resumed run continues exactly; begin an epoch of the loss."""
        seed_step(step_seed(self.current_epoch, batch_idx, self.global_rank))
        if batch_idx == 0:  # Lightning skips on_train_epoch_start where it resumes behind the last batch of an epoch
            for part in self.loss.modules():
                if isinstance(part, WeightController):
                    part.start_epoch()

    def training_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Logits and loss of one batch."""
        output = self._step(batch)
        # not for Lightning's bar, which reads what it is to show in every step; that of mlemo shows it (ProgressBar)
        self.log("train/loss", output["loss"].detach(), batch_size=len(batch["index"]))
        for name, value in output.get("diagnostics", {}).items():
            self.log(f"model/{name}", value, batch_size=len(batch["index"]))
        return output

    def validation_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Logits and loss of one batch, counted in the validation metrics."""
        return self._evaluation_step("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Logits and loss of one batch, counted in the test metrics."""
        return self._evaluation_step("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Logits of one batch."""
        return {"logits": self.predict_logits(batch), "index": batch["index"]}

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics at threshold 0.5."""
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        """Log the test metrics at threshold 0.5."""
        self._log_metrics("test")

    def _step(self, batch: Batch) -> StepOutput:
        output = self.outputs(batch)
        # before the objective, as a loss may learn from each batch that it judges
        asked = self.training and self.tells_sample_losses
        sample_losses = self.sample_losses(batch, output) if asked else None
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

    def _evaluation_step(self, stage: str, batch: Batch) -> StepOutput:
        output = self._step(batch)
        probabilities = output["logits"].float().sigmoid()
        self._metrics(stage).update(probabilities, batch["labels"], mask=batch["label_mask"])
        self.log(f"{stage}/loss", output["loss"], batch_size=len(batch["index"]), sync_dist=True)
        return {**output, "labels": batch["labels"], "label_mask": batch["label_mask"]}

    def _metrics(self, stage: str) -> MultiLabelMetrics:
        return cast(MultiLabelMetrics, self.metrics[stage])

    def _log_metrics(self, stage: str) -> None:
        metrics = self._metrics(stage)
        values = metrics.compute()
        metrics.reset()
        shown = {"micro_f1", "macro_f1", "jaccard"} if stage == "val" else set()
        for name, value in values.items():
            # all processes hold the same value, as torchmetrics has joined them; sync_dist only says so to Lightning
            self.log(f"{stage}/{name}", value, prog_bar=name in shown, sync_dist=True)

    # optimizer --------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """AdamW with a warm-up, and SGD for the weights of the loss where it learns any."""
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
        """Clip the network's gradients, and leave alone those of the loss's weights, which have their own optimizer.

        Lightning's own clipping refuses fused optimizers in mixed precision also where no gradient is scaled.
        """
        if not gradient_clip_val:
            return
        learnt_by_sgd = {id(parameter) for parameter in self.loss.weight_parameters()}
        network = [parameter for parameter in self.parameters() if id(parameter) not in learnt_by_sgd]
        if gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(network, gradient_clip_val)
        else:
            nn.utils.clip_grad_norm_(network, gradient_clip_val)


def _judged(batch: Batch, output: ModelOutput) -> dict[str, Any]:
    """What a loss is given; it takes the context that it knows and ignores the rest, so any goes with any model."""
    logits = output.logits if output.loss_logits is None else output.loss_logits
    known = {"logits": logits, "targets": batch["labels"], "mask": batch.get("label_mask")}
    return {**known, "label_order": batch.get("label_order"), "index": batch["index"], **output.context}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in (*value.keys(), *value.values()))
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool)
