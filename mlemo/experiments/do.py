"""One run, in a process of its own: how it is trained, and resumed after an interruption."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import mlemo
from mlemo.experiments.executors.base import BUSY
from mlemo.experiments.executors.process import LOG, begin_child
from mlemo.experiments.records import FAILURE, RECORD, Code, make_record, read_record
from mlemo.experiments.runs import HARDWARE, StudyRun
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import LAST, PREVIOUS
from mlemo.runs.latest import latest
from mlemo.runs.loading import read_checkpoint
from mlemo.runs.resume import remaining_fit
from mlemo.runs.stored_config import class_modules
from mlemo.runs.surroundings import code_checksum, git_state
from mlemo.training import run as mlemo_run
from mlemo.training.resolve import resolve
from mlemo.utils.hardware import world_size

__all__ = ["do", "lock_of", "remaining_words"]

PACKAGE = Path(mlemo.__file__).parent
#: Of the code as it was imported; it may change while runs are trained.
CODE = Code(code_checksum(PACKAGE), git_state(PACKAGE.parent))


def do(run: StudyRun, folder: Path) -> None:
    """Train or resume a run, and leave its record; called in a process of its own.

    The lock beside the folder is held meanwhile. It is released when the process ends, however it ends, so that one
    process at a time works on a run, in however many commands and on however many machines with a shared folder.

    Args:
        run: The run.
        folder: Its folder; what an earlier try left there is continued if possible.

    Raises:
        SystemExit: With status `BUSY`, where another process works on the run.
    """
    lock_of(folder).parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_of(folder))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise SystemExit(BUSY) from None
    try:
        if read_record(folder) is None:
            (folder / FAILURE).unlink(missing_ok=True)
            _do(run, folder)
    finally:
        lock.release()


def lock_of(folder: Path) -> Path:
    """The file whose lock the process holds that works on a run; not in the folder of the run, which is cleared."""
    return folder.parent.with_name("locks") / f"{folder.name}.lock"


def _do(run: StudyRun, folder: Path) -> None:
    start = time.perf_counter()
    words = remaining_words([*HARDWARE, *run.words], folder)
    processes = world_size(run.config)
    if processes == 1:
        mlemo_run("fit", words)
    else:
        _launch(processes, words, max(1, torch.get_num_threads() // processes), run.address)
    resumed = any(word.startswith("--ckpt_path") for word in words)
    record = make_record(run, folder, time.perf_counter() - start, resumed, CODE)
    write_atomically(folder / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    for file in (LAST, PREVIOUS):
        file.path(folder).unlink(missing_ok=True)  # nothing continues from a finished run


def remaining_words(words: Sequence[str], folder: Path) -> list[str]:
    """The command line behind ``mlemo fit`` for what is still to be done in a folder.

    Args:
        words: The command line that a run begins with.
        folder: Its folder; what is there and cannot be continued is deleted.
    """
    last = latest(LAST.path(folder))
    try:
        read_checkpoint(last)
    except (FileNotFoundError, ValueError):  # killed before the first checkpoint was whole
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOG:
                path.unlink()
        place = [f"--trainer.logger.save_dir={folder.parent}", f"--trainer.logger.version={folder.name}"]
        return [*words, "--trainer.callbacks+=EpochLog", *place]
    trust = class_modules(resolve(words))  # those that the words name, not the file
    return [*remaining_fit(folder, trust), *(f"--trust={module}" for module in trust)]


def _launch(processes: int, words: Sequence[str], threads: int, name: str) -> None:
    """Run ``mlemo fit`` in several processes, as torchrun does; Lightning would start its own command line again."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["mlemo.training"])  # imported once for all
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="forkserver",
    )
    elastic_launch(config, _one_of_several)(words, threads)


def _one_of_several(words: Sequence[str], threads: int) -> None:
    begin_child(threads)
    mlemo_run("fit", words)
