from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lightning.pytorch.callbacks import ModelCheckpoint

import mlemo.metrics.intervals
from mlemo.callbacks import Results, ThresholdTuning
from mlemo.metrics import bootstrap_interval, expected_calibration_error
from mlemo.runs.predictions import read_predictions
from mlemo.thresholds import AtLeastOne, Calibrated, PerClassThreshold
from mlemo.utils.program import program

Maker = Callable[..., Any]


def test_the_printed_command_can_be_run_as_printed() -> None:
    done = subprocess.run([*shlex.split(program()), "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mlemo ")


@pytest.mark.parametrize(("found", "expected"), [(None, "-m mlemo"), ("/elsewhere/bin/mlemo", "-m mlemo")])
def test_a_name_that_is_not_this_environments_is_not_printed(
    found: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: found)
    assert program().endswith(expected)
    monkeypatch.setattr(shutil, "which", lambda name: str(Path(sys.executable).parent / "mlemo"))
    assert program() == "mlemo"


def test_validation_alone_is_printed_and_after_training_it_waits_for_the_test(
    classifier: Maker, data: Maker, trainer: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    model, module = classifier(), data()
    run = trainer(callbacks=Results())
    run.validate(model, datamodule=module, verbose=False)
    alone = capsys.readouterr().out
    assert "val at 0.5" in alone
    assert "test at 0.5" not in alone
    run.fit(model, datamodule=module)
    run.validate(model, datamodule=module, verbose=False)
    assert "val at 0.5" not in capsys.readouterr().out
    run.test(model, datamodule=module, verbose=False)
    together = capsys.readouterr().out
    assert "val at 0.5" in together
    assert "test at 0.5" in together


# the second trainer leaves out the checkpoint callback on purpose
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`.*")
def test_every_run_ends_with_its_scores_under_several_rules(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, module = classifier(), data()
    callbacks = [ThresholdTuning(PerClassThreshold()), Results(), ModelCheckpoint(dirpath=tmp_path, filename="end")]
    run = trainer(callbacks=callbacks, enable_checkpointing=True)
    run.fit(model, datamodule=module)
    assert not (tmp_path / "rules_val.csv").exists()  # nothing is compared after each epoch
    checkpoint = tmp_path / "end.ckpt"
    for evaluate in (run.validate, run.test):
        evaluate(model, datamodule=module, ckpt_path=checkpoint, verbose=False, weights_only=True)
    printed = capsys.readouterr().out
    assert "val / test" in printed
    assert "fixed threshold 0.5" in printed
    rules = {stage: pd.read_csv(tmp_path / f"rules_{stage}.csv", index_col="rule") for stage in ("val", "test")}
    for stage, scores in rules.items():
        assert list(scores.index) == [
            "fixed threshold 0.5",
            "largest expected f1",
            "one threshold for jaccard",
            "mean of the samples' best thresholds",
            "a threshold per class for f1 (exact)",
        ]
        results = json.loads((tmp_path / f"results_{stage}.json").read_text())
        for name in ("jaccard", "micro_f1", "macro_f1"):
            assert scores.loc["fixed threshold 0.5", name] == pytest.approx(results[name], abs=1e-6)
            assert scores.loc[results["rule"], name] == pytest.approx(results[f"tuned_{name}"], abs=1e-6)
    single = ["fixed threshold 0.5", "mean of the samples' best thresholds", "one threshold for jaccard"]
    assert rules["val"].loc[single, "jaccard"].idxmax() == single[2]
    assert rules["val"]["macro_f1"].idxmax() == "a threshold per class for f1 (exact)"
    # from the checkpoint alone: nothing is fitted on the test
    again = tmp_path / "again"
    run = trainer(callbacks=[ThresholdTuning(), Results()], default_root_dir=again)
    run.test(classifier(), datamodule=module, ckpt_path=checkpoint, verbose=False, weights_only=True)
    alone = pd.read_csv(again / "rules_test.csv", index_col="rule")
    kept = ["fixed threshold 0.5", "largest expected f1", "a threshold per class for f1 (exact)"]
    pd.testing.assert_frame_equal(alone, rules["test"].loc[kept])


def test_each_label_has_its_calibration_error_and_a_rule_without_cuts_leaves_its_state(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    tuning, model, module = ThresholdTuning(AtLeastOne(PerClassThreshold())), classifier(), data()
    run = trainer(callbacks=[tuning, Results()])
    run.validate(model, datamodule=module, verbose=False)
    corpus = module.corpus("val")
    probabilities = read_predictions(tmp_path / "predictions_val.csv").probabilities
    expected = expected_calibration_error(probabilities, corpus.labels, corpus.mask)
    table = pd.read_csv(tmp_path / "per_class_val.csv")
    assert table["calibration_error"].tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    stored = json.loads((tmp_path / "thresholds.json").read_text())
    assert stored == {"rule": tuning.rule.describe(), "state": tuning.rule.state_dict()}


def test_a_test_ends_with_intervals(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuning, model, module = ThresholdTuning(PerClassThreshold()), classifier(), data()
    run = trainer(callbacks=[tuning, Results(resamples=200)])
    run.validate(model, datamodule=module, verbose=False)
    assert "intervals" not in json.loads((tmp_path / "results_val.json").read_text())  # the rule was fitted on it
    run.test(model, datamodule=module, verbose=False)
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "results_test.json").read_text())
    corpus, probabilities = module.corpus("test"), read_predictions(tmp_path / "predictions_test.csv").probabilities
    for prefix, decisions in (("", probabilities >= 0.5), ("tuned_", tuning.decide(probabilities))):
        for name in ("jaccard", "macro_f1"):
            low, value, high = bootstrap_interval(name, decisions, corpus.labels, corpus.mask, resamples=200)
            assert results["intervals"][prefix + name] == pytest.approx([low, high], abs=1e-6)
            assert results[prefix + name] == pytest.approx(value, abs=1e-6)
            assert low < high
            assert f"[{low:.3f}, {high:.3f}]" in printed
    assert "macro_ap" in results["intervals"]
    positives = dict(zip(corpus.label_space.names, (corpus.labels * corpus.mask).sum(0).int().tolist()))
    assert results["few_positives"] == {name: count for name, count in positives.items() if count < 10}
    assert results["few_positives"]
    assert "fewer than 10 positives" in printed
    assert not {"tuned_macro_ap", "skipped_classes", "loss"} & set(results["intervals"])
    run = trainer(callbacks=[Results(resamples=0)])
    run.test(model, datamodule=module, verbose=False)
    assert not {"intervals", "bounded"} & set(json.loads((tmp_path / "results_test.json").read_text()))
    with pytest.raises(ValueError, match=r"Results\.resamples must be at least 0, found -1"):
        Results(resamples=-1)


@pytest.mark.parametrize("room", [200, 199])
def test_intervals_stay_within_the_budget_and_the_results_say_so(
    room: int,
    classifier: Maker,
    data: Maker,
    trainer: Maker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, module = classifier(), data()
    module.setup("test")
    corpus = module.corpus("test")
    monkeypatch.setattr(mlemo.metrics.intervals, "BUDGET", room * corpus.labels.numel())
    trainer(callbacks=[Results(resamples=1000)]).test(model, datamodule=module, verbose=False)
    results = json.loads((tmp_path / "results_test.json").read_text())
    printed = " ".join(capsys.readouterr().out.split())
    line = "200 resamples for the 95 % intervals" if room == 200 else "no 95 % intervals"
    shape = " texts × ".join(map(str, corpus.labels.shape))
    assert results["bounded"].startswith(f"{line}: 1,000 resamples of {shape} labels are above the ")
    assert line in printed
    assert ("intervals" in results) == (room == 200)
    if room == 200:
        decisions = read_predictions(tmp_path / "predictions_test.csv").probabilities >= 0.5
        low, _, high = bootstrap_interval("jaccard", decisions, corpus.labels, corpus.mask, resamples=200)
        assert results["intervals"]["jaccard"] == pytest.approx([low, high], abs=1e-6)


def test_what_makes_scores_doubtful_is_printed_and_in_the_results(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, module = classifier(), data()
    few_rows = "train: only 23 rows to learn from"
    few_folds = "val: 9 rows are few for thresholds of 5 labels fitted on 3 folds (fewer than 3 x 5 = 15)"
    for rule, lines in (
        (PerClassThreshold(cross_fit=3), [few_rows, few_folds]),
        (AtLeastOne(Calibrated(PerClassThreshold(cross_fit=3))), [few_rows, few_folds]),
        (PerClassThreshold(), [few_rows]),
        (None, [few_rows, few_folds.replace("3 folds", "5 folds").replace("3 x 5 = 15", "5 x 5 = 25")]),
    ):
        run = trainer(callbacks=[ThresholdTuning(rule), Results(resamples=0)])
        run.validate(model, datamodule=module, verbose=False)
        run.test(model, datamodule=module, verbose=False)
        printed = capsys.readouterr().out
        for stage in ("val", "test"):
            assert json.loads((tmp_path / f"results_{stage}.json").read_text())["warnings"] == lines
        assert [line for line in printed.splitlines() if line.startswith("warning: ")][-len(lines) :] == [
            f"warning: {line}" for line in lines
        ]
        assert ("few for thresholds" in printed) == (len(lines) == 2)


def test_rules_fitted_before_a_training_are_forgotten_by_it(
    classifier: Maker, data: Maker, trainer: Maker, tmp_path: Path
) -> None:
    model, module = classifier(), data()
    run = trainer(callbacks=Results())
    run.validate(model, datamodule=module, verbose=False)
    run.fit(model, datamodule=module)
    run.test(model, datamodule=module, verbose=False)
    found = pd.read_csv(tmp_path / "rules_test.csv", index_col="rule")
    assert list(found.index) == ["fixed threshold 0.5", "largest expected f1"]
