"""``mlemo sweep``: searches of tiny runs; killed, interrupted, shared, pruned, failed, and what is refused."""

from __future__ import annotations

import copy
import csv
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGSTOP, default_int_handler, signal
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from mlemo.cli import main
from mlemo.cli import sweep as command
from mlemo.experiments.executors import LocalExecutor
from mlemo.experiments.search import counted
from mlemo.experiments.sweep import sweep
from mlemo.experiments.sweep_file import load_sweep

SETTINGS = {
    "data": {"class_path": "SyntheticEmotions", "init_args": {"size": "${size}", "val_size": 40, "batch_size": 16}},
    "model": "FrozenHead",
    "model.features": {"class_path": "Tfidf", "init_args": {"width": 8, "terms": 200}},
    "seed_everything": 1,
    "trainer": {"max_epochs": 3, "precision": "32-true", "accelerator": "cpu"},
    "figures.every_n_epochs": 0,
}
SWEEP: dict[str, Any] = {
    "set": SETTINGS,
    "search": {
        "model.optimization.learning_rate": {"low": "1e-2", "high": 0.1, "log": True},
        "model.hidden_width": {"low": 4, "high": 16},
    },
    "metric": "macro_auroc",
    "direction": "maximize",
    "trials": 3,
    "seed": 3,
    "variables": {"size": 60},
}


def write(folder: Path, content: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def found(study: optuna.Study) -> list[tuple[dict[str, Any], float | None]]:
    """Settings and value of every finished trial; trials are worked on in any order."""
    return sorted(
        ((trial.params, trial.value) for trial in counted(study) if trial.state.is_finished()),
        key=lambda trial: sorted(trial[0].items()),
    )


def wait_for(folder: Path, pattern: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not any(folder.glob(pattern)):
        assert time.monotonic() < end, f"{pattern} did not come in {folder} in {seconds} s"
        time.sleep(0.005)


def test_a_sweep_that_was_broken_off_ends_as_an_unbroken_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, SWEEP)
    whole = main(["sweep", str(path), f"--folder={tmp_path / 'whole'}"])
    assert isinstance(whole, optuna.Study)
    assert len(found(whole)) == len({str(trial) for trial in found(whole)}) == 3
    out = capsys.readouterr().out
    assert "[3/3] trial 2: learning_rate" in out

    # the test split was not looked at, and the line that is printed trains the best trial again
    folder = tmp_path / "whole" / "mine"
    assert not list(folder.glob("trials/*/*test*"))
    assert len(list(folder.glob("trials/*/results_val.json"))) == 3
    assert [path.parent.name for path in folder.glob("trials/*/checkpoints")] == [
        f"trial_{whole.best_trial.number:04d}"
    ]
    line, from_file = (shlex.split(line) for line in out.splitlines() if line.startswith("  mlemo fit"))
    monkeypatch.chdir(tmp_path)
    main([*line[1:], "--test_after_fit=true"])
    again = json.loads((tmp_path / "runs" / "version_0" / "results_val.json").read_text())
    assert again["macro_auroc"] == pytest.approx(whole.best_value)
    config = yaml.safe_load(Path(from_file[-1]).read_text())
    assert config["model"]["init_args"]["hidden_width"] == whole.best_params["model.hidden_width"]
    with (folder / "trials.csv").open(newline="") as table:
        values = [float(row["macro_auroc"]) for row in csv.DictReader(table)]
    assert values == [trial.value for trial in whole.trials]
    assert (folder / "trials.md").read_text().count("| complete |") == 3
    for name in ("history", "importances", "slices", "contour"):
        assert (folder / f"{name}.png").stat().st_size > 5000
        assert "<svg" in (folder / f"{name}.svg").read_text()

    # Ctrl-C in the first trial, then SIGKILL in the second; both go on from their checkpoints
    broken = tmp_path / "broken"
    trials = broken / "mine" / "trials"
    interrupt = threading.Thread(
        target=lambda: (wait_for(trials, "trial_0000/checkpoints/last.ckpt"), os.kill(os.getpid(), SIGINT))
    )
    handler = signal(SIGINT, default_int_handler)  # a shell starts what runs in its background without one
    interrupt.start()
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", str(path), f"--folder={broken}"])
    interrupt.join()
    signal(SIGINT, handler)
    assert stopped.value.code == 130
    assert "the same command continues" in capsys.readouterr().err
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "mlemo", "sweep", str(path), f"--folder={broken}"]
    other = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=environment, start_new_session=True)
    wait_for(trials, "trial_0001/checkpoints/last.ckpt")
    os.killpg(other.pid, SIGSTOP)  # so that the trial does not end before it is killed
    with pytest.raises(ValueError, match=r"another `mlemo sweep` works in .*mine; --workers has more trials at once"):
        sweep(path, broken)
    os.killpg(other.pid, SIGKILL)
    other.wait()
    study = sweep(path, broken, executor=LocalExecutor(2))
    assert found(study) == found(whole)
    assert [trial.state for trial in study.trials].count(TrialState.FAIL) == 2, "those that were broken off"
    assert TrialState.RUNNING not in [trial.state for trial in study.trials]
    assert "Restored all states" in (trials / "trial_0001" / "log.txt").read_text()
    assert "best: trial" in capsys.readouterr().out

    # the trials of another sweep are not mixed in
    with pytest.raises(ValueError, match=r"mine\.yaml: metric: .* holds trials of another sweep .*, with macro_auroc"):
        sweep(write(tmp_path, SWEEP | {"metric": "jaccard"}), broken)


