"""One run, trained in a process of its own: what happens there, and how it goes on after it was broken off."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import mlemo
from mlemo.hardware import world_size
from mlemo.runs.atomic import write_atomically
from mlemo.runs.loading import read_checkpoint
from mlemo.runs.resume import remaining_fit
from mlemo.runs.stored_config import class_modules
from mlemo.runs.surroundings import code_checksum, git_state
from mlemo.studies.records import RECORD, Code, make_record
from mlemo.studies.runs import HARDWARE, StudyRun
from mlemo.training import run as mlemo_run
from mlemo.worker_process import LOG, begin, begin_child

__all__ = ["FINISHED", "train"]

FINISHED = f"{RECORD}.finished"  # becomes the record when the worker finds that the run is still its own
PACKAGE = Path(mlemo.__file__).parent
#: Of the code as it was imported; it may change while runs are trained.
CODE = Code(code_checksum(PACKAGE), git_state(PACKAGE.parent))


def train(run: StudyRun, folder: Path, threads: int, gpus: Sequence[str] | None) -> None:
    """Train, validate and test a run; called in a process of its own.

    Args:
        run: The run.
        folder: Its folder; what an earlier try left there is gone on with where that is possible.
        threads: Number of processor threads.
        gpus: The only GPUs that this process sees; ``None`` for all.
    """
    begin(folder, threads, gpus)
    start = time.perf_counter()
    words = remaining_words(run, folder)
    processes = world_size(run.config)
    if processes == 1:
        mlemo_run("fit", words)
    else:
        _launch(processes, words, max(1, threads // processes), run.address)
    resumed = any(word.startswith("--ckpt_path") for word in words)
    record = make_record(run, folder, time.perf_counter() - start, resumed, CODE)
    write_atomically(folder / FINISHED, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def remaining_words(run: StudyRun, folder: Path) -> list[str]:
    """The command line behind ``mlemo fit`` for what is still to be done of a run; an unusable try is cleared away."""
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
        return [*HARDWARE, *run.words, *place]
    trust = class_modules(run.config)  # those that the study names, not the file
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
