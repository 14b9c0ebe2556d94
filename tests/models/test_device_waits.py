"""A training step never waits for its device: trainings on the meta device, whose tensors have no value to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.optim import SGD
from torch.overrides import TorchFunctionMode

from mlemo.callbacks import EMAWeights, FiniteLoss, LossWeightMonitor
from mlemo.losses import GradNorm, HybridLoss, WeightedDifferenceLoss
from mlemo.models import (
    BertWDL,
    ContrastiveClassifier,
    GTHLEmo,
    KimCNN,
    MultiLabelModel,
    TextModel,
    TransformerClassifier,
)
from mlemo.nn.words import WordVectors

from .gthl_tester import batch_of, remember

STEPS = 3


class Unreadable(CPUAccelerator):
    """An accelerator whose tensors can be computed with, and never read."""

    def setup_device(self, device: torch.device) -> None:
        """Nothing to set up."""


class OnMeta(SingleDeviceStrategy):
    def __init__(self) -> None:
        super().__init__(torch.device("meta"), accelerator=Unreadable())

    def teardown(self) -> None:
        """The model has no values that could be moved back."""


class NoBlockingCopy(TorchFunctionMode):
    """Refuses copies of values to the device, for which the host waits unless they are told not to block."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        name = getattr(function, "__name__", "")
        if name in ("tensor", "as_tensor", "new_tensor", "to", "copy_") and not kwargs.get("non_blocking"):
            source = args[name in ("new_tensor", "copy_")]
            is_copied = result.is_meta and not (isinstance(source, torch.Tensor) and source.is_meta)
            assert not is_copied, f"the host waits for a copy of {source}"
        return result


class Watch(Callback):
    """No copy from the second step on; the first one makes what stays."""

    def __init__(self) -> None:
        self.mode: NoBlockingCopy | None = None
        self.steps = 0

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        self.steps += 1
        if self.steps == 2:
            self.mode = NoBlockingCopy()
            self.mode.__enter__()

    def close(self) -> None:
        if self.mode is not None:
            self.mode.__exit__(None, None, None)


@pytest.fixture
def unread_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what transformers reads once per forward pass: whether the batch has padding (docs/scale.md)."""
    monkeypatch.setattr("transformers.masking_utils._ignore_bidirectional_mask_sdpa", lambda *args: False)


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Any, unread_padding: None) -> Callable[..., None]:
    """Trains a model for some steps in which nothing can be read."""
    # what Lightning reads before the first step
    monkeypatch.setattr("lightning.pytorch.loops.fit_loop.has_len_all_ranks", lambda *args: True)
    monkeypatch.setattr(Trainer, "_teardown", lambda *args: None)  # moves results to the host

    def run(model: MultiLabelModel, *callbacks: Callback) -> None:
        watch = Watch()
        every = 100 * STEPS
        trainer = Trainer(
            strategy=OnMeta(),
            devices=1,
            default_root_dir=tmp_path,
            callbacks=[watch, FiniteLoss(every), LossWeightMonitor(flush_every=every), *callbacks],
            max_steps=STEPS,
            gradient_clip_val=1.0,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            log_every_n_steps=every,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        monkeypatch.setattr(LossWeightMonitor, "_flush", lambda *args: None)
        monkeypatch.setattr(FiniteLoss, "on_train_epoch_end", lambda *args: None)
        model.optimization.optimizer = SGD  # the fused steps of the others know no meta device
        try:
            trainer.fit(model, datamodule=data(batch_size=5))
        finally:
            watch.close()
        assert watch.steps == STEPS

    return run


@pytest.mark.usefixtures("no_autocast")
def test_training_with_its_callbacks_never_waits(fit: Callable[..., None], source: Any, corpus: Any) -> None:
    loss = HybridLoss(controller=GradNorm(), class_weights="balanced")
    model = TransformerClassifier(corpus.label_space, source, loss)
    fit(model, EMAWeights())


def word_cnn(label_space: Any, source: Any) -> KimCNN:
    return KimCNN(label_space, WordVectors(width=6), heights=[2], filters=3)


MODELS: dict[str, Callable[..., TextModel]] = {
    "TransformerClassifier": TransformerClassifier,
    "BertWDL": lambda *parts: BertWDL(*parts, loss=WeightedDifferenceLoss(2)),
    "BertWDL, order-free": lambda *parts: BertWDL(*parts, prompt_order="free"),
    "ContrastiveClassifier": ContrastiveClassifier,
    "GTHLEmo without graph": lambda *parts: GTHLEmo(*parts, graph="none", label_heads=2),
    "GTHLEmo with its memory": lambda *parts: GTHLEmo(*parts, graph="memory", label_heads=2),
    "KimCNN over word vectors": word_cnn,
}
#: Have as many edges, or tokens, as the values of the batch say, so that the host has to know their number.
READING: dict[str, Callable[..., TextModel]] = {
    "GTHLEmo with a graph of the batch": lambda *parts: GTHLEmo(*parts, label_heads=2),
    "KimCNN over an encoder": lambda *parts: KimCNN(*parts, heights=[2], filters=3),
}


def step(model: TextModel, corpus: Any) -> None:
    model.build(lambda: corpus.texts)
    if isinstance(model, GTHLEmo):
        remember(model).memory.to(torch.device("meta"))
    batch = {name: part.to("meta") for name, part in batch_of(model, corpus, [3, 1, 4]).items()}
    model = model.to("meta").train()
    output = model.outputs(batch)
    model.sample_losses(batch, output)
    model.objective(batch, output).backward()


@pytest.mark.usefixtures("no_autocast", "unread_padding")
@pytest.mark.parametrize("name", [*MODELS, *READING])
def test_a_step_of_a_text_model_reads_nothing(name: str, source: Any, corpus: Any) -> None:
    model = (MODELS | READING)[name](corpus.label_space, source)
    if name in MODELS:
        step(model, corpus)
    else:
        with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
            step(model, corpus)
