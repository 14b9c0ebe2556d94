"""What all models share: steps, metrics, optimizers, and a checkpoint that stands alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from mlemo.batch import Batch, PromptLayout, StepOutput, TextInput
from mlemo.labels import LabelSpace
from mlemo.losses import BinaryCrossEntropy, Loss
from mlemo.losses.base import MultiTermLoss
from mlemo.metrics import MultiLabelMetrics
from mlemo.models.optimization import Optimization
from mlemo.nn.encoder import EncoderSource, Pretrained, max_length, restore_encoder, save_encoder
from mlemo.seeding import step_seed

__all__ = ["MultiLabelModel", "TextModel"]


class MultiLabelModel(LightningModule):
    """Base of all models: ``forward(batch) -> logits (B, C)``, one logit a label, in canonical label order.

    Args:
        label_space: The labels (from the data; the command line links it).
        loss: Any loss of mlemo.
        optimization: How the network is trained.
    """

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        loss: Loss | None = None,
        optimization: Optimization | None = None,
    ) -> None:
        super().__init__()
        self.label_space = LabelSpace.of(label_space)
        self._save_plain_hyperparameters()
        self.loss = BinaryCrossEntropy() if loss is None else loss
        self.optimization = Optimization() if optimization is None else optimization
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

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``(B, C)`` in canonical label order."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Name the class, so that a checkpoint can be loaded without knowing what it holds."""
        checkpoint["model_class"] = f"{type(self).__module__}.{type(self).__qualname__}"

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let a trained model be loaded for use with another loss than it was trained with."""
        if self._trainer is not None:
            return
        own = self.loss.state_dict(prefix="loss.")
        saved = {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("loss.")}
        if {name: value.shape for name, value in saved.items()} != {name: value.shape for name, value in own.items()}:
            for name in saved:
                del checkpoint["state_dict"][name]
            checkpoint["state_dict"].update(own)

    # steps ------------------------------------------------------------------------------------------------------

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout by the place in training, so that a resumed run goes on as the unbroken one would have."""
        torch.manual_seed(step_seed(self.current_epoch, batch_idx, self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Logits and loss of one batch."""
        output = self._step(batch)
        self.log("train/loss", output["loss"].detach(), prog_bar=True, batch_size=len(batch["index"]))
        return output

    def validation_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Logits and loss of one batch, counted in the validation metrics."""
        return self._evaluation_step("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Logits and loss of one batch, counted in the test metrics."""
        return self._evaluation_step("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Logits of one batch."""
        return {"logits": self(batch), "index": batch["index"]}

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics at threshold 0.5."""
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        """Log the test metrics at threshold 0.5."""
        self._log_metrics("test")

    def _step(self, batch: Batch) -> StepOutput:
        logits = self(batch)
        # every loss takes the context it knows and ignores the rest, so that any loss goes with any model
        loss = self.loss(logits, batch["labels"], batch.get("label_mask"), label_order=batch.get("label_order"))
        output: StepOutput = {"loss": loss, "logits": logits.detach(), "index": batch["index"]}
        if isinstance(self.loss, MultiTermLoss):
            output["components"] = self.loss.last_components
        return output

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


class TextModel(MultiLabelModel):
    """Base of models over a text encoder. The encoder is made when training starts and travels in the checkpoint.

    Args:
        label_space: The labels.
        encoder: A name on the hub, a local folder in its layout, or an ``EncoderSource``.
        loss: Any loss of mlemo.
        max_length: Longest input in tokens (less where the encoder has fewer positions).
        optimization: How the network is trained.
    """

    prompt: PromptLayout | None = None
    label_words: tuple[str, ...] | None = None
    encoder: Any  # a transformers model

    def __init__(
        self,
        label_space: LabelSpace | Sequence[str],
        encoder: EncoderSource | str = "bert-base-uncased",
        loss: Loss | None = None,
        max_length: int = 512,
        optimization: Optimization | None = None,
    ) -> None:
        super().__init__(label_space, loss, optimization)
        self.source = Pretrained(encoder) if isinstance(encoder, str) else encoder
        self.max_length = max_length
        self.tokenizer: Any = None
        self._files: dict[str, str] = {}
        self._text_input: TextInput | None = None

    def build_head(self, width: int) -> None:
        """Make the layers above the encoder, whose states have ``width`` dimensions."""
        raise NotImplementedError(f"{type(self).__name__} must define build_head")

    @property
    def text_input(self) -> TextInput:
        """What this model asks of the data.

        Raises:
            RuntimeError: The encoder has not been made yet.
        """
        if self._text_input is None:
            raise RuntimeError("the encoder is made when training starts or a checkpoint is loaded; call build() first")
        return self._text_input

    # the encoder's life -----------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Make the encoder as soon as a trainer is there; Lightning calls this before fit, test and predict."""
        if self.tokenizer is None and self._trainer is not None:
            self.build(self._training_texts)

    def build(self, texts: Callable[[], Sequence[str]] | None = None) -> None:
        """Make tokenizer, encoder and head.

        Args:
            texts: Function that gives the training texts, for a tokenizer that is trained on them.

        Raises:
            ValueError: The tokenizer is trained on texts, and there are none.
        """
        tokenizer = self.source.tokenizer(_no_texts if texts is None else texts)
        encoder = self.source.encoder(tokenizer)
        self._attach(encoder, tokenizer, save_encoder(encoder, tokenizer))

    def _training_texts(self) -> Sequence[str]:
        texts = self.trainer.datamodule.corpus("train").texts  # type: ignore[attr-defined]  # set by Trainer.fit
        return _no_texts() if texts is None else texts

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the tokenizer and the encoder's config into the checkpoint."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["encoder"] = self._files

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the tokenizer and the encoder's config from the checkpoint where they differ from what is there."""
        super().on_load_checkpoint(checkpoint)
        files = checkpoint["encoder"]
        if files != self._files:
            self._attach(*restore_encoder(files), files)

    def _attach(self, encoder: Any, tokenizer: Any, files: dict[str, str]) -> None:
        self.encoder, self.tokenizer, self._files = encoder, tokenizer, files
        self._text_input = TextInput(
            tokenizer=tokenizer,
            max_length=max_length(encoder, tokenizer, self.max_length),
            prompt=self.prompt,
            token_types=getattr(encoder.config, "type_vocab_size", 0) > 1,
            label_words=self.label_words,
        )
        self.build_head(encoder.config.hidden_size)
        self.to(self.device)

    def encode(self, batch: Batch, inputs_embeds: Tensor | None = None) -> Tensor:
        """Token states ``(B, L, d)`` of a batch."""
        inputs: dict[str, Tensor] = {"attention_mask": batch["attention_mask"]}
        if inputs_embeds is None:
            inputs["input_ids"] = batch["input_ids"]
        else:
            inputs["inputs_embeds"] = inputs_embeds
        if "token_type_ids" in batch:
            inputs["token_type_ids"] = batch["token_type_ids"]
        return self.encoder(**inputs).last_hidden_state


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in (*value.keys(), *value.values()))
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool)


def _no_texts() -> Sequence[str]:
    raise ValueError("this encoder's tokenizer is trained on texts, and there are none to train it on")
