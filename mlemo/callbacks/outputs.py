"""What an evaluation epoch gave, whole: gathered over batches and processes, each sample once, in corpus order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from mlemo.models import MultiLabelModel
from mlemo.utils.serialization import Recorded

__all__ = ["Outputs", "OutputsCallback"]

Stage = Literal["val", "test", "predict"]


@dataclass(frozen=True)
class Outputs:
    """Probabilities and targets of one evaluation epoch, on the CPU, ordered by ``index``.

    Args:
        index: ``(N,)`` row in the corpus.
        probabilities: ``(N, C)`` float32.
        targets: ``(N, C)``.
        mask: ``(N, C)`` bool, False = not annotated.
        inference: The model's inference that gave ``probabilities`` (``MultiLabelModel.inferences``).
        others: ``(N, C)`` probabilities by the name of each further inference.
    """

    index: Tensor
    probabilities: Tensor
    targets: Tensor
    mask: Tensor
    inference: str = "forward"
    others: Mapping[str, Tensor] = field(default_factory=dict)


class OutputsCallback(Recorded, Callback):
    """Base of callbacks that work on the outputs of a whole validation or test epoch: override ``on_outputs``."""

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, ...]] = []
        self._others: tuple[str, ...] = ()

    def on_outputs(self, trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs) -> None:
        """Called at the end of each validation, test or prediction epoch, on every process."""
        raise NotImplementedError(f"{type(self).__name__} must define on_outputs")

    def _collect(self, outputs: Any, batch: Any) -> None:
        others = outputs.get("other_logits", {})
        self._others = tuple(others)
        probabilities = [logits.detach().float().sigmoid() for logits in (outputs["logits"], *others.values())]
        self._batches.append(
            (outputs["index"], probabilities[0], batch["labels"], batch["label_mask"], *probabilities[1:])
        )

    def _finish(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        batches, self._batches = self._batches, []
        if not batches or trainer.sanity_checking:
            return
        columns = [list(part) for part in zip(*batches)]
        batches.clear()
        parts = []
        while columns:  # where labels are many, each part is large, and freed before the next one
            parts.append(torch.cat(columns.pop(0)))
        if trainer.world_size > 1:
            parts = [torch.cat(gather_all_tensors(part)) for part in parts]
        order = parts[0].argsort()
        for place, part in enumerate(parts):
            parts[place] = part[order].cpu()
        index, probabilities, targets, mask, *others = parts
        model = cast(MultiLabelModel, pl_module)
        inference = model.prediction_inference if stage == "predict" else model.inferences[0]
        by_name = dict(zip(self._others, others))
        self.on_outputs(trainer, model, stage, Outputs(index, probabilities, targets, mask, inference, by_name))

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Keep the outputs."""
        self._collect(outputs, batch)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Keep the outputs."""
        self._collect(outputs, batch)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Keep the outputs."""
        self._collect(outputs, batch)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Forget the batches of an epoch that was broken off."""
        self._batches = []

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather, and hand over."""
        self._finish(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather, and hand over."""
        self._finish(trainer, pl_module, "test")

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather, and hand over."""
        self._finish(trainer, pl_module, "predict")
