"""The outputs of an evaluation epoch: collected per batch, and gathered once over all processes at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from mlemo.batch import Batch, StepOutput, extras_of
from mlemo.metrics.outputs import Outputs

if TYPE_CHECKING:
    from mlemo.models.base import MultiLabelModel

__all__ = ["Evaluation", "Stage"]

Stage = Literal["val", "test", "predict"]


class Evaluation:
    """Outputs and metrics of one epoch of a model, shared by the model and all callbacks.

    The first reader at the end of the epoch gathers, on every process; further readers get the same objects.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, ...]] = []
        self._others: tuple[str, ...] | None = None
        self._extras: tuple[str, ...] = ()
        self._outputs: Outputs | None = None
        self._values: dict[str, Tensor] = {}

    def add(self, output: StepOutput, batch: Batch, batch_idx: int) -> None:
        """Keep the outputs of a batch; the first batch of an epoch drops those of an interrupted one."""
        if batch_idx == 0:
            self.clear()
        others, extras = output.get("other_logits", {}), extras_of(batch)
        self._others, self._extras = tuple(others), tuple(extras)
        first, *further = (logits.detach().float().sigmoid() for logits in (output["logits"], *others.values()))
        known = (output["index"], first, batch["labels"], batch["label_mask"])
        self._batches.append((*known, *further, *extras.values()))

    def clear(self) -> None:
        """Drop everything."""
        self._batches, self._others, self._outputs, self._values = [], None, None, {}

    def outputs(self, model: MultiLabelModel, stage: Stage) -> Outputs | None:
        """Return the outputs of the epoch, on the CPU; ``None`` without any row."""
        if self._outputs is None:
            self._gather(model, stage)
        return self._outputs

    def values(self, model: MultiLabelModel, stage: Stage) -> dict[str, Tensor]:
        """Return every metric at threshold 0.5 by name, on the device of the model; empty without any row.

        Raises:
            ValueError: There is no annotated entry.
        """
        self.outputs(model, stage)
        return self._values

    def _gather(self, model: MultiLabelModel, stage: Stage) -> None:
        processes = model.trainer.world_size
        if self._others is None:
            if processes == 1:
                return
            self._others = () if stage == "predict" else model.inferences[1:]
            corpus = model.trainer.datamodule.corpus("val" if stage == "val" else "test")  # type: ignore[attr-defined]  # every mlemo datamodule has it
            self._extras = tuple(corpus.extras)
            no_extras = [values[:0].to(model.device) for values in corpus.extras.values()]
            self._batches = [(*_no_rows(model, len(self._others)), *no_extras)]
        columns = [list(part) for part in zip(*self._batches)]
        self._batches = []
        parts = []
        while columns:  # where labels are many, each part is large, and freed before the next one
            parts.append(torch.cat(columns.pop(0)))
        if processes > 1:
            parts = [torch.cat(gather_all_tensors(part)) for part in parts]
        label_ap = None
        if stage != "predict":  # on the device of the model, where sorting many probabilities is fast
            index, probabilities, targets, mask, *_ = parts
            unordered = Outputs(index, probabilities, targets, mask)
            self._values = unordered.values()
            label_ap = unordered.label_average_precision.cpu()
            del unordered, index, probabilities, targets, mask
        order = parts[0].argsort()
        for place, part in enumerate(parts):
            parts[place] = part[order].cpu()
        index, probabilities, targets, mask, *further = parts
        inference = model.prediction_inference if stage == "predict" else model.inferences[0]
        others = dict(zip(self._others, further))
        extras = dict(zip(self._extras, further[len(others) :]))
        self._outputs = Outputs(index, probabilities, targets, mask, inference, others, label_ap, extras)


def _no_rows(model: MultiLabelModel, others: int) -> tuple[Tensor, ...]:
    """Parts of a process that has no row, which takes part in gathering all the same."""
    entries = torch.empty(0, len(model.label_space), device=model.device)
    index = torch.empty(0, dtype=torch.long, device=model.device)
    return (index, entries, entries, entries.bool(), *[entries] * others)