def test_a_killed_trial_continues_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "killing.py").write_text(
        "import lightning.pytorch as pl, os, pathlib\n"
        "class Kill(pl.Callback):\n"
        "    def on_train_epoch_start(self, trainer, model):\n"
        "        flag = pathlib.Path(__file__).with_name('flag')\n"
        "        if trainer.current_epoch == 2 and flag.exists(): flag.unlink(); os.kill(os.getpid(), 9)\n"
    )
    (tmp_path / "flag").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = SETTINGS | {"trainer.callbacks+": "killing.Kill"}
    study = sweep(write(tmp_path, SWEEP | {"set": settings, "trials": 1}), tmp_path)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]
    assert list(study.trials[0].intermediate_values) == [0, 1, 2]
    log = (tmp_path / "mine" / "trials" / "trial_0000" / "log.txt").read_text()
    assert "Restored all states" in log
    assert not (tmp_path / "flag").exists()


def test_bad_trials_are_pruned_and_failed_ones_shown_with_their_last_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaking.py").write_text(
        "import lightning.pytorch as pl\n"
        "class Break(pl.Callback):\n"
        "    def on_train_start(self, trainer, model):\n"
        "        if model.hidden_width == 5: raise RuntimeError('the sky ' + 'fell')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    content = SWEEP | {
        "set": SETTINGS | {"trainer.callbacks+": "breaking.Break"},
        "search": {"model.hidden_width": {"choices": [4, 5]}},
        "metric": "loss",
        "direction": "minimize",
        "trials": 3,
        "pruner": {"class_path": "ThresholdPruner", "init_args": {"upper": 0.0, "n_warmup_steps": 1}},
    }
    path = write(tmp_path, content)
    for _ in range(2):  # the second time nothing is run
        with pytest.raises(SystemExit) as stopped:
            main(["sweep", str(path), f"--folder={tmp_path}"])
        assert stopped.value.code == 1
    study = optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path / 'mine' / 'trials.db'}")
    assert len(study.trials) == 3
    out = capsys.readouterr().out
    for trial in study.trials:
        folder = tmp_path / "mine" / "trials" / f"trial_{trial.number:04d}"
        if trial.params["model.hidden_width"] == 4:
            assert trial.state == TrialState.PRUNED
            assert list(trial.intermediate_values) == [0, 1]
            assert f"trial {trial.number}: hidden_width 4: pruned after epoch 1" in out
        else:
            assert trial.state == TrialState.FAIL
            assert "ended with status 1; the last lines of" in trial.user_attrs["error"]
            assert f"trial {trial.number}: hidden_width 5: failed: RuntimeError: the sky fell" in out
        assert not (folder / "results_val.json").exists()
    assert {trial.state for trial in study.trials} == {TrialState.PRUNED, TrialState.FAIL}
    assert "3 of 3 trials are finished already" in out


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["colour"], 1, "colour: unknown key; there are base, direction"),
        (["search"], None, "search: expected a mapping, found None"),
        (["search", "model.dropout"], {"low": 0.5, "high": 0.1}, "search.model.dropout: .*low.*<= high"),
        (["search", "model.dropout"], {"low": 0.5}, "search.model.dropout: expected low, high and perhaps log or step"),
        (["search", "model.dropout"], {"low": "a", "high": 1}, "search.model.dropout: could not convert .*'a'"),
        (["search", "model.dropout"], {"low": 1, "high": 2, "log": 1}, "search.model.dropout: log: expected true"),
        (["search", "model.loss"], {"choices": []}, "search.model.loss: choices: expected a list, found"),
        (["search", "model.loss"], {"choices": [["a"]]}, "search.model.loss: choices: expected text, numbers"),
        (["search", "model.loss"], {"choices": ["${x}"]}, "search.model.loss: needs a value of x; give --set x="),
        (["metric"], "macro_f", "metric: no metric 'macro_f'; did you mean macro_f1"),
        (["direction"], "up", "direction: expected maximize or minimize, found 'up'"),
        (["trials"], 0, "trials: expected a whole number from 1, found 0"),
        (["set"], ["--a"], "set: expected a mapping, found"),
        (["words"], "--a=1", "words: expected settings such as .* found the words '--a=1'"),
        (["base"], "no.yaml", "base: there is no file .*no.yaml"),
        (["pruner"], {"class_path": "MedianPrune"}, "pruner: expected class_path .* did you mean MedianPruner"),
        (["pruner"], {"class_path": "MedianPruner", "init_args": {"warm": 1}}, "pruner: .*unexpected keyword .*warm"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(keys: list[str], value: Any, message: str, tmp_path: Path) -> None:
    content: Any = copy.deepcopy(SWEEP)
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    with pytest.raises(ValueError, match=r"mine\.yaml:\d+: " + message):
        load_sweep(write(tmp_path, content))


def test_numbers_are_searched_as_they_are_written(tmp_path: Path) -> None:
    loaded = load_sweep(write(tmp_path, SWEEP), {"size": "70"})
    assert "--data.size=70" in loaded.words
    rate, width = loaded.space.values()
    assert rate == optuna.distributions.FloatDistribution(0.01, 0.1, log=True)
    assert width == optuna.distributions.IntDistribution(4, 16)
    values = {"a": 0.1 + 0.2, "b": 5, "c": None, "d": True, "e": "x y"}
    assert loaded.command(values)[-5:] == ("--a=0.3", "--b=5", "--c=null", "--d=true", "--e=x y")
    with pytest.raises(ValueError, match=r"--set: nothing uses sise; used are \['size'\]"):
        load_sweep(write(tmp_path, SWEEP), {"sise": "70"})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.optimization.learning_rat", {"low": 0.1, "high": 1.0}, "Optimization has no such setting; "
                                                                       "did you mean learning_rate"),
        ("trainer.max_epoks", {"low": 1, "high": 2}, "did you mean trainer.max_epochs"),
        ("model.loss", {"choices": ["FocalLoss", "FocalLos"]}, "did you mean FocalLoss"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_answered_before_any_trial(
    key: str, value: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, SWEEP | {"search": {key: value}})
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", str(path), f"--folder={tmp_path / 'none'}"])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert re.search(rf"mine\.yaml:\d+: search\.{re.escape(key)}: ", err)
    assert message in err
    assert not (tmp_path / "none").exists()


def test_without_optuna_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", "mine.yaml"])
    assert stopped.value.code == 2
    assert "pip install 'mlemo[sweep]'" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "configs" / "sweep").glob("*.yaml")), ids=str)
def test_the_examples_are_sweeps(path: Path, tmp_path: Path) -> None:
    variables = {"data_dir": str(tmp_path)} if "data_dir" in path.read_text() else {}
    load_sweep(path, variables).check()
