"""What a run leaves in the event files: curves of the training, tables of its evaluations, settings with scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from mlemo.callbacks.curve_logger import SCORES, CurveLogger, flat_settings
from mlemo.cli import main
from mlemo.reporting.curve_figures import read_scalars

LINEAR = ["--model=FrozenHead", "--model.features=Tfidf", "--model.optimization.learning_rate=1e-2"]
WORDS = [
    *["--data=SyntheticEmotions", "--data.size=40", "--data.val_size=16", "--data.test_size=16"],
    *["--data.batch_size=8", *LINEAR, "--model.loss=FocalLoss", "--model.loss.gamma=1.5", "--seed_everything=3"],
    *["--trainer.max_epochs=2", "--trainer.precision=32-true", "--trainer.accelerator=cpu", "--results.resamples=0"],
    *["--trainer.callbacks+=EMAWeights", "--figures.every_n_epochs=100"],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    cli = main(["fit", *WORDS, f"--trainer.logger.save_dir={place}", "--name=first"])
    assert type(cli.trainer.logger) is CurveLogger
    return place / "first"


def events_of(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return events


def table_of(events: EventAccumulator, stage: str) -> dict[str, list[str]]:
    (event,) = events.Tensors(f"{stage}/text_summary")
    lines = event.tensor_proto.string_val[0].decode().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: values for name, *values in cells}


def results(folder: Path, stage: str) -> dict[str, Any]:
    return json.loads((folder / f"results_{stage}.json").read_text())


def test_the_validation_of_the_best_checkpoint_adds_no_point_to_the_curves(folder: Path) -> None:
    curve = events_of(folder).Scalars("val/macro_f1")
    assert [event.step for event in curve] == [4, 9]
    assert read_scalars(folder)["val/macro_f1"]["epoch"].tolist() == [1, 2]


@pytest.mark.parametrize("stage", ["val", "test"])
def test_an_evaluation_is_a_table(stage: str, folder: Path) -> None:
    events, values = events_of(folder), results(folder, stage)
    head, *_ = table = table_of(events, stage)
    assert [head, *table[head]] == ["metric", "at 0.5", "tuned", *(["cross-fitted"] if stage == "val" else [])]
    for name in ("macro_f1", "jaccard"):
        expected = [values[prefix + name] for prefix in ("", "tuned_", "cross_fitted_") if prefix + name in values]
        assert [float(cell) for cell in table[name]] == pytest.approx(expected, abs=6e-5)
    assert float(table["macro_ap"][0]) == pytest.approx(values["macro_ap"], abs=6e-5)
    assert {tag for tag in events.Tags()["scalars"] if tag.startswith("test/")} == set(SCORES)


def test_settings_are_beside_the_test_scores(folder: Path) -> None:
    events = events_of(folder)
    assert "hp_metric" not in events.Tags()["scalars"]
    content = [HParamsPluginData.FromString(data) for data in events.PluginTagToContent("hparams").values()]
    (start,) = (data.session_start_info.hparams for data in content if data.HasField("session_start_info"))
    found = {name: value.string_value or value.number_value for name, value in start.items()}
    expected = {"data": "SyntheticEmotions", "data.size": 40, "model": "FrozenHead", "model.features": "Tfidf",
                "loss": "FocalLoss", "loss.gamma": 1.5, "optimization.learning_rate": 1e-2, "trainer.max_epochs": 2,
                "trainer.callbacks": "EMAWeights", "thresholds.rule": "CrossFittedThreshold",
                "seed_everything": 3}  # fmt: skip
    assert {name: found.get(name) for name in expected} == expected
    (experiment,) = (data.experiment for data in content if data.HasField("experiment"))
    assert {metric.name.tag for metric in experiment.metric_infos} == set(SCORES)
    values = results(folder, "test")
    for tag in SCORES:
        assert [event.value for event in events.Scalars(tag)] == pytest.approx([values[tag.removeprefix("test/")]])


def test_a_test_alone_and_other_loggers(folder: Path, tmp_path: Path) -> None:
    checkpoint = f"--ckpt_path={folder / 'checkpoints' / 'best.ckpt'}"
    main(
        ["test", checkpoint, f"--trainer.logger.save_dir={tmp_path / 'board'}", "--name=again", "--results.resamples=0"]
    )
    assert table_of(events_of(tmp_path / "board" / "again"), "test") == table_of(events_of(folder), "test")
    main(["test", checkpoint, "--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={tmp_path}",
          "--trainer.logger.name=csv", "--results.resamples=0"])  # fmt: skip
    (file,) = (tmp_path / "csv").rglob("metrics.csv")
    head, row = (line.split(",") for line in file.read_text().splitlines())
    written, values = dict(zip(head, row)), results(folder, "test")
    for name in ("macro_f1", "tuned_macro_f1", "ranking_loss"):
        assert float(written[f"test/{name}"]) == pytest.approx(values[name])


def test_settings_without_a_value_and_lists() -> None:
    config = {"data": {"class_path": "a.B", "init_args": {"size": None, "words": [1, 2]}}, "trainer": {"logger": False}}
    assert flat_settings(config) == {"data": "B", "data.words": "1, 2"}
