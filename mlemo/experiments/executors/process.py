"""The process of a job: its log, its share of the hardware, and its end with the process that started it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing import connection, parent_process
from pathlib import Path

import torch

from mlemo.experiments.executors.base import Job
from mlemo.runs import files
from mlemo.utils.hardware import leave_process_group

__all__ = ["LOG", "begin_child", "enter", "reason"]

LOG = files.LOG.name
LAST_LINES = 15


def enter(job: Job, threads: int, gpus: Sequence[str] | None) -> None:
    """Do a job in this process, which was started for it.

    Args:
        job: The job.
        threads: Number of processor threads.
        gpus: The only GPUs that this process sees, as ``CUDA_VISIBLE_DEVICES`` names them; ``None`` for all.
    """
    begin(job.folder, threads, gpus)
    job.function(*job.arguments)


def begin(folder: Path, threads: int, gpus: Sequence[str] | None) -> None:
    """Send all that this process prints to a log, and give it its share of the hardware."""
    leave_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    with (folder / LOG).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    begin_child(threads)


def begin_child(threads: int) -> None:
    """Make this process one of those of a training, which ends with the process that started it.

    Args:
        threads: Number of processor threads.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the worker, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log = logging.getLogger("mlemo")  # a line an epoch, as `mlemo fit` prints it
    log.setLevel(logging.INFO)
    log.addHandler(logging.StreamHandler())
    torch.set_num_threads(threads)


def reason(folder: Path, exitcode: int | None) -> str:
    """Why a job ended without a result: its status or signal, and the last lines of its log."""
    log = folder / LOG
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    ended = f"signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"status {exitcode}"
    hint = "; is there enough memory?" if exitcode == -signal.SIGKILL else ""
    return "\n".join([f"ended with {ended}{hint}; the last lines of {log}:", *lines[-LAST_LINES:]])


def _end_with_parent() -> None:
    """End with the process that started this one, so that nothing is written beside whoever takes the job up."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
