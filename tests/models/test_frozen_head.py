"""The trained head on frozen features: the formula, and whole runs through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import mlemo
from mlemo.cli import main
from mlemo.data import Corpus
from mlemo.inference import load
from mlemo.models import FrozenHead, Optimization
from mlemo.nn.frozen_encoder import FrozenEncoder
from mlemo.nn.tfidf import Tfidf
from mlemo.runs.predictions import read_predictions

Maker = Callable[..., Any]


# the network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden_width", [None, 4])
def test_logits_by_hand(hidden_width: int | None) -> None:
    model = FrozenHead(["joy", "fear", "anger"], hidden_width=hidden_width, dropout=0.5)
    torch.manual_seed(0)
    model.build(7)
    model.eval()
    hidden = 7 if hidden_width is None else 4
    (w1, b1), (w2, b2) = [
        (layer.weight.detach().double(), layer.bias.detach().double()) for layer in (model.network[0], model.network[3])
    ]
    assert (w1.shape, w2.shape) == ((hidden, 7), (3, hidden))
    features = torch.randn(5, 7)
    expected = torch.empty(5, 3, dtype=torch.float64)
    for row, x in enumerate(features.double()):
        units = [max(0.0, float(sum(w1[unit] * x) + b1[unit])) for unit in range(hidden)]
        for label in range(3):
            expected[row, label] = sum(float(w2[label, unit]) * units[unit] for unit in range(hidden)) + b2[label]
    torch.testing.assert_close(model({"features": features}).double(), expected, atol=1e-6, rtol=0)


def test_dropout_is_on_the_representation_in_training_only() -> None:
    model = FrozenHead(["joy", "fear"], hidden_width=400, dropout=0.25)
    model.build(3)
    features = torch.rand(1, 3) + 1
    seen: list[torch.Tensor] = []
    model.network[3].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model.eval()({"features": features})
    model.train()({"features": features})
    whole, dropped = seen
    active = whole > 0
    kept = dropped[active] > 0
    assert 0.6 < kept.float().mean() < 0.9
    torch.testing.assert_close(dropped[active][kept], whole[active][kept] / 0.75)


@pytest.mark.usefixtures("unlogged")
def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    model = FrozenHead(["joy", "fear"])
    model.build(6)
    batch = {"features": torch.randn(8, 6), "labels": torch.ones(8, 2), "index": torch.arange(8)}
    model.training_step(batch, 0)["loss"].backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


# whole runs -----------------------------------------------------------------------------------------------------


def fit(tmp_path: Path, *words: str) -> Any:
    return main(
        [
            *["fit", "--data=SyntheticEmotions", "--data.size=40", "--data.val_size=16", "--data.test_size=16"],
            *["--model=FrozenHead", *words, "--model.optimization.learning_rate=1e-2"],
            *[f"--trainer.default_root_dir={tmp_path}", "--trainer.logger=CSVLogger"],
            f"--trainer.logger.save_dir={tmp_path}",  # no TensorBoard, so no pictures are drawn
            *["--trainer.max_epochs=1", "--trainer.precision=32-true", "--trainer.accelerator=cpu"],
        ]
    )


def frozen(pretrained: Path, tmp_path: Path) -> list[str]:
    return [
        "--model.features=FrozenEncoder",
        f"--model.features.encoder={pretrained}",
        f"--model.features.cache_dir={tmp_path / 'cache'}",
        "--model.features.bf16=false",
        "--model.features.batch_size=8",
    ]


def results(cli: Any) -> dict[str, Any]:
    return json.loads((Path(cli.trainer.log_dir) / "results_test.json").read_text())


def check_classifier(cli: Any) -> None:
    """The checkpoint alone gives the probabilities and decisions of the test."""
    folder = Path(cli.trainer.log_dir)
    predictions = read_predictions(folder / "predictions_test.csv")
    corpus = cli.datamodule.corpus("test")
    for classified in (mlemo.load(folder)(corpus.texts), [mlemo.load(folder)(text) for text in corpus.texts[:2]]):
        for row, result in enumerate(classified):
            expected = predictions.probabilities[row].tolist()
            assert list(result.probabilities.values()) == pytest.approx(expected, abs=1e-5)
            assert result.labels == corpus.label_space.decode(predictions.decided[row].tolist())
    assert (predictions.probabilities.std(0) > 0).all()


def test_a_run_from_the_cache_is_the_run_that_filled_it(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = frozen(pretrained, tmp_path)
    first = fit(tmp_path, *words)
    assert len(list((tmp_path / "cache").iterdir())) == 3  # train, val and test
    assert first.model.features.cache_hit is False
    check_classifier(first)
    monkeypatch.setattr(FrozenEncoder, "_load", lambda self: pytest.fail("the encoder was loaded"))
    second = fit(tmp_path, *words)
    assert second.model.features.cache_hit is True
    assert results(second) == results(first)


def test_a_moved_encoder_is_given_to_the_command_or_to_the_model(pretrained: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(pretrained, old)
    cli = fit(tmp_path, *frozen(old, tmp_path))
    checkpoint = Path(cli.trainer.log_dir) / "checkpoints" / "best.ckpt"
    old.rename(new)
    with pytest.raises(FileNotFoundError, match=r"encoder '.*/old' is neither a local folder"):
        load(checkpoint)
    shutil.rmtree(tmp_path / "cache")
    folder = f"--trainer.logger.save_dir={tmp_path / 'again'}"
    cache = f"--model.features.cache_dir={tmp_path / 'cache'}"  # a checkpoint names no folder that is written to
    again = main(["test", f"--ckpt_path={checkpoint}", f"--model.features.encoder={new}", cache, folder])
    assert results(again) == results(cli)
    assert len(list((tmp_path / "cache").iterdir())) == 1  # the test split alone was encoded
    model = FrozenHead.load_from_checkpoint(checkpoint, weights_only=True, features=FrozenEncoder(str(new)))
    assert model.features.encoder == str(new)
    with pytest.raises(ValueError, match="pooling was mean and is cls"):
        FrozenHead.load_from_checkpoint(checkpoint, weights_only=True, features=FrozenEncoder(str(new), "cls"))


def test_tfidf_features_need_no_encoder(tmp_path: Path) -> None:
    cli = fit(tmp_path, "--model.features=Tfidf", "--model.features.width=12", "--trainer.callbacks=EMAWeights")
    assert cli.model.width == 12
    check_classifier(cli)


def test_misspelt_features_are_answered_with_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fit(tmp_path, "--model.features=FrozenEncodr")
    assert "did you mean FrozenEncoder" in capsys.readouterr().err


def test_a_head_learns_from_a_models_features(
    pretrained: Path, data: Maker, trainer: Maker, corpus: Corpus, tmp_path: Path
) -> None:
    """Made in Python with objects: the encoder stays as it is, the head fits the training texts."""
    features = FrozenEncoder(str(pretrained), bf16=False, cache=False)
    optimization = Optimization(optimizer="adam", learning_rate=0.05, weight_decay=0, warmup=0, schedule="constant")
    model = FrozenHead(corpus.label_space, features, hidden_width=64, dropout=0, optimization=optimization)
    before = features(corpus.texts)
    run = trainer(max_epochs=60, limit_val_batches=0)
    run.fit(model, datamodule=data(batch_size=23))
    assert torch.equal(features(corpus.texts), before)
    assert [name for name, _ in model.named_parameters()] == [
        "network.0.weight", "network.0.bias", "network.3.weight", "network.3.bias",
    ]  # fmt: skip
    logits = model.eval()({"features": before})
    assert ((logits > 0) == corpus.labels.bool())[corpus.mask].float().mean() > 0.95
    run.save_checkpoint(tmp_path / "last.ckpt")
    torch.testing.assert_close(load(tmp_path).probabilities(corpus.texts), logits.sigmoid(), atol=1e-5, rtol=0)
    assert isinstance(load(tmp_path).model.features, FrozenEncoder)
    assert not isinstance(load(tmp_path).model.features, Tfidf)
