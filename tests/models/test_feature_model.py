"""What models over feature vectors share, shown on one linear map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from mlemo.batch import Batch, FeatureInput
from mlemo.data import Corpus, EmotionDataModule, Split
from mlemo.inference import load
from mlemo.labels import LabelSpace
from mlemo.losses import FocalLoss
from mlemo.models import FeatureModel
from mlemo.nn.features import TextFeatures
from mlemo.nn.tfidf import Tfidf

Maker = Callable[..., Any]
SPACE = LabelSpace(("joy", "fear"))


class Head(FeatureModel):
    """One linear map, and the label frequencies of the training split."""

    def build_network(self, width: int, labels: Tensor) -> None:
        self.head = nn.Linear(width, len(self.label_space))
        self.register_buffer("frequency", labels.mean(0) if len(labels) else torch.zeros(len(self.label_space)))

    def forward(self, batch: Batch) -> Tensor:
        return self.head(batch["features"])


class Counted(TextFeatures):
    """Lengths in characters and words; remembers how often it was asked."""

    def __init__(self) -> None:
        self.fits: list[int] = []
        self.calls: list[int] = []
        self.longest = 0

    def fit(self, texts: Any) -> None:
        self.fits.append(len(texts))
        self.longest = max(len(text) for text in texts)

    def __call__(self, texts: Any) -> Tensor:
        self.calls.append(len(texts))
        return torch.tensor([[len(text) / self.longest, len(text.split())] for text in texts])

    def state_dict(self) -> dict[str, Any]:
        return {"longest": self.longest}

    def load_state_dict(self, state: Any) -> None:
        self.longest = state["longest"]


class Tabular(EmotionDataModule):
    """Random features."""

    @property
    def label_space(self) -> Any:
        return SPACE

    def read(self, split: Split) -> Corpus:
        generator = torch.Generator().manual_seed(len(split))
        features, labels = torch.randn(20, 6, generator=generator), torch.rand(20, 2, generator=generator)
        return Corpus(SPACE, (labels < 0.4).float(), [str(row) for row in range(20)], features=features)


def save(model: Any, path: Path, trainer: Maker) -> Path:
    run = trainer()
    run.strategy.connect(model)
    run.save_checkpoint(path)
    return path


def test_a_network_must_be_defined() -> None:
    with pytest.raises(NotImplementedError, match="FeatureModel must define build_network"):
        FeatureModel(["joy"]).build(3)
    assert FeatureModel(["joy"]).data_input == FeatureInput(None)


def test_texts_are_made_vectors_once_a_split(data: Maker, trainer: Maker) -> None:
    features = Counted()
    module = data(batch_size=4)
    model = Head(module.label_space, features)
    assert model.data_input == FeatureInput(features)
    assert list(model.parameters()) == []
    run = trainer(max_epochs=3)
    run.fit(model, datamodule=module)
    run.test(model, datamodule=module, verbose=False)
    assert features.fits == [23]  # the training split alone
    assert features.calls == [23, 9, 10]
    assert model.width == 2
    torch.testing.assert_close(model.frequency, module.corpus("train").labels.mean(0))


def test_tabular_corpora_need_no_text_features(trainer: Maker, tmp_path: Path) -> None:
    features, module = Counted(), Tabular(batch_size=4)
    for given in (None, features):
        model = Head(SPACE, given, loss=FocalLoss())
        run = trainer(max_epochs=1)
        run.fit(model, datamodule=module)
        assert model.width == 6
        assert model.data_input == FeatureInput(None)
        run.save_checkpoint(tmp_path / "given.ckpt")
        with pytest.raises(ValueError, match="over a tabular corpus, which does not classify texts"):
            load(tmp_path / "given.ckpt")
    assert features.fits == features.calls == []
    model = Head(SPACE)
    trainer().fit(model, datamodule=module)
    path = save(model.eval(), tmp_path / "last.ckpt", trainer)
    loaded = Head.load_from_checkpoint(path, weights_only=True).eval()
    rows = {"features": module.corpus("val").features}
    assert torch.equal(loaded(rows), model(rows))
    assert torch.equal(loaded.frequency, model.frequency)
    assert model.frequency.sum() > 0
    with pytest.raises(ValueError, match=r"holds a .*\.Head over a tabular corpus, which does not classify texts"):
        load(path)


def test_a_corpus_of_texts_asks_for_text_features(data: Maker, trainer: Maker) -> None:
    module = data()
    with pytest.raises(ValueError, match=r"reads feature vectors and the corpus has texts: set model\.features"):
        trainer().fit(Head(module.label_space), datamodule=module)


def test_a_checkpoint_brings_the_features_of_a_model_made_in_python(
    data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    module = data()
    model = Head(module.label_space, Tfidf(width=7), loss=FocalLoss())
    trainer().fit(model, datamodule=module)
    path = save(model.eval(), tmp_path / "last.ckpt", trainer)
    held = torch.load(path, weights_only=True)
    assert held["features"]["width"] == 7
    assert held["features"]["from_texts"]["class_path"] == "mlemo.nn.tfidf.Tfidf"
    assert "features" not in held["hyper_parameters"]
    texts = [*module.corpus("test").texts, "unseen words"]
    loaded = Head.load_from_checkpoint(path, weights_only=True).eval()
    assert torch.equal(loaded.features(texts), model.features(texts))
    expected = model({"features": model.features(texts)}).sigmoid()
    torch.testing.assert_close(load(path).probabilities(texts), expected, atol=1e-6, rtol=0)


def test_a_checkpoint_is_tested_without_a_training_text(data: Maker, trainer: Maker, tmp_path: Path) -> None:
    module = data()
    model = Head(module.label_space, Counted())
    trainer().fit(model, datamodule=module)
    expected = trainer().test(model, datamodule=module, verbose=False)[0]
    path = save(model, tmp_path / "last.ckpt", trainer)
    features = Counted()
    fresh, module = Head(module.label_space, features), data()
    found = trainer().test(fresh, datamodule=module, ckpt_path=path, weights_only=True, verbose=False)[0]
    assert found == pytest.approx(expected, nan_ok=True)
    assert features.fits == []
    assert fresh.features.calls == [10]  # the test split alone
    assert fresh.features.longest == model.features.longest


def test_a_network_that_was_never_made_is_not_scored(data: Maker, trainer: Maker) -> None:
    module = data()
    for evaluate in (trainer().validate, trainer().test, trainer().predict):
        with pytest.raises(ValueError, match="this Head has no network before training"):
            evaluate(Head(module.label_space, Counted()), datamodule=module)


def test_another_checkpoint_brings_its_own_vectors(data: Maker, trainer: Maker, tmp_path: Path) -> None:
    """The data keeps the vectors of a split, and must not give those of the features that were there before."""
    module, other = data(), data(train_rows=3)
    first, second = Head(module.label_space, Tfidf(width=7)), Head(module.label_space, Tfidf(width=3))
    trainer().fit(first, datamodule=module)
    trainer().fit(second, datamodule=other)
    expected = trainer().test(second, datamodule=other, verbose=False)[0]
    trainer().test(first, datamodule=module, verbose=False)
    path = save(second, tmp_path / "last.ckpt", trainer)
    found = trainer().test(first, datamodule=module, ckpt_path=path, weights_only=True, verbose=False)[0]
    assert found == pytest.approx(expected, nan_ok=True)
    assert first.width == 3


def test_a_checkpoint_of_the_same_features_keeps_the_vectors(data: Maker, trainer: Maker, tmp_path: Path) -> None:
    module = data()
    features = Tfidf(width=7)
    model = Head(module.label_space, features)
    run = trainer()
    run.fit(model, datamodule=module)
    path = save(model, tmp_path / "last.ckpt", trainer)
    run.test(model, datamodule=module, ckpt_path=path, weights_only=True, verbose=False)
    assert model.features is features


def test_a_resumed_run_is_the_unbroken_one(data: Maker, trainer: Maker, tmp_path: Path) -> None:
    class Save(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.current_epoch}.ckpt")

    def train(**resume: Any) -> Head:
        torch.manual_seed(0 if not resume else 1)
        model = Head(data().label_space, Tfidf(width=7))
        trainer(max_epochs=2, limit_val_batches=0, callbacks=Save()).fit(model, datamodule=data(batch_size=4), **resume)
        return model

    unbroken = train()
    resumed = train(ckpt_path=tmp_path / "0.ckpt", weights_only=True)
    assert torch.equal(resumed.head.weight, unbroken.head.weight)
    assert not torch.equal(resumed.head.weight, torch.load(tmp_path / "0.ckpt")["state_dict"]["head.weight"])
