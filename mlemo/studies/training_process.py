"""One run, trained in a process of its own: what happens there, and how it goes on after it was broken off."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import mlemo
from mlemo.runs.atomic import write_atomically
from mlemo.runs.loading import read_checkpoint
from mlemo.runs.stored_config import class_modules
from mlemo.runs.surroundings import git_state
from mlemo.studies.records import RECORD, make_record
from mlemo.studies.runs import StudyRun
from mlemo.training import run as mlemo_run
from mlemo.worker_process import LOG, begin

__all__ = ["FINISHED", "train"]

FINISHED = f"{RECORD}.finished"  # becomes the record when the worker finds that the run is still its own
CODE = git_state(Path(mlemo.__file__).parents[1])  # when it was imported; there may be commits while runs are trained


def train(run: StudyRun, folder: Path, threads: int, gpu: int | None) -> None:
    """Train, validate and test a run; called in a process of its own.

    Args:
        run: The run.
        folder: Its folder; what an earlier try left there is gone on with where that is possible.
        threads: Number of processor threads.
        gpu: The only GPU that this process sees; ``None`` for all.
    """
    begin(folder, threads, gpu)
    start = time.perf_counter()
    resumed = fit_and_test(run, folder)
    record = make_record(run, folder, time.perf_counter() - start, resumed, CODE)
    write_atomically(folder / FINISHED, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def fit_and_test(run: StudyRun, folder: Path) -> bool:
    """Do what is still to be done of a run; returns whether it went on from a checkpoint."""
    place = [f"--trainer.logger.save_dir={folder.parent}", f"--trainer.logger.version={folder.name}"]
    last = folder / "checkpoints" / "last.ckpt"
    try:
        checkpoint = read_checkpoint(last)
    except (FileNotFoundError, ValueError):  # killed before the first checkpoint was whole
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOG:
                path.unlink()
        mlemo_run("fit", [*run.words, *place])
        return False
    trust = [f"--trust={module}" for module in class_modules(run.config)]  # those that the study names, not the file
    if _has_stopped_early(checkpoint):  # fitting would train another epoch
        best = _best(checkpoint, last.parent)
        for command in ("validate", "test"):
            mlemo_run(command, [*run.words, f"--ckpt_path={best}", *place, *trust])
    else:
        mlemo_run("fit", [f"--ckpt_path={last}", *place, *trust])
    return True


def _states(checkpoint: dict[str, Any], callback: str) -> list[dict[str, Any]]:
    return [state for key, state in checkpoint.get("callbacks", {}).items() if key.startswith(callback)]


def _has_stopped_early(checkpoint: dict[str, Any]) -> bool:
    return any(state["wait_count"] >= state["patience"] for state in _states(checkpoint, "EarlyStopping"))


def _best(checkpoint: dict[str, Any], folder: Path) -> Path:
    """The best checkpoint by its name, as the folder may have moved."""
    names = [Path(state["best_model_path"]).name for state in _states(checkpoint, "ModelCheckpoint")]
    return folder / next(name for name in names if name.startswith("best"))
