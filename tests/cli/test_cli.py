"""Whole `mlemo` runs in this process: every corpus with both models, and what a run leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from mlemo.cli import main, script
from mlemo.runs.predictions import read_predictions

FIXTURES = Path(__file__).parents[1] / "data"

CORPORA = {
    "GoEmotions": ["--data.data_dir", str(FIXTURES / "goemotions")],
    "SemEval2018": ["--data.data_dir", str(FIXTURES / "semeval2018")],
    "SemEval2025": ["--data.data_dir", str(FIXTURES / "semeval2025"), "--data.language", "[eng, arq]"],
    "NLPCC2018": ["--data.data_dir", str(FIXTURES / "nlpcc2018")],
    "RenCECps": ["--data.data_dir", str(FIXTURES / "rencecps")],
    "ExaAEC": ["--data.data_dir", str(FIXTURES / "exaaec")],
    "TextFiles": ["--data.data_dir", str(FIXTURES / "files")],
    "SyntheticEmotions": ["--data.size", "40", "--data.val_size", "16", "--data.test_size", "16"],
}
TINY = [
    "--model.encoder=FromScratch",
    "--model.encoder.layers=1",
    "--model.encoder.width=32",
    "--model.encoder.heads=2",
    "--model.encoder.vocabulary=300",
    "--model.optimization.learning_rate=1e-3",
]


def without_pictures(folder: Path) -> list[str]:
    """Words of a logger for which nothing is drawn: more than half the time of a tiny run."""
    return ["--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={folder}", "--trainer.logger.name="]


def fit(
    tmp_path: Path,
    *words: str,
    model: str = "BertWDL",
    data: str = "SyntheticEmotions",
    epochs: int = 1,
    pictures: bool = False,
) -> Any:
    logger = [f"--trainer.logger.save_dir={tmp_path}"] if pictures else without_pictures(tmp_path)
    return main(
        [
            *["fit", f"--data={data}", *CORPORA[data], f"--model={model}", *TINY],
            *[f"--trainer.default_root_dir={tmp_path}", *logger],
            *[f"--trainer.max_epochs={epochs}", "--trainer.precision=32-true", "--trainer.accelerator=cpu", *words],
        ]
    )


@pytest.mark.parametrize("model", ["TransformerClassifier", "BertWDL"])
@pytest.mark.parametrize("data", CORPORA)
def test_every_corpus_with_every_model_is_fitted_tested_and_used(data: str, model: str, tmp_path: Path) -> None:
    words = ["--data.labels=[joy, anger, fear]", "--data.train=train.csv"] if data == "TextFiles" else []
    cli = fit(tmp_path, *words, model=model, data=data)
    folder = Path(cli.trainer.log_dir)
    checkpoint = folder / "checkpoints" / "best.ckpt"
    labels = cli.datamodule.label_space.names
    predictions = read_predictions(folder / "predictions_test.csv")
    assert predictions.ids == cli.datamodule.corpus("test").ids
    assert predictions.label_space.names == labels
    results = json.loads((folder / "results_test.json").read_text())
    assert 0 <= results["macro_f1"] <= 1
    assert 0 <= results["tuned_macro_f1"] <= 1
    classes = pd.read_csv(folder / "per_class_test.csv", keep_default_na=False)
    assert list(classes["label"]) == list(labels)
    assert classes["training_positives"].tolist() == cli.datamodule.corpus("train").labels.sum(0).tolist()
    for name, found in (("f1", "macro_f1"), ("tuned_f1", "tuned_macro_f1")):
        assert classes[name].mean() == pytest.approx(results[found], abs=1e-6)
    # from the checkpoint alone: the same figures to the last digit
    again = main(["test", f"--ckpt_path={checkpoint}", *without_pictures(tmp_path / "again")])
    assert json.loads((Path(again.trainer.log_dir) / "results_test.json").read_text()) == results
    # and the classifier gives what the test gave
    texts = cli.datamodule.corpus("test").texts
    classified = main(["classify", "--ckpt", str(checkpoint), "--json", *[f" {text}" for text in texts[:1]]])
    assert list(classified[0].probabilities) == list(labels)


def test_classifier_gives_the_probabilities_and_decisions_of_the_test(tmp_path: Path) -> None:
    import mlemo

    for words in ([], ["--trainer.callbacks=EMAWeights", "--trainer.callbacks.decay=0.9"]):
        cli = fit(tmp_path, *words)
        folder = Path(cli.trainer.log_dir)
        predictions = read_predictions(folder / "predictions_test.csv")
        results = mlemo.load(folder)(cli.datamodule.corpus("test").texts)
        names = predictions.label_space.names
        found = torch.tensor([[result.probabilities[name] for name in names] for result in results])
        torch.testing.assert_close(found, predictions.probabilities, atol=1e-5, rtol=0)
        decided = [predictions.label_space.decode(row) for row in predictions.decided.tolist()]
        assert [result.labels for result in results] == decided
        assert (predictions.probabilities.std(0) > 0).all()


def test_tensorboard_holds_components_weights_metrics_rates_pictures_and_settings(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    cli = fit(tmp_path, "--trainer.callbacks=LabelShuffle", "--trainer.log_every_n_steps=1", epochs=2, pictures=True)
    events = EventAccumulator(cli.trainer.log_dir, size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    wanted = {"loss/bce", "loss/d0", "loss/d1", "weight/bce", "weight/d0", "weight/d1", "train/loss", "val/macro_f1"}
    assert wanted <= set(tags["scalars"])
    assert any(tag.startswith("lr") for tag in tags["scalars"])
    assert len(events.Scalars("loss/d1")) == cli.trainer.global_step
    assert {"val/class_f1", "val/label_correlation", "test/class_f1"} <= set(tags["images"])
    settings = yaml.safe_load((Path(cli.trainer.log_dir) / "hparams.yaml").read_text())
    assert settings["encoder"]["class_path"].endswith("FromScratch")
    assert settings["label_space"]["names"] == list(cli.datamodule.label_space.names)
    rows = (Path(cli.trainer.log_dir) / "loss_weights.csv").read_text().splitlines()
    assert len(rows) == 1 + cli.trainer.global_step


def test_accumulation_clipping_and_mixed_precision_work_together(tmp_path: Path) -> None:
    words = [
        "--trainer.accumulate_grad_batches=2",
        "--trainer.gradient_clip_val=0.5",
        "--trainer.callbacks=LabelShuffle",
    ]
    cli = fit(tmp_path, *words, "--trainer.precision=bf16-mixed", "--data.batch_size=8", epochs=2)
    assert cli.trainer.global_step == 2 * 3  # 40 rows: 5 batches, 3 steps an epoch
    raw = cli.model.loss.weight_parameters()[0]
    assert torch.isfinite(raw).all()


@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")
def test_a_training_without_a_validation_ends_and_says_that_nothing_is_tested(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="nothing is tested: no validation in training chose a checkpoint"):
        cli = fit(tmp_path, "--trainer.max_steps=1", "--data.batch_size=8")
    assert cli.trainer.global_step == 1
    assert (Path(cli.trainer.log_dir) / "checkpoints" / "last.ckpt").is_file()
    assert not list(Path(cli.trainer.log_dir).glob("results_*"))


def test_early_stopping_still_refuses_a_metric_that_no_validation_has(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"early_stopping.monitor: there is no metric 'val/nothing'"):
        fit(tmp_path, "--early_stopping.monitor=val/nothing")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["fit", "--data=SemEvl2018", "--model=BertWDL"], "did you mean SemEval2018"),
        (["fit", "--data=SyntheticEmotions", "--model=BertWLD"], "did you mean BertWDL"),
        (["fit", "--data=SyntheticEmotions", "--model=BertWDL", "--model.loss=FocalLos"], "did you mean FocalLoss"),
        (["fit", "--data=SyntheticEmotions", "--model=BertWDL", "--model.encodr=x"], "did you mean encoder?"),
        (["fti"], "did you mean 'fit'"),
    ],
)
def test_misspelt_names_are_answered_with_the_nearest(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = "import sys, mlemo.cli; mlemo.cli.main(['--help']); sys.exit('torch' in sys.modules)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "classify" in done.stdout
    assert time.perf_counter() - start < 5  # the bound of half a second is measured on a quiet machine


def test_a_users_own_loss_is_named_by_dotted_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_parts.py").write_text(
        "from mlemo.losses import BinaryCrossEntropy\n\n\nclass HalfLoss(BinaryCrossEntropy):\n"
        "    def forward(self, *args, **kwargs):\n        return 0.5 * super().forward(*args, **kwargs)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cli = fit(tmp_path, "--model.loss=own_parts.HalfLoss", model="TransformerClassifier")
    assert type(cli.model.loss).__name__ == "HalfLoss"


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"2018-E-c-En-train\.txt"):
        main(["fit", "--data=SemEval2018", f"--data.data_dir={tmp_path}", "--model=BertWDL", *TINY])


def test_a_run_on_three_rows_ends_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli = fit(tmp_path, "--data.size=3", "--data.seed=1")
    (line,) = [line for line in cli.datamodule.warnings() if line.startswith("train: only 3 rows")]
    assert line in json.loads((Path(cli.trainer.log_dir) / "results_test.json").read_text())["warnings"]
    assert f"warning: {line}" in capsys.readouterr().out


def test_a_corpus_of_positives_and_blanks_is_not_trained(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,joy\n" + "glad,1\nbored,\n" * 30)
    words = ["fit", "--data=TextFiles", "--data.labels=[joy]", f"--data.train={tmp_path / 'rows.csv'}"]
    with pytest.raises(ValueError, match=r"columns 'joy' \(30 of 1, none of 0, 30 empty\)\. Set data\.empty"):
        main([*words, "--model=BertWDL", *TINY])


@pytest.mark.parametrize("name", ["missing.ckpt", "last", "best"])
def test_a_checkpoint_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=name):
        main(["fit", "--data=SyntheticEmotions", "--model=BertWDL", *TINY, f"--ckpt_path={name}"])


def test_an_interrupted_command_exits_with_the_status_of_a_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(words: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mlemo.cli.entry.main", interrupted)
    with pytest.raises(SystemExit) as ended:
        script(["compare", "a", "b"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "mlemo: interrupted\n"
