"""Start of a training from a trained model, also with other labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn

from mlemo.labels import LabelSpace
from mlemo.models import TextModel
from mlemo.nn.encoder import EncoderSource
from mlemo.nn.lora import Lora
from mlemo.runs.exported import is_exported, read_exported
from mlemo.runs.loading import find_checkpoint, load_model, read_checkpoint
from mlemo.utils.messages import enumerated
from mlemo.utils.serialization import Recorded

__all__ = ["WarmStart"]

log = logging.getLogger(__name__)


class _Trained(EncoderSource):
    """An encoder that is there already, with its tokenizer.

    Args:
        encoder: The encoder.
        tokenizer: Its tokenizer.
    """

    def __init__(self, encoder: nn.Module, tokenizer: Any) -> None:
        self._encoder, self._tokenizer = encoder, tokenizer

    def tokenizer(self, texts: Callable[[], Sequence[str]]) -> Any:
        """The tokenizer."""
        return self._tokenizer

    def encoder(self, tokenizer: Any) -> nn.Module:
        """The encoder, in training mode."""
        return self._encoder.train()


class WarmStart(Recorded, Callback):
    """Start from the encoder, the tokenizer and the head of a trained model, with its labels or with others.

    Of the head, what has the same name and shape is taken. In weights with one row per label (or one column), rows of
    labels with the same name are taken, and those of other labels stay new, as made by the model. Low-rank adapters of
    the trained model are merged into its encoder. ``model.encoder`` is not used, and the decision rule is fitted anew.

    Args:
        path: A folder of `mlemo export`, the folder of a run, or a checkpoint, of a model over a text encoder.

    Attributes:
        kept_labels: Labels whose rows were taken.
        kept: Names of the weights of the head that were taken, wholly or in rows.
        new: Names of those that were not.

    Raises:
        FileNotFoundError: There is no such model (when training starts).
        ValueError: The model, or the one to be trained, has no text encoder of its own, or ``EMAWeights`` is listed
            before.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.kept_labels: list[str] = []
        self.kept: list[str] = []
        self.new: list[str] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the encoder and the head, and fill them."""
        if stage != "fit":
            return
        if not isinstance(pl_module, TextModel) or isinstance(pl_module.source, Lora):
            raise ValueError(
                f"WarmStart fills the encoder of a {type(pl_module).__name__}, which has none or has adapters on one; "
                "expected a model over a text encoder (for new adapters, export the trained model and set "
                "model.encoder.base to the folder)"
            )
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by Trainer.__init__
        if any(isinstance(one, WeightAveraging) for one in takewhile(lambda one: one is not self, callbacks)):
            raise ValueError("the average would begin with other weights: list WarmStart before EMAWeights")
        if pl_module.tokenizer is not None:
            log.info("no warm start from %s: the model has an encoder already, that of a checkpoint", self.path)
            return
        start = self._load()
        pl_module.source = _Trained(start.encoder, start.tokenizer)
        pl_module.configure_model()
        self._fill(pl_module, start)
        if trainer.is_global_zero:
            labels = enumerated(self.kept_labels) if self.kept_labels else "none"
            log.info(
                "warm start from %s: the encoder; of the head %s; new in the head: %s; labels with kept rows: %s",
                self.path,
                enumerated(self.kept) if self.kept else "nothing",
                enumerated(self.new) if self.new else "nothing",
                labels,
            )

    def _load(self) -> TextModel:
        path = Path(self.path)
        if is_exported(path):
            model = load_model(read_exported(path), path)
        else:
            file = find_checkpoint(path)
            model = load_model(read_checkpoint(file), file)
        if not isinstance(model, TextModel):
            raise ValueError(f"{self.path} holds a {type(model).__name__}, which has no text encoder to start from")
        model.merge_adapters()
        return model

    @torch.no_grad()
    def _fill(self, model: TextModel, start: TextModel) -> None:
        before = start.state_dict()
        for name, weight in model.state_dict().items():
            if name.startswith(("encoder.", "loss.")):
                continue
            kept = name in before and _take(weight, before[name], model.label_space, start.label_space)
            (self.kept if kept else self.new).append(name)
        known = set(start.label_space.names) if self.kept else set()
        self.kept_labels = [label for label in model.label_space.names if label in known]


def _take(weight: Tensor, before: Tensor, labels: LabelSpace, labels_before: LabelSpace) -> bool:
    """Fill a weight from the same one of another model, by label where it has one row or column per label."""
    sizes = len(labels), len(labels_before)
    per_label = [dim for dim, both in enumerate(zip(weight.shape, before.shape)) if both == sizes]
    if labels.names == labels_before.names or not per_label:
        if weight.shape != before.shape:
            return False
        weight.copy_(before)
        return True
    dim = per_label[0]
    if weight.ndim != before.ndim or weight.select(dim, 0).shape != before.select(dim, 0).shape:
        return False
    shared = [label for label in labels.names if label in labels_before.names]
    rows = torch.tensor([labels.index(label) for label in shared], dtype=torch.long)
    rows_before = torch.tensor([labels_before.index(label) for label in shared], dtype=torch.long)
    weight.index_copy_(dim, rows, before.index_select(dim, rows_before))
    return bool(shared)
