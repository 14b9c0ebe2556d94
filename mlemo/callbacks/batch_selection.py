"""Batch selection: training batches drawn by the losses of the samples, for every model and corpus."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.utilities.distributed import gather_all_tensors

from mlemo.callbacks.run_folder import run_folder
from mlemo.callbacks.selection_strategies import Adaptive, Chain, Hard, Random, SelectionStrategy
from mlemo.data import EmotionDataModule
from mlemo.data.collate import BatchedCorpus
from mlemo.models.text_model import TextModel
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import SELECTION_LOSSES
from mlemo.samplers import SelectionOptions, SelectionSampler, minority_labels, put_losses
from mlemo.utils.serialization import Recorded

__all__ = ["Adaptive", "BatchSelection", "Chain", "Hard", "Random", "SelectionStrategy"]


class BatchSelection(Recorded, Callback):
    """Draws the training batches by the losses of the samples (Zhou et al. 2024), in place of shuffled passes.

    The loss of a sample is the binary cross-entropy of the logits that the training step returned, whatever loss the
    model is trained with; it costs no other forward pass, and no gradient:

        ℓ_i = mean over the annotated labels j of −y_ij log σ(x_ij) − (1 − y_ij) log(1 − σ(x_ij))

    The model's own loss of the sample is recorded too, if the model computes one (`MultiLabelModel.sample_losses`).
    The losses of all processes are gathered, and all draw from the same table. Tables are saved in checkpoints, and the
    place in the epoch in the state of the datamodule. To start several strategies from one warm-up, train with
    `Random`, and resume its checkpoint of the end of the warm-up with each of them. Batches are not grouped by length.
    Once an epoch are logged: ``selection/distinct``, share of the corpus that the epoch's batches held;
    ``selection/ratio``, largest probability over the smallest; ``selection/loss``, mean of the known losses that are
    drawn by; ``selection/correlation``, Pearson's, of both losses where both are known.

    Args:
        strategy: By default `Adaptive`.
        warmup_epochs: γ, epochs of shuffled passes, in which the losses get known.
        refresh: When new losses take effect: at the next ``"batch"``, as in the paper, or at the next ``"epoch"``.
        replacement: Whether a batch may hold a sample twice.
        short_last_batch: End an epoch with a smaller batch, as shuffled passes do.
        ranked_by: Draw by the cross-entropy, or by the model's own loss of each sample.
        record_epochs: After these epochs, counted from 1, the cross-entropies last seen of all samples are kept in the
            run's folder, in ``selection_losses.npz``: ``epochs`` (E,), ``losses`` (E, n), and ``minority_labels`` (n,),
            how many of its labels have IRLbl > MeanIR.

    Raises:
        ValueError: An unknown ranking, or epochs below 1. When training starts: there is no datamodule of mlemo, or the
            model cannot say its loss of each sample and is to be ranked by it.
    """

    default_parts: ClassVar[Mapping[str, partial[Any]]] = {"strategy": partial(Adaptive)}

    def __init__(
        self,
        strategy: SelectionStrategy | None = None,
        warmup_epochs: int = 3,
        refresh: Literal["batch", "epoch"] = "batch",
        replacement: bool = False,
        short_last_batch: bool = False,
        *,
        ranked_by: Literal["bce", "model"] = "bce",
        record_epochs: Sequence[int] = (),
    ) -> None:
        if ranked_by not in ("bce", "model"):
            raise ValueError(f"ranked_by must be 'bce' or 'model', found {ranked_by!r}")
        if any(epoch < 1 for epoch in record_epochs):
            raise ValueError(f"record_epochs are counted from 1, found {list(record_epochs)}")
        self.strategy = self.default_parts["strategy"]() if strategy is None else strategy
        self.ranked_by, self.record_epochs = ranked_by, tuple(record_epochs)
        self.options: SelectionOptions = {
            "warmup_epochs": warmup_epochs,
            "refresh": refresh,
            "replacement": replacement,
            "short_last_batch": short_last_batch,
        }
        self.sampler: SelectionSampler  # there as soon as the training batches are
        self.tables: dict[str, Tensor] = {}  #: latest losses (n,) of all samples, "bce" and "model"; infinite: none yet
        self.recorded: dict[int, Tensor] = {}  #: the first of them after an epoch

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the datamodule make its training batches with the sampler, and the model say its losses."""
        if stage == "fit":
            self.tables, self.recorded = {}, {}
            pl_module.returns_sample_losses = True  # type: ignore[assignment]  # to torch, attributes are modules
            datamodule = self._datamodule(trainer)
            features = pl_module.pretrained_features() if isinstance(pl_module, TextModel) else None
            datamodule.make_sampler = partial(self._make_sampler, datamodule, self.strategy.reading(features))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave datamodule and model as they were."""
        if stage == "fit":
            pl_module.returns_sample_losses = False  # type: ignore[assignment]
            datamodule = self._datamodule(trainer)
            datamodule.make_sampler = datamodule.shuffled

    def state_dict(self) -> dict[str, Any]:
        """Tables and records, for Lightning's checkpoints."""
        tables = {name: table.clone() for name, table in self.tables.items()}
        return {"tables": tables, "recorded": dict(self.recorded)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self.tables, self.recorded = dict(state_dict["tables"]), dict(state_dict["recorded"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have the sampler draw by the table that is asked for, also where a run before was ranked by the other."""
        for name in ("bce", "model"):
            self.tables.setdefault(name, torch.full((self.sampler.n,), torch.inf))
        self.sampler.losses = self.tables[self.ranked_by]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell the sampler the losses of the batch."""
        losses = {"bce": sample_losses(outputs["logits"], batch["labels"], batch["label_mask"])}
        if "sample_losses" in outputs:
            losses["model"] = outputs["sample_losses"]
        elif self.ranked_by == "model":
            raise ValueError(
                f"BatchSelection cannot rank by the model's loss: {type(pl_module.loss).__name__} judges a batch as a "
                "whole, or does not say the loss of each sample; ranked_by: bce goes with every loss"
            )
        # float64 holds row numbers exactly, so that rows and losses are one message
        rows = torch.stack([outputs["index"].double(), *(values.double() for values in losses.values())], 1)
        if trainer.world_size > 1:
            rows = torch.cat(gather_all_tensors(rows))
        index, *columns = rows.cpu().T
        for name, values in zip(losses, columns):
            if name == self.ranked_by:
                self.sampler.update(index, values)
            else:
                put_losses(self.tables[name], index, values)
        epoch = trainer.current_epoch + 1
        if trainer.is_last_batch and epoch in self.record_epochs:  # before a checkpoint of the epoch is written
            self.recorded[epoch] = self.tables["bce"].clone()
            self._write_records(trainer)

    @rank_zero_only
    def _write_records(self, trainer: Trainer) -> None:
        labels = self._datamodule(trainer).corpus("train").labels
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            epochs=np.array(list(self.recorded)),
            losses=torch.stack(list(self.recorded.values())).numpy(),
            minority_labels=labels[:, minority_labels(labels)].sum(1).long().numpy(),
        )
        write_atomically(SELECTION_LOSSES.path(run_folder(trainer)), stream.getbuffer())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what was selected."""
        probabilities, losses = self.sampler.probabilities(), self.sampler.losses
        values = {
            "distinct": self.sampler.seen.float().mean(),
            "ratio": probabilities.max() / probabilities.min(),
            "loss": losses[losses.isfinite()].mean(),
        }
        both = torch.stack([self.tables["bce"], self.tables["model"]]).double()
        both = both[:, both.isfinite().all(0)]
        if both.shape[1] > 1:
            values["correlation"] = both.corrcoef()[0, 1]
        for name, value in values.items():
            # all processes hold the same value; sync_dist is for Lightning's check
            pl_module.log(f"selection/{name}", value.float(), sync_dist=True)

    @staticmethod
    def _datamodule(trainer: Trainer) -> EmotionDataModule:
        datamodule = trainer.datamodule  # type: ignore[attr-defined]  # set by Trainer.fit
        if not isinstance(datamodule, EmotionDataModule):
            raise ValueError(
                f"BatchSelection makes the batches of a datamodule of mlemo, found {type(datamodule).__name__}; "
                "give Trainer.fit a datamodule"
            )
        return datamodule

    def _make_sampler(
        self,
        datamodule: EmotionDataModule,
        strategy: SelectionStrategy,
        data: BatchedCorpus,
        world_size: int,
        rank: int,
    ) -> SelectionSampler:
        options: SelectionOptions = {**self.options, "seed": datamodule.seed, "world_size": world_size, "rank": rank}
        self.sampler = strategy.sampler(data, datamodule.rows_per_batch(world_size), **options)
        return self.sampler


def sample_losses(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of every sample, the mean over its annotated labels.

    Args:
        logits: ``(B, C)``, of any precision.
        labels: ``(B, C)`` in [0, 1].
        mask: ``(B, C)`` bool, False = not annotated.

    Returns:
        ``(B,)`` float32; 0 for a sample without an annotated label.
    """
    losses = F.binary_cross_entropy_with_logits(logits.detach().float(), labels.float(), reduction="none")
    return losses.masked_fill(~mask, 0.0).sum(1) / mask.sum(1).clamp(min=1)
