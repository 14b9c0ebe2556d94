"""One run, trained in a process of its own: what happens there, and how it goes on after it was broken off."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import mlemo
from mlemo.runs.atomic import write_atomically
from mlemo.runs.loading import read_checkpoint
from mlemo.runs.resume import remaining_fit
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
    last = folder / "checkpoints" / "last.ckpt"
    try:
        read_checkpoint(last)
    except (FileNotFoundError, ValueError):  # killed before the first checkpoint was whole
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOG:
                path.unlink()
        place = [f"--trainer.logger.save_dir={folder.parent}", f"--trainer.logger.version={folder.name}"]
        mlemo_run("fit", [*run.words, *place])
        return False
    trust = class_modules(run.config)  # those that the study names, not the file
    mlemo_run("fit", [*remaining_fit(folder, trust), *(f"--trust={module}" for module in trust)])
    return True
