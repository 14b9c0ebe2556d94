"""Training that starts from a trained model, with its labels or others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

import mlemo
from mlemo.callbacks import EMAWeights, WarmStart
from mlemo.cli import main
from mlemo.labels import LabelSpace
from mlemo.models import BertWDL, FrozenHead, GTHLEmo, TransformerClassifier
from mlemo.nn.encoder import FromScratch
from mlemo.nn.lora import Lora
from mlemo.nn.tfidf import Tfidf

Maker = Callable[..., Any]
OTHER = LabelSpace(("fear", "trust", "joy"))  # of the tiny corpus: joy, self_confidence, anger, fear, unease


@pytest.fixture
def start(classifier: Maker, trainer: Maker, tmp_path: Path) -> Path:
    """A run with an untrained classifier over five labels; its encoder is of no other size than the default one."""
    run = trainer()
    run.strategy.connect(classifier())
    run.save_checkpoint(tmp_path / "start" / "last.ckpt")
    return tmp_path / "start"


class Look(Callback):
    """Copy of the weights before the first step."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.weights = {name: weight.clone() for name, weight in pl_module.state_dict().items()}


@pytest.fixture
def other(data: Maker) -> Any:
    """Data with other labels: columns of the tiny ones, and one of zeros."""
    from dataclasses import replace

    class Other(data):  # type: ignore[misc, valid-type]  # a class that a fixture gives
        label_space = OTHER  # type: ignore[assignment]

        def read(self, split: Any) -> Any:
            corpus = super().read(split)
            labels = torch.stack([corpus.labels[:, 3], torch.zeros(len(corpus)), corpus.labels[:, 0]], 1)
            mask = torch.ones_like(labels, dtype=torch.bool)
            return replace(corpus, label_space=OTHER, labels=labels, mask=mask)

    return Other(batch_size=8)


def begun(model: Any, trainer: Maker, data: Any, *callbacks: Callback) -> dict[str, torch.Tensor]:
    look = Look()
    trainer(callbacks=[*callbacks, look], max_steps=1).fit(model, datamodule=data)
    return look.weights


@pytest.mark.parametrize("exported", [False, True])
def test_with_the_same_labels_all_weights_are_kept(exported: bool, start: Path, trainer: Maker, data: Maker) -> None:
    path = main(["export", str(start), "--output", str(start.parent / "out")]) if exported else start
    before = mlemo.load(start).model
    model = TransformerClassifier(before.label_space, FromScratch(layers=3, width=8, heads=1))
    weights = begun(model, trainer, data(batch_size=8), WarmStart(str(path)))
    assert weights.keys() == before.state_dict().keys()
    assert all(torch.equal(weight, before.state_dict()[name]) for name, weight in weights.items())
    assert model.tokenizer.get_vocab() == before.tokenizer.get_vocab()


def test_with_other_labels_rows_of_the_same_names_are_kept(
    start: Path, trainer: Maker, other: Any, caplog: pytest.LogCaptureFixture
) -> None:
    before = mlemo.load(start).model
    callback = WarmStart(str(start))
    with caplog.at_level(logging.INFO, "mlemo"):
        weights = begun(TransformerClassifier(OTHER), trainer, other, callback)
    for name in ("head.weight", "head.bias"):
        old = before.state_dict()[name]
        assert torch.equal(weights[name][[0, 2]], old[[3, 0]])
        assert not any(torch.equal(weights[name][1], row) for row in old)
    for name, weight in before.encoder.state_dict().items():
        assert torch.equal(weights[f"encoder.{name}"], weight)
    assert (callback.kept, callback.new) == (["head.weight", "head.bias"], [])
    assert callback.kept_labels == ["fear", "joy"]
    assert "labels with kept rows: fear and joy" in caplog.text or "labels with kept rows: fear, joy" in caplog.text


