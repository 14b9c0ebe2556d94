"""GTHL-Emo with ``graph: memory``: one graph in training and use, with labels of neighbors but never a text's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from mlemo.callbacks import EMAWeights
from mlemo.data import Corpus
from mlemo.models import GTHLEmo
from mlemo.nn.graph_network import Kind
from mlemo.nn.memory import Memory

from .gthl_tester import ROWS, batch_of, with_labels

Maker = Callable[..., Any]
LABELS = {"graph": "memory", "neighbor_labels": True}


def in_training(model: GTHLEmo) -> GTHLEmo:
    """The model in training mode, without the noise of dropout."""
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    for layer in () if model.label_transformer is None else model.label_transformer.layers:
        layer.self_attn.eval()
    model.encoder.eval()
    return model


def remembered(model: GTHLEmo, module: Any, trainer: Maker) -> GTHLEmo:
    """The model with a memory of the training texts, as a training step of the module's labels has it."""
    run = trainer()
    run.datamodule = module
    model._trainer = run
    model.eval()
    model.remember()
    return model


@pytest.mark.parametrize("network", get_args(Kind))
@torch.no_grad()
def test_in_training_a_text_has_the_neighbors_that_a_new_text_would_have(
    network: Kind, gthl: Maker, corpus: Corpus, data: Maker, trainer: Maker
) -> None:
    model = remembered(gthl(network=network, dropout=0.0, **LABELS), data(), trainer)
    memory = model.memory
    assert memory is not None
    assert memory.labels is not None
    batch = batch_of(model, corpus, ROWS)
    trained = in_training(model).compute(batch, "memory").logits
    model.eval()
    for place, row in enumerate(ROWS):
        kept = memory.rows != row  # as if the text had never been in the memory
        model.memory = Memory(memory.states[:, kept], memory.rows[kept], memory.labels[kept])
        new = model.compute(batch_of(model, corpus, [row]), "memory").logits[0]
        torch.testing.assert_close(new, trained[place], atol=1e-5, rtol=0)


@pytest.mark.parametrize("depth", [1, 2, 3])
@torch.no_grad()
def test_a_text_never_receives_its_own_labels(
    depth: int, gthl: Maker, corpus: Corpus, data: Maker, trainer: Maker
) -> None:
    model = gthl(depth=depth, dropout=0.0, **LABELS)

    def logits(labels: Tensor) -> Tensor:
        module = data()
        module.corpus("train").labels.copy_(labels)
        remembered(model, module, trainer)
        return in_training(model)(batch_of(model, module.corpus("train"), list(range(len(corpus)))))

    before = logits(corpus.labels)
    others_changed = 0
    for row in ROWS:
        labels = corpus.labels.clone()
        labels[row] = (1 - labels[row]) * corpus.mask[row]
        assert not torch.equal(labels, corpus.labels)
        difference = (logits(labels) - before).abs().amax(1)
        assert difference[row] == 0
        others_changed += int((difference > 1e-4).sum())
    assert others_changed >= len(ROWS), "labels of neighbors must matter, or the test proves nothing"


@torch.no_grad()
def test_labels_of_the_batch_and_labels_that_are_not_annotated_do_not_matter(
    gthl: Maker, corpus: Corpus, data: Maker, trainer: Maker
) -> None:
    model = remembered(gthl(dropout=0.0, **LABELS), data(), trainer)
    batch = batch_of(model, corpus, ROWS)
    for mode in (in_training, GTHLEmo.eval):
        mode(model)
        assert torch.equal(model(with_labels(batch, lambda labels: 1 - labels)), model(batch))
    memory, before = model.memory, model(batch)
    assert memory is not None
    assert memory.labels is not None
    assert torch.equal(memory.labels, corpus.labels.bool()[memory.rows])
    assert (~corpus.mask).any()
    module = data()
    module.corpus("train").labels[~corpus.mask] = 1.0
    remembered(model, module, trainer)
    assert torch.equal(model(batch), before)
    # what this is compared with: labels that are annotated
    model.memory = Memory(memory.states, memory.rows, ~memory.labels)
    assert (model(batch) - before).abs().max() > 1e-3


class Memories(Callback):
    """Keeps the memory of each training step."""

    def __init__(self) -> None:
        self.of_steps: list[Any] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        self.of_steps.append(pl_module.memory)


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.filterwarnings("ignore:Found .* in eval mode at the start of training")
def test_each_training_epoch_has_a_memory_of_its_first_weights(
    validated: bool, gthl: Maker, data: Maker, trainer: Maker
) -> None:
    model, seen = gthl(memory_rows=12, **LABELS), Memories()
    model.encoder.eval()
    initial = {name: parameter.clone() for name, parameter in model.named_parameters()}
    unvalidated = {} if validated else {"limit_val_batches": 0}
    trainer(max_epochs=3, callbacks=seen, **unvalidated).fit(model, datamodule=data(batch_size=8))
    assert not model.encoder.training, "the modes of the modules are left as they were"
    assert model.graph_network is not None
    assert model.graph_network.training
    first, second, third = seen.of_steps[::3]
    assert seen.of_steps == [first] * 3 + [second] * 3 + [third] * 3
    assert not torch.equal(first.states, second.states)
    assert not torch.equal(second.states, third.states)
    assert len(first) == 12
    assert torch.equal(first.rows, third.rows)
    trained = model.label_embedding
    assert trained is not None
    assert not torch.equal(trained.weight, initial["label_embedding.weight"])
    assert (model.memory is not third) is validated, "a validation has the states of its own weights"


@pytest.mark.parametrize("step", [2, 3, 5])  # in the first epoch, at its end, and in the second; three steps per epoch
def test_a_resumed_training_equals_an_uninterrupted_one(
    step: int, gthl: Maker, data: Maker, trainer: Maker, tmp_path: Any
) -> None:
    def run(name: str, **settings: Any) -> dict[str, Any]:
        every = {"dirpath": tmp_path / name, "save_top_k": -1, "enable_version_counter": False}
        callbacks = [
            EMAWeights(decay=0.5),
            ModelCheckpoint(every_n_train_steps=1, filename="{step}", **every),
            ModelCheckpoint(filename="last", **every),
        ]
        fit = trainer(max_epochs=2, callbacks=callbacks, enable_checkpointing=True)
        fit.fit(gthl(memory_rows=15, **LABELS), datamodule=data(batch_size=8), **settings)
        return torch.load(tmp_path / name / "last.ckpt", weights_only=True)

    whole = run("whole")
    resumed = run("resumed", ckpt_path=tmp_path / "whole" / f"step={step}.ckpt", weights_only=True)
    assert resumed["global_step"] == whole["global_step"] == 6
    for part in ("state_dict", "current_model_state", "memory"):
        assert resumed[part].keys() == whole[part].keys()
        for name, tensor in whole[part].items():
            assert torch.equal(resumed[part][name], tensor), (part, name)


def test_mixed_precision_and_gradients(gthl: Maker, corpus: Corpus, data: Maker, trainer: Maker) -> None:
    for network in get_args(Kind):
        model = remembered(gthl(network=network, **LABELS), data(), trainer).train()
        batch = batch_of(model, corpus, ROWS)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model.objective(batch, model.outputs(batch))
        loss.backward()
        assert loss.isfinite()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        assert model.label_embedding is not None
        assert model.label_embedding.weight.grad.abs().sum() > 0
