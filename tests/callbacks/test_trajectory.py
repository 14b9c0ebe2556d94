"""Whole runs with the default selection, and the recorded outputs of every epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from mlemo import training
from mlemo.callbacks import Trajectory
from mlemo.callbacks.monitoring import MONITOR
from mlemo.cli import main
from mlemo.experiments import selection
from mlemo.metrics import MultiLabelMetrics
from mlemo.runs.predictions import read_predictions
from mlemo.thresholds import CrossFittedThreshold, PerClassThreshold, cross_fitted_decisions

WORDS = [
    "--data=SyntheticEmotions", "--data.size=80", "--data.val_size=40", "--data.test_size=40",
    "--model=FrozenHead", "--model.features=Tfidf", "--model.features.width=16", "--results.resamples=0",
    "--trainer.precision=32-true", "--trainer.accelerator=cpu", "--figures.every_n_epochs=0",
]  # fmt: skip


def fit(folder: Path, *words: str) -> Path:
    place = [f"--trainer.logger.save_dir={folder}", "--trainer.logger.version=run"]
    training.run("fit", [*WORDS, *place, *words])
    return folder / "run"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "runs"
    words = ["--trainer.callbacks+=Trajectory", "--trainer.max_epochs=3", "--checkpoint.save_top_k=1"]
    return fit(folder, *words)


def test_the_best_checkpoint_follows_the_monitor_of_early_stopping(recorded: Path, tmp_path: Path) -> None:
    default = yaml.safe_load((recorded / "config.yaml").read_text(encoding="utf-8"))
    assert default["early_stopping"]["monitor"] == default["checkpoint"]["monitor"] == MONITOR
    other = training.instantiate(["--early_stopping.monitor=val/loss", *WORDS, "--trainer.logger=false"])
    assert [(one.monitor, one.mode) for one in _savers(other.trainer)] == [("val/loss", "min"), (None, "min")]
    own = training.instantiate(["--checkpoint.monitor=val/jaccard", *WORDS, "--trainer.logger=false"])
    assert [one.monitor for one in _savers(own.trainer)] == ["val/jaccard", None]
    assert _savers(own.trainer)[0].mode == own.trainer.early_stopping_callback.mode == "max"


def _savers(trainer: Trainer) -> list[ModelCheckpoint]:
    return [one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]


def test_the_kept_epoch_and_its_scores_follow_from_the_recorded_outputs(recorded: Path) -> None:
    trajectory = selection.read_trajectory(recorded)
    assert trajectory.val.shape == (3, 40, 8)
    assert trajectory.test.shape == (3, 40, 8)
    table = selection.epoch_table(trajectory, lambda: PerClassThreshold(cross_fit=5))
    kept = selection.kept_epoch(table[MONITOR].tolist(), table["val/loss"].tolist())
    results = {split: json.loads((recorded / f"results_{split}.json").read_text()) for split in ("val", "test")}
    for name in ("macro_ap", "loss", "macro_f1", "jaccard", "tuned_macro_f1", "cross_fitted_macro_f1"):
        assert table[f"val/{name}"][kept] == pytest.approx(results["val"][name], abs=1e-6), name
    assert table["test/macro_ap"][kept] == pytest.approx(results["test"]["macro_ap"], abs=1e-6)
    for name in ("macro_f1", "jaccard", "micro_f1"):
        assert table[f"test/{name}"][kept] == pytest.approx(results["test"][f"tuned_{name}"], abs=1e-6), name


def test_the_optimism_of_the_thresholds_is_reported_beside_the_score(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = json.loads((recorded / "results_val.json").read_text(encoding="utf-8"))
    saved = read_predictions(recorded / "predictions_val.csv")
    metrics = MultiLabelMetrics(saved.label_space, sync_on_compute=False)
    decisions = cross_fitted_decisions(CrossFittedThreshold(), saved.probabilities, saved.gold, saved.mask)
    metrics.update(saved.probabilities, saved.gold, decisions=decisions, mask=saved.mask)
    for name in ("macro_f1", "jaccard", "micro_f1"):
        assert values[f"cross_fitted_{name}"] == pytest.approx(float(metrics.compute()[name]), abs=1e-6)
        assert values["optimism"][name] == pytest.approx(values[f"tuned_{name}"] - values[f"cross_fitted_{name}"])
    training.run("validate", [f"--ckpt_path={recorded}/checkpoints/best.ckpt", f"--trainer.logger.save_dir={tmp_path}"])
    assert f"macro_f1 {values['optimism']['macro_f1']:+.4f}" in capsys.readouterr().out


def test_some_test_rows_are_those_of_all(recorded: Path, tmp_path: Path) -> None:
    words = ["--trainer.callbacks+=Trajectory", "--trainer.callbacks.test_rows=10", "--trainer.max_epochs=3"]
    part = selection.read_trajectory(fit(tmp_path, *words))
    whole = selection.read_trajectory(recorded)
    rows = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:10].sort().values
    assert torch.allclose(part.test, whole.test[:, rows], atol=1e-6)
    assert torch.equal(part.targets["test"][0], whole.targets["test"][0][rows])
    assert torch.equal(part.val, whole.val)
    with pytest.raises(ValueError, match=r"Trajectory\.test_rows must be at least 1, found 0"):
        Trajectory(test_rows=0)


def test_the_comparison_scores_all_rules_on_the_same_trainings(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {"labels": {"corpus": "synthetic", "model": "FrozenHead"}, "seed": 1, "address": recorded.name}
    other = {**run, "labels": {**run["labels"], "corpus": "again"}}
    (recorded / "record.json").write_text(json.dumps({"address": "a", "results": {}, "seconds": 1}))
    folder = recorded.parent.parent
    (folder / "selection_small.json").write_text(json.dumps([run, other, {**run, "address": "not-trained"}]))
    result = main(["selection", str(folder)])["all"]
    assert "all: 2 trainings" in capsys.readouterr().out
    table = selection.epoch_table(selection.read_trajectory(recorded), CrossFittedThreshold)
    assert result.loc["oracle", "macro_f1"] == pytest.approx(table["test/macro_f1"].max())
    assert result.loc["last epoch", "macro_f1"] == pytest.approx(table["test/macro_f1"].iloc[-1])
    regret = result.loc["oracle", "macro_f1"] - result["macro_f1"]
    np.testing.assert_allclose(result["regret"], regret, atol=1e-12)
    assert (regret >= 0).all()


def test_a_run_without_recorded_epochs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no recorded epochs.*--trainer\.callbacks"):
        selection.read_trajectory(tmp_path)


def test_the_lowest_regret_is_that_of_the_rule_that_follows_the_test(tmp_path: Path) -> None:
    tables: dict[tuple[str, str, int], Any] = {}
    for number in range(4):  # the loss follows the test score, the average precision runs against it
        score = np.roll(np.linspace(0.2, 0.5, 5), number)
        columns = {name: -score if name in ("val/loss", "val/macro_ap") else np.zeros(5) for name in selection.MONITORS}
        tables[(f"corpus {number}", "model", 0)] = selection.pd.DataFrame(
            columns | {f"test/{name}": score for name in selection.SCORES}
        )
    result = selection.compare(tables, patience=None)
    assert result.loc["val/loss", "regret"] == pytest.approx(0)
    assert result.loc["val/macro_ap", "regret"] == pytest.approx(0.3)
    assert result.loc["val/loss", "difference"] == pytest.approx(0.3)
    assert result.loc["val/macro_f1", "regret"] == pytest.approx(0)  # constant: the lowest loss