def test_another_kind_of_model_takes_the_encoder_and_what_fits(start: Path, trainer: Maker, data: Maker) -> None:
    before = mlemo.load(start).model
    callback = WarmStart(str(start))
    weights = begun(BertWDL(before.label_space), trainer, data(batch_size=8), callback)
    assert torch.equal(
        weights["encoder.embeddings.word_embeddings.weight"], before.encoder.embeddings.word_embeddings.weight
    )
    assert callback.kept == []
    assert callback.kept_labels == []
    assert {"head.weight", "head.bias"} < set(callback.new)


def test_columns_per_label_are_kept(source: Any, trainer: Maker, data: Maker, other: Any, tmp_path: Path) -> None:
    settings = dict(label_heads=2, graph="memory", neighbor_labels=True)
    run = trainer(max_epochs=1)
    run.fit(GTHLEmo(data().label_space, source, **settings), datamodule=data(batch_size=8))
    run.save_checkpoint(tmp_path / "run" / "last.ckpt")
    before = mlemo.load(tmp_path / "run").model.state_dict()
    weights = begun(GTHLEmo(OTHER, **settings), trainer, other, WarmStart(str(tmp_path / "run")))
    name = "label_embedding.weight"  # (d, C)
    assert torch.equal(weights[name][:, [0, 2]], before[name][:, [3, 0]])
    name = "label_transformer.embeddings"  # (C, d)
    assert torch.equal(weights[name][[0, 2]], before[name][[3, 0]])
    name = "pooling.score.weight"  # no labels
    assert torch.equal(weights[name], before[name])


def test_averages_start_from_the_kept_weights(start: Path, trainer: Maker, data: Maker) -> None:
    before = mlemo.load(start).model
    ema = EMAWeights()
    begun(TransformerClassifier(before.label_space), trainer, data(batch_size=8), WarmStart(str(start)), ema)
    average = ema._average_model.module.encoder.embeddings.position_embeddings.weight
    torch.testing.assert_close(average, before.encoder.embeddings.position_embeddings.weight, atol=1e-3, rtol=0)


def test_what_cannot_be_filled_is_refused(
    start: Path, trainer: Maker, data: Maker, pretrained: Path, tmp_path: Path
) -> None:
    space = data().label_space
    run = trainer()
    run.fit(FrozenHead(space, Tfidf(width=4)), datamodule=data(batch_size=8))
    run.save_checkpoint(tmp_path / "features" / "last.ckpt")
    for model, callbacks, message in (
        (FrozenHead(space, Tfidf(width=4)), [WarmStart(str(start))], "a FrozenHead, which has none"),
        (TransformerClassifier(space, Lora(str(pretrained))), [WarmStart(str(start))], "adapters on one"),
        (TransformerClassifier(space), [WarmStart(str(tmp_path / "features"))], "has no text encoder to start from"),
        (
            TransformerClassifier(space, str(pretrained)),
            [EMAWeights(), WarmStart(str(start))],
            "list WarmStart before EMAWeights",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            begun(model, trainer, data(batch_size=8), *callbacks)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        begun(TransformerClassifier(space), trainer, data(batch_size=8), WarmStart(str(tmp_path / "nowhere")))


def test_the_command_starts_from_a_run_and_continues(start: Path, tmp_path: Path) -> None:
    words = ["fit", "--data=SyntheticEmotions", "--data.size=24", "--data.val_size=12", "--data.test_size=12",
             "--model=TransformerClassifier", "--trainer.max_epochs=1", "--trainer.accelerator=cpu",
             "--trainer.precision=32-true", "--trainer.logger=CSVLogger", "--trainer.logger.name=",
             f"--trainer.logger.save_dir={tmp_path}", "--name=warm", "--results.resamples=0", "--test_after_fit=false",
             "--trainer.callbacks=WarmStart", f"--trainer.callbacks.path={start}"]  # fmt: skip
    cli = main(words)
    assert cli.model.tokenizer.get_vocab() == mlemo.load(start).model.tokenizer.get_vocab()
    # a checkpoint is complete: what it was started from may be gone
    trained = mlemo.load(tmp_path / "warm")
    assert trained.model.encoder.config.hidden_size == 32
    start.rename(tmp_path / "gone")
    again = main(["resume", str(tmp_path / "warm"), "--trainer.max_epochs=2"])
    assert again.trainer.current_epoch == 2
