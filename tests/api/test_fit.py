"""``mlemo.fit`` with objects: the run that ``mlemo fit`` makes of the same settings, to the last weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import mlemo
from mlemo.api import Experiment, TrainedRun, fit
from mlemo.cli import main
from mlemo.nn.tfidf import Tfidf
from mlemo.training.resolve import resolve

from .conftest import BASE


def test_objects_give_the_run_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = mlemo.data.SyntheticEmotions(size=32, val_size=16, test_size=16, batch_size=8)
    run = fit(
        data=data,
        model=mlemo.models.FrozenHead(data.label_space, features=Tfidf(width=8, terms=200)),
        loss=mlemo.losses.FocalLoss(gamma=1.0),
        rule=mlemo.thresholds.PerClassThreshold,
        callbacks=[mlemo.callbacks.EMAWeights(decay=0.9)],
        seed=3,
        name="objects",
        max_epochs=2,
        accelerator="cpu",
        logger={"class_path": "CSVLogger", "init_args": {"save_dir": "runs", "name": ""}},
    )
    words = (
        "--data SyntheticEmotions --data.size 32 --data.val_size 16 --data.test_size 16 --data.batch_size 8 "
        "--model FrozenHead --model.features Tfidf --model.features.width 8 --model.features.terms 200 "
        "--model.loss FocalLoss --model.loss.gamma 1 --thresholds.rule PerClassThreshold "
        "--trainer.callbacks+ EMAWeights --trainer.callbacks.decay 0.9 --seed_everything 3 --name command "
        "--trainer.max_epochs 2 --trainer.accelerator cpu --trainer.logger CSVLogger"
    )
    main(["fit", *words.split()])
    command = TrainedRun(tmp_path / "runs" / "command", run.config, "command")
    assert run.folder.resolve() == tmp_path / "runs" / "objects"
    assert run.is_done
    assert {path.name for path in run.folder.iterdir()} == {path.name for path in command.folder.iterdir()}
    for split in ("val", "test"):
        assert run.results(split) == command.results(split)
        assert run.predictions(split).equals(command.predictions(split))
    for name in ("thresholds.json", "config.yaml", "per_class_test.csv"):
        assert (run.folder / name).read_text() == (command.folder / name).read_text()
    ours, theirs = (
        torch.load(own.folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"] for own in (run, command)
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    manifest = json.loads((run.folder / "run.json").read_text())
    assert (manifest["state"], manifest["name"]) == ("finished", "objects")
    assert run.classifier("what a day").labels == command.classifier("what a day").labels
    with pytest.raises(ValueError, match="objects"):
        fit(BASE, name="objects")


def test_a_wrong_setting_is_no_exit_of_the_interpreter() -> None:
    with pytest.raises(ValueError, match="did you mean model"):
        fit(BASE, {"modl.san": "none"})
    with pytest.raises(TypeError, match="the trainer has no argument 'max_epoch'; did you mean 'max_epochs'"):
        fit(BASE, max_epoch=2)
    with pytest.raises(ValueError, match="FrozenHead was made for the labels a, b, and SyntheticEmotions has joy"):
        fit(data=mlemo.data.SyntheticEmotions(), model=mlemo.models.FrozenHead(["a", "b"]))


@pytest.mark.parametrize("name", ["small_bert_wdl", "gthl_emo_semeval2018_arabic", "dela_mulan_adaptive"])
def test_an_experiment_of_a_file_has_its_config(name: str) -> None:
    path = Path(__file__).parents[2] / "configs" / "experiment" / f"{name}.yaml"
    assert Experiment(path).config == resolve([f"--config={path}"])


def test_settings_go_over_the_base_and_named_arguments_over_them(tmp_path: Path) -> None:
    base = Experiment({"model": "BertWDL", "trainer": {"max_epochs": 2}}, {"model.san": "none"})
    made: dict[str, Any] = Experiment(
        base, {"model.san": "context", "trainer.max_epochs": 3}, max_epochs=5, seed=1
    ).config
    assert made["trainer"]["max_epochs"] == 5
    assert made["seed_everything"] == made["data"]["init_args"]["seed"] == 1
    assert made["model"]["init_args"]["san"] == "context"
    assert base.config["model"]["init_args"]["san"] == "none"
    assert repr(base) == 'Experiment: mlemo fit --model=BertWDL --trainer={"max_epochs": 2} --model.san=none'
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(ValueError, match=r"list.yaml: expected settings by key, found list"):
        Experiment(tmp_path / "list.yaml")
