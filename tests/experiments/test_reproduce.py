"""``mlemo reproduce``: whole studies of tiny runs; killed, failed, dry, and never twice."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tiny_study import SETTINGS, records, study

from mlemo.cli import main
from mlemo.experiments.reproduce import _write_list


def test_a_worker_killed_in_mid_run_leaves_a_study_that_ends_as_an_unbroken_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["reproduce", study(tmp_path), "--scale=tiny", "--folder"]
    main([*words, str(tmp_path / "whole"), "--workers=2"])
    whole = records(tmp_path / "whole")
    assert len(whole) == 1
    assert "[1/1] BCE, seed 1: Jaccard" in capsys.readouterr().out
    for address, record in whole.items():
        assert record["address"] == address
        assert not record["resumed"]
        assert record["config"]["seed_everything"] == record["seed"] == 1
        assert record["versions"]["torch"]
        assert record["peak_memory"] > 1e8
        assert {"results_test.json", "predictions_test.csv", "checkpoints/best.ckpt"} <= set(record["files"])

    killed = tmp_path / "killed"
    worker = subprocess.Popen(
        [sys.executable, "-m", "mlemo", *words, str(killed)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not list(killed.glob("runs/*/checkpoints/last.ckpt")):
        assert worker.poll() is None
        time.sleep(0.005)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert not records(killed)

    main([*words, str(killed)])
    again = records(killed)
    assert again.keys() == whole.keys()
    assert [record["resumed"] for record in again.values()] == [True]
    for address, record in again.items():
        assert record["results"] == whole[address]["results"]
        assert record["config"] == whole[address]["config"]
        predictions = [path / "runs" / address / "predictions_test.csv" for path in (tmp_path / "whole", killed)]
        assert predictions[0].read_bytes() == predictions[1].read_bytes()

    # done is done: not run again, not by another study with other names
    times = {path: path.stat().st_mtime_ns for path in killed.glob("runs/*/*")}
    capsys.readouterr()
    varies = {"objective": {"cross-entropy": {"model.loss": "BinaryCrossEntropy"}}}
    outcome = main(["reproduce", study(tmp_path, varies=varies), "--scale=tiny", f"--folder={killed}"])
    assert len(outcome.records) == 1  # type: ignore[attr-defined]
    assert "1 of 1 runs are done already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in killed.glob("runs/*/*")} == times

    # a damaged record is named; what was deleted is run again
    (record,) = killed.glob("runs/*/record.json")
    record.write_text("{", encoding="utf-8")
    with pytest.raises(SystemExit):
        main([*words, str(killed)])
    assert f"{record} is not a record" in capsys.readouterr().err
    shutil.rmtree(record.parent)
    main([*words, str(killed)])
    assert records(killed)[record.parent.name]["results"] == whole[record.parent.name]["results"]
    assert (record.parent / "predictions_test.csv").is_file()


def test_a_failed_run_is_shown_and_tried_again_when_asked(
    tmp_path: Path, breaking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SETTINGS | {"trainer.max_epochs": 1, "trainer.callbacks+": "breaking.Break"}
    path = study(tmp_path, scales={"tiny": {"set": settings, "seeds": [1]}})
    command = ["reproduce", path, "--scale=tiny", f"--folder={tmp_path / 'runs'}"]
    for _ in range(2):  # the second time it is not run, but shown
        with pytest.raises(SystemExit) as stopped:
            main(command)
        assert stopped.value.code == 1
        out = capsys.readouterr().out
        assert "failed: RuntimeError: the sky fell" in out
        assert "ended with status 1; the last lines of" in out
        assert "1 failed (--retry-failed tries them again)" in out
    (log,) = tmp_path.glob("runs/runs/*/log.txt")
    assert log.read_text().count("the sky fell") == 1
    breaking.unlink()
    outcome = main([*command, "--retry-failed"])
    assert len(outcome.records) == 1  # type: ignore[attr-defined]


def test_a_run_that_was_killed_after_it_stopped_early_is_tested_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "killing.py").write_text(
        "import lightning.pytorch as pl, os, pathlib\n"
        "class Kill(pl.Callback):\n"
        "    def on_train_end(self, trainer, model):\n"
        "        if pathlib.Path(__file__).with_name('flag').exists(): os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    make = runpy.run_path(str(Path(__file__).parents[1] / "data" / "goemotions" / "make.py"))
    make["write_hub"](tmp_path / "hub")
    settings = SETTINGS | {
        "data": {"class_path": "GoEmotions", "init_args": {"hub": str(tmp_path / "hub"), "batch_size": 20}},
        "trainer": SETTINGS["trainer"] | {"max_epochs": 9, "callbacks+": "killing.Kill"},
        "early_stopping": {"patience": 1, "min_delta": 1},
    }
    path = study(tmp_path, scales={"tiny": {"set": settings, "seeds": [1]}})

    def reproduce(folder: str, *words: str) -> Path:
        main(["reproduce", path, "--scale=tiny", f"--folder={tmp_path / folder}", *words])
        (run,) = tmp_path.glob(f"{folder}/runs/*")
        return run

    whole = reproduce("whole")
    times = {file: file.stat().st_mtime_ns for file in whole.rglob("*")}
    assert reproduce("whole") == whole
    assert {file: file.stat().st_mtime_ns for file in whole.rglob("*")} == times

    (tmp_path / "flag").touch()
    with pytest.raises(SystemExit):
        reproduce("killed")
    (tmp_path / "flag").unlink()
    (last,) = tmp_path.glob("killed/runs/*/checkpoints/last.ckpt")
    trained = last.with_name("best.ckpt").stat().st_mtime_ns
    killed = reproduce("killed", "--retry-failed")
    first, second = (json.loads((run / "record.json").read_text()) for run in (whole, killed))
    assert (first["resumed"], second["resumed"]) == (False, True)
    for key in ("address", "config", "results", "files", "data"):
        assert first[key] == second[key], key
    assert first["cost"].keys() == second["cost"].keys() >= {"train_minutes", "test_ms_per_batch"}
    for split in ("val", "test"):
        name = f"predictions_{split}.csv"
        assert (whole / name).read_bytes() == (killed / name).read_bytes()
    assert (killed / "checkpoints/best.ckpt").stat().st_mtime_ns == trained
    assert not last.exists()  # a finished run keeps the weights of its best epoch alone
    for run in (whole, killed):  # two of nine epochs
        assert re.findall(r"epoch (\d)/9 ", (run / "log.txt").read_text()) == ["1", "2"]

    # what was read is in the record, part by part, beside the folder as a whole
    hub = tmp_path / "hub"
    parts = [f"{hub}/simplified/{part}" for part in ("test", "train", "validation")]
    assert sorted(first["data"]) == [str(hub), *parts]
    assert len(set(first["data"].values())) == 4


def test_a_dry_run_lists_and_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = study(tmp_path, scales={"tiny": {"set": SETTINGS, "seeds": [1, 2]}})
    outcome = main(["reproduce", two, "--scale=tiny", f"--folder={tmp_path / 'runs'}", "--dry-run"])
    out = capsys.readouterr().out
    assert "2 to run; nothing to estimate it from yet" in out
    assert not (tmp_path / "runs").exists()
    run = outcome.runs[0]  # type: ignore[attr-defined]
    folder = tmp_path / "runs" / "runs" / run.address
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps({"address": run.address, "results": {}, "seconds": 240.0}))
    main(["reproduce", two, "--scale=tiny", f"--folder={tmp_path / 'runs'}", "--dry-run"])
    assert "1 to run, about 4 min for one worker" in capsys.readouterr().out


def test_a_part_is_run_and_the_rest_is_added_to_it_later(tmp_path: Path) -> None:
    losses = {name: {"model.loss": name} for name in ("BinaryCrossEntropy", "FocalLoss")}
    scales = {"tiny": {"set": SETTINGS | {"trainer.max_epochs": 1}, "seeds": [1, 2]}}
    words = ["reproduce", study(tmp_path, varies={"loss": losses}, scales=scales), "--scale=tiny"]
    words.append(f"--folder={tmp_path}")
    for loss, seed in (("FocalLoss", 2), ("BinaryCrossEntropy", 1)):
        main([*words, f"--only=loss={loss}", f"--only=seed={seed}"])
    listed = json.loads((tmp_path / "tests_tiny.json").read_text())
    assert [(run["labels"]["loss"], run["seed"]) for run in listed] == [("FocalLoss", 2), ("BinaryCrossEntropy", 1)]
    assert {run["address"] for run in listed} == records(tmp_path).keys()


def test_parts_that_are_started_at_once_are_all_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tests_tiny.json"
    path.write_text("[]")

    def write_slowly(path: Path, text: str) -> None:
        time.sleep(0.2)  # long enough for the other parts to read what stood there before
        path.write_text(text)

    monkeypatch.setattr("mlemo.experiments.reproduce.write_atomically", write_slowly)
    parts = [[{"labels": {"loss": "BCE"}, "seed": seed, "address": f"r{seed}", "words": []}] for seed in range(3)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda part: _write_list(path, part, keep_others=True), parts))
    assert {run["seed"] for run in json.loads(path.read_text())} == {0, 1, 2}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["wdl-loses", "--scale=tiny"], "did you mean 'wdl-losses'"),
        (["wdl-losses"], "--scale is missing"),
        (["wdl-losses", "--scale=tiny", "--workers=0"], "--workers must be at least 1, found 0"),
        (["wdl-losses", "--scale=small", "--set", "encoder"], "--set encoder: expected NAME=VALUE"),
        (["wdl-losses", "--scale=small"], "needs a value of encoder"),
        (["wdl-losses", "--scale=tiny", "--only=loss"], "--only loss: expected SETTING=LABEL"),
        (["wdl-losses", "--scale=tiny", "--only=seed=43"], "scale tiny has no run with seed 43"),
        (["wdl-orders", "--scale=tiny", "--only=corpus=Ren-CECPs"], "scale tiny has no run with corpus Ren-CECPs"),
    ],
)
def test_what_cannot_be_understood_is_said(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["reproduce", *words])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_wrong_place_is_said_before_anything_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(path: str, folder: Path) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(["reproduce", path, "--scale=tiny", f"--folder={folder}"])
        assert stopped.value.code == 2
        return capsys.readouterr().err

    file = tmp_path / "file"
    file.touch()
    assert f"mlemo reproduce: [Errno 17] File exists: '{file}'" in said(study(tmp_path), file)
    assert "mlemo reproduce: [Errno 20] Not a directory" in said(study(tmp_path), file / "runs")
    data = {"class_path": "GoEmotions", "init_args": {"data_dir": "/nowhere"}}
    scales = {"tiny": {"set": SETTINGS | {"data": data}, "seeds": [1]}}
    message = said(study(tmp_path, scales=scales), tmp_path / "new")
    assert "BCE, seed 1: data_dir /nowhere is not a folder" in message
    assert not (tmp_path / "new").exists()


def test_the_studies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce"]) is None
    assert "wdl-losses" in capsys.readouterr().out
