"""Every YAML that is shipped can be parsed, and every experiment instantiated."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Trainer

from mlemo.data import EmotionDataModule
from mlemo.losses import Loss
from mlemo.models import BertWDL, FittedModel, MultiLabelModel
from mlemo.training import MlemoCLI, instantiate

CONFIGS = Path(__file__).parent.parent / "configs"
FILES = {kind: sorted((CONFIGS / kind).glob("*.yaml")) for kind in ("data", "model", "loss", "trainer", "experiment")}
BASE = ["--data=SyntheticEmotions", "--model=BertWDL"]


def test_every_file_is_covered() -> None:
    sweeps = set((CONFIGS / "sweep").glob("*.yaml"))  # not configs: tests/test_sweep.py reads them
    assert sorted({*CONFIGS.rglob("*.yaml")} - sweeps) == sorted(path for paths in FILES.values() for path in paths)
    assert all(FILES.values())


def build(*words: str) -> MlemoCLI:
    return instantiate([*words, "--trainer.accelerator=cpu", "--trainer.logger=false"])


def files_of(corpus: str) -> list[str]:
    """The labels of a dataset in MULAN form are known from its files alone."""
    return [f"--data.data_dir={Path(__file__).parent / 'data' / 'mulan'}"] if corpus == "Mulan" else []


@pytest.mark.parametrize("path", FILES["data"], ids=lambda path: path.stem)
def test_data(path: Path) -> None:
    corpus = yaml.safe_load(path.read_text())["class_path"]
    built = build("--data", str(path), *files_of(corpus), "--model=BertWDL")
    assert isinstance(built.datamodule, EmotionDataModule)
    assert type(built.datamodule).__name__ == corpus
    assert built.model.label_space == built.datamodule.label_space


@pytest.mark.parametrize("path", FILES["model"], ids=lambda path: path.stem)
def test_model(path: Path) -> None:
    built = build("--data=SyntheticEmotions", "--model", str(path))
    assert isinstance(built.model, MultiLabelModel)
    assert type(built.model).__name__ == yaml.safe_load(path.read_text())["class_path"]


@pytest.mark.parametrize("path", FILES["loss"], ids=lambda path: path.stem)
def test_loss(path: Path) -> None:
    built = build(*BASE, "--model.loss", str(path))
    assert isinstance(built.model.loss, Loss)
    assert type(built.model.loss).__name__ == yaml.safe_load(path.read_text())["class_path"]


@pytest.mark.parametrize("path", FILES["trainer"], ids=lambda path: path.stem)
def test_trainer(path: Path) -> None:
    words = [] if path.stem == "two_processes" else ["--trainer.accelerator=cpu"]
    built = instantiate([*BASE, "--trainer", str(path), "--trainer.logger=false", *words])
    assert isinstance(built.trainer, Trainer)
    expected = yaml.safe_load(path.read_text())
    assert built.trainer.max_epochs == expected.get("max_epochs", 100)


@pytest.mark.parametrize("path", FILES["experiment"], ids=lambda path: path.stem)
def test_experiment(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    built = build("--config", str(path), *files_of(config["data"]["class_path"]))
    assert type(built.model).__name__ == config["model"]["class_path"]
    assert type(built.datamodule).__name__ == config["data"]["class_path"]
    assert built.trainer.max_epochs == config["trainer"]["max_epochs"]
    if not isinstance(built.model, FittedModel):
        assert built.model.optimization.learning_rate == config["model"]["init_args"]["optimization"]["learning_rate"]


BERT_WDL = [path for path in FILES["experiment"] if path.stem.startswith("bert_wdl_")]
PRINTED = [path for path in BERT_WDL if not path.stem.startswith("bert_wdl_monotone_")]


@pytest.mark.parametrize("path", BERT_WDL, ids=lambda path: path.stem)
def test_bert_wdl_experiments_have_the_values_of_table_2(path: Path) -> None:
    built = build("--config", str(path))
    assert isinstance(built.model, BertWDL)
    settings = built.model.optimization
    assert (settings.learning_rate, settings.weight_decay, settings.warmup) == (3e-5, 0.01, 0.1)
    assert (settings.beta1, settings.beta2, settings.epsilon) == (0.9, 0.98, 1e-8)
    assert (settings.loss_learning_rate, settings.loss_momentum) == (0.01, 0.9)
    assert (built.datamodule.batch_size, built.model.max_length, built.trainer.max_epochs) == (16, 512, 100)
    assert (built.model.prompt, built.model.prompt_order, built.model.evaluation_orders) == (
        "words_masks",
        "sequential",
        1,
    )
    assert (built.model.san, built.model.heads, built.model.dropout) == ("labels", 12, 0.1)
    assert (built.model.loss.order, built.model.loss.permutation) == (1, "sampled")
    shuffle = next(callback for callback in built.trainer.callbacks if type(callback).__name__ == "LabelShuffle")
    assert (shuffle.k, shuffle.level) == (3, "input")


@pytest.mark.parametrize("path", PRINTED, ids=lambda path: path.stem)
def test_the_published_experiments_are_the_printed_recipe(path: Path) -> None:
    """Softmax of the weights (eq. 1), lowest validation loss (Algorithm 1), float32, and no tuned thresholds."""
    built = build("--config", str(path))
    assert built.model.loss.component_weights.weighting == "softmax"
    assert built.trainer.precision == "32-true"
    callbacks = {type(callback).__name__: callback for callback in built.trainer.callbacks}
    stopping, kept = callbacks["EarlyStopping"], built.trainer.checkpoint_callback
    assert (stopping.monitor, stopping.mode, stopping.patience) == ("val/loss", "min", 5)
    assert (kept.monitor, kept.mode) == ("val/loss", "min")
    rule = callbacks["ThresholdTuning"].rule
    assert (type(rule).__name__, rule.threshold) == ("FixedThreshold", 0.5)


def test_our_recipe_stands_beside_each_published_one() -> None:
    """They differ in nothing but the weights of the loss, the kept epoch, the decision rule and the precision."""
    for path in PRINTED:
        printed = yaml.safe_load(path.read_text())
        own = yaml.safe_load(path.with_stem(path.stem.replace("bert_wdl_", "bert_wdl_monotone_")).read_text())
        assert own["model"]["init_args"]["loss"]["init_args"].pop("weighting") == "monotone"
        assert printed["model"]["init_args"]["loss"]["init_args"].pop("weighting") == "softmax"
        del printed["trainer"]["precision"], printed["thresholds"], printed["checkpoint"]
        assert printed.pop("early_stopping")["patience"] == own.pop("early_stopping")["patience"]
        assert own == printed


def readme_commands() -> list[list[str]]:
    text = (CONFIGS.parent / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.startswith("mlemo fit ") and "--ckpt_path" not in line]
    return [shlex.split(line, comments=True)[2:] for line in lines]


@pytest.mark.parametrize("words", readme_commands(), ids=lambda words: " ".join(words)[:60])
def test_the_commands_of_the_readme_are_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    built = build(*words)
    assert isinstance(built.model, MultiLabelModel)
    named = dict(pairwise(words))
    for option, part in {"--data": built.datamodule, "--model": built.model, "--model.loss": built.model.loss}.items():
        if option in named and not named[option].endswith(".yaml"):
            assert type(part).__name__ == named[option]


def test_the_readme_has_commands() -> None:
    assert len(readme_commands()) >= 4
