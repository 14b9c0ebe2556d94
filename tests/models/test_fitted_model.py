"""Whole runs of the models that are fitted to all training rows at once."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor

import mlemo
from mlemo.cli import main
from mlemo.data import Corpus, EmotionDataModule, Split
from mlemo.labels import LabelSpace
from mlemo.models import ClassifierChain, FittedModel, Linear, NearestNeighbors
from mlemo.nn.features import TextFeatures
from mlemo.nn.logistic_regression import logistic_regression
from mlemo.nn.tfidf import Tfidf
from mlemo.runs.predictions import read_predictions

from .network_tester import LargestTensor, TinyTable, names

Maker = Callable[..., Any]
MODELS = ["Linear", "NearestNeighbors", "ClassifierChain"]
TEXTS = ["--data=SyntheticEmotions", "--data.size=60", "--data.val_size=24", "--data.test_size=16"]
TABLE = [f"--data={TinyTable.__module__}.{TinyTable.__qualname__}"]


def fit(folder: Path, model: str, *words: str) -> Any:
    small = ["--model.chains=2"] if model == "ClassifierChain" else []
    quiet = [f"--trainer.logger.save_dir={folder}", "--trainer.accelerator=cpu"]
    return main(["fit", f"--model={model}", *small, "--trainer.logger=CSVLogger", *quiet, *words])


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results_test.json").read_text())


@pytest.mark.parametrize("model", MODELS)
def test_a_run_on_texts_is_tested_loaded_and_used(model: str, tmp_path: Path) -> None:
    cli = fit(tmp_path, model, *TEXTS)
    folder = Path(cli.trainer.log_dir)
    assert json.loads((folder / "run.json").read_text())["state"] == "finished"
    predictions = read_predictions(folder / "predictions_test.csv")
    assert (predictions.probabilities.std(0) > 0).any()
    texts = cli.datamodule.corpus("test").texts
    classified = mlemo.load(folder)(texts)
    found = torch.tensor([list(one.probabilities.values()) for one in classified])
    torch.testing.assert_close(found, predictions.probabilities, atol=1e-5, rtol=0)
    decided = [predictions.label_space.decode(row) for row in predictions.decided.tolist()]
    assert [one.labels for one in classified] == decided
    checkpoint = folder / "checkpoints" / "best.ckpt"
    again = main(["test", f"--ckpt_path={checkpoint}", f"--trainer.logger.save_dir={tmp_path / 'again'}"])
    assert results(Path(again.trainer.log_dir)) == results(folder)


@pytest.mark.parametrize("model", MODELS)
def test_a_tabular_run_with_the_callbacks_of_networks(model: str, tmp_path: Path) -> None:
    words = ["--trainer.gradient_clip_val=1", "--trainer.accumulate_grad_batches=2", "--trainer.precision=bf16-mixed"]
    cli = fit(tmp_path, model, *TABLE, *words, "--trainer.callbacks=EMAWeights", "--trainer.max_epochs=1")
    folder = Path(cli.trainer.log_dir)
    assert cli.trainer.global_step == cli.model.fits
    assert results(folder)["macro_ap"] > 0.8
    again = main(["test", f"--ckpt_path={folder}", f"--trainer.logger.save_dir={tmp_path / 'again'}"])
    assert results(Path(again.trainer.log_dir)) == results(folder)
    with pytest.raises(ValueError, match=f"holds a .*{model} over a tabular corpus, which does not classify texts"):
        mlemo.load(folder)


def test_the_penalty_of_the_best_monitor_is_kept(tmp_path: Path) -> None:
    cli = fit(tmp_path, "Linear", *TEXTS, "--model.regularization=[1e-4, 3.0, 1e4]", "--model.features.width=12")
    scores = [line.split(",") for line in (Path(cli.trainer.log_dir) / "metrics.csv").read_text().splitlines()]
    column = scores[0].index("val/macro_ap")
    precision = [float(line[column]) for line in scores[1:] if line[column]][:3]
    assert len(set(precision)) == 3
    best = precision.index(max(precision))
    model = mlemo.load(cli.trainer.log_dir).model
    train = cli.datamodule.corpus("train")
    x, y = model.features(train.texts).double().numpy(), train.labels[:, 0].numpy() > 0
    weight, bias = logistic_regression(x, y, (1e-4, 3.0, 1e4)[best])
    torch.testing.assert_close(model.weight[0], torch.from_numpy(weight).float(), atol=1e-4, rtol=1e-3)
    assert model.bias[0].item() == pytest.approx(bias, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(Linear, {}), (NearestNeighbors, {}), (ClassifierChain, {"chains": 2, "regularization": (0.5, 2.0)})],
)
def test_a_resumed_run_fits_the_rest_alone(
    kind: type[FittedModel], settings: dict[str, Any], data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    fits: list[int] = []

    class Save(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.current_epoch}.ckpt")

    class Counted(kind):  # type: ignore[misc,valid-type]  # a class given as an argument
        def fit(self, features: Tensor, labels: Tensor, mask: Tensor, candidate: int = 0) -> None:
            fits.append(candidate)
            super().fit(features, labels, mask, candidate)

    def train(seed: int, **resume: Any) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        model = Counted(data().label_space, **settings)
        trainer(callbacks=Save()).fit(model, datamodule=data(batch_size=4), **resume)
        return model.state_dict()

    whole = train(0)
    count = len(fits)
    assert fits == list(range(count))
    fits.clear()
    resumed = train(1, ckpt_path=tmp_path / "0.ckpt", weights_only=True)
    assert fits == list(range(1, count))
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=0, rtol=0, msg=name)


def test_several_processes_are_refused(data: Maker, trainer: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer()
    monkeypatch.setattr(type(run), "world_size", 2)
    with pytest.raises(ValueError, match=r"Linear is fitted by one process, found 2: set trainer.devices"):
        run.fit(Linear(data().label_space), datamodule=data())


def test_features_are_sparse_unless_others_are_given() -> None:
    features = Linear(["joy"]).features
    assert isinstance(features, Tfidf)
    assert (features.width, features.terms) == (None, None)
    assert Linear(["joy"], Tfidf(width=3)).features.width == 3


class Lengths(TextFeatures):
    """Numbers of characters and words."""

    def __call__(self, texts: Any) -> Tensor:
        return torch.tensor([[len(text) / 100, len(text.split()) / 20] for text in texts])


@pytest.mark.parametrize("features", [None, Lengths(), Tfidf(width=3)], ids=["default", "own", "narrow"])
def test_a_checkpoint_brings_the_features_that_were_given(
    features: TextFeatures | None, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    model, module = Linear(data().label_space, features), data()
    run = trainer()
    run.fit(model, datamodule=module)
    run.save_checkpoint(tmp_path / "last.ckpt")
    loaded = mlemo.load(tmp_path).model
    assert type(loaded.features) is type(model.features)
    assert vars(loaded.features).get("width") == vars(model.features).get("width")
    batch = {"features": torch.rand(4, model.width)}
    assert torch.equal(loaded(batch), model(batch))


# memory ---------------------------------------------------------------------------------------------------------

WIDTH, ROWS = 100_000, 300


class Wide(TextFeatures):
    """Sparse features, of which a text has one."""

    def __call__(self, texts: Any) -> Tensor:
        places = torch.tensor([[row, int(text) * 7919 % WIDTH] for row, text in enumerate(texts)]).T
        return torch.sparse_coo_tensor(places, torch.ones(len(texts)), (len(texts), WIDTH), check_invariants=False)


class Numbers(EmotionDataModule):
    """Texts that are numbers."""

    @property
    def label_space(self) -> LabelSpace:
        return LabelSpace(tuple(names(3)))

    def read(self, split: Split) -> Corpus:
        labels = (torch.rand(ROWS, 3, generator=torch.Generator().manual_seed(0)) < 0.4).float()
        return Corpus(self.label_space, labels, [str(row) for row in range(ROWS)], [str(row) for row in range(ROWS)])


@pytest.mark.parametrize(
    "make", [Linear, NearestNeighbors, lambda *given: ClassifierChain(*given, chains=2)], ids=MODELS
)
def test_the_corpus_is_never_dense(make: Maker, trainer: Maker) -> None:
    model, module = make(LabelSpace(tuple(names(3))), Wide()), Numbers(batch_size=16, eval_batch_size=64)
    run = trainer()
    tracemalloc.start()
    with LargestTensor() as largest:
        run.fit(model, datamodule=module)
        run.test(model, datamodule=module, verbose=False)
    _, peak = tracemalloc.get_traced_memory()  # of NumPy's arrays
    tracemalloc.stop()
    assert model.width == WIDTH
    assert 0 < largest.entries <= 64 * WIDTH
    assert peak < 8 * ROWS * WIDTH / 4
