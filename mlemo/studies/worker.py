"""Workers: each takes a run that nobody has, trains it in a process of its own, and records what came out."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from mlemo.hardware import GPUPool, leave_process_group, on_gpu, world_size
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import LAST, PREVIOUS
from mlemo.studies.claims import Claims
from mlemo.studies.records import RECORD, read_record
from mlemo.studies.runs import StudyRun
from mlemo.studies.training_process import FINISHED, train
from mlemo.worker_process import reason, run_all

__all__ = ["Crew", "Listener", "run_folder_of"]


class Listener(Protocol):
    """Who wants to know how it goes; called from several threads, one at a time."""

    def started(self, run: StudyRun) -> None:
        """A worker of this process has begun."""

    def finished(self, run: StudyRun, record: dict[str, Any], here: bool) -> None:
        """There is a record; ``here`` tells whether a worker of this process made it now."""

    def failed(self, run: StudyRun, text: str) -> None:
        """It failed, now or before; the text says why."""


def run_folder_of(folder: Path, address: str) -> Path:
    """Folder of a run."""
    return folder / "runs" / address


class Crew:
    """Workers of this process on the runs of a study; other processes may work on the same ones.

    A run is trained in a process of its own, forked from one that has imported everything: a crash or lack of memory
    ends that run alone, and its peak memory is its own.

    Args:
        runs: What is to be run; runs of one address are run once.
        folder: Where runs lie.
        claims: Who has which.
        workers: How many runs are trained at once by this process.
        retry_failed: Whether runs that failed before are tried again, once.
        shared: Whether workers with other folders use the same claims: a run that is done there has its record here
            too. Where not, a run without a record is run again, so that deleting what is damaged is enough.
    """

    def __init__(
        self,
        runs: Iterable[StudyRun],
        folder: Path,
        claims: Claims,
        workers: int = 1,
        *,
        retry_failed: bool = False,
        shared: bool = False,
    ) -> None:
        self.runs = {run.address: run for run in runs}
        self.folder, self.claims, self.workers = folder.resolve(), claims, workers
        self._retry = set(self.runs) if retry_failed else set()
        self._shared = shared
        self._open = dict(self.runs)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        leave_process_group()
        self._gpus = GPUPool()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["mlemo.studies.training_process"])

    def work(self, listener: Listener) -> None:
        """Return when every run is done or failed, by whichever worker.

        Raises:
            KeyboardInterrupt: Broken off by the user; runs in work are given back and can be gone on with.
        """
        threads = [threading.Thread(target=self._work, args=(listener,)) for _ in range(self.workers)]
        run_all(threads, self._stop)
        if self._error is not None:
            raise self._error

    def _work(self, listener: Listener) -> None:
        try:
            while not self._stop.is_set():
                self._settle(listener)
                if not self._open:
                    return
                for run in list(self._open.values()):
                    if (gpus := self._take(run)) is not None:
                        try:
                            self._do(run, gpus, listener)
                        finally:
                            self._gpus.give_back(gpus)
                        break
                else:
                    self._stop.wait(1.0)  # others have the rest, or the GPUs; one of them may die
        except BaseException as error:  # shown by the main thread, which ends the others
            self._error = error
            self._stop.set()

    def _take(self, run: StudyRun) -> tuple[str, ...] | None:
        """Take a run and the GPUs that it needs; ``None`` where others have it or them."""
        with self._lock:
            needs_gpus = bool(self._gpus.names) and on_gpu(run.config)
            gpus = self._gpus.take(world_size(run.config) if needs_gpus else 0)
            if gpus is None:
                return None
            if not self.claims.take(run.address, retry_failed=run.address in self._retry):
                self._gpus.give_back(gpus)
                return None
            self._retry.discard(run.address)
            return gpus

    def _settle(self, listener: Listener) -> None:
        """Tell the listener of runs that were done or failed since it was last told."""
        with self._lock:
            for address, (state, text) in self.claims.states().items():
                run = self._open.get(address)
                if run is None or state == "running" or (state == "failed" and address in self._retry):
                    continue
                folder = run_folder_of(self.folder, address)
                if state == "done" and not (folder / RECORD).exists():
                    if not self._shared:
                        self.claims.forget(address, text)
                        continue
                    folder.mkdir(parents=True, exist_ok=True)
                    write_atomically(folder / RECORD, text)
                del self._open[address]
                if state == "failed":
                    listener.failed(run, text)
                else:
                    listener.finished(run, json.loads(text), here=False)

    def _do(self, run: StudyRun, gpus: Sequence[str], listener: Listener) -> None:
        folder = run_folder_of(self.folder, run.address)
        folder.mkdir(parents=True, exist_ok=True)
        record = read_record(folder)
        if record is not None:  # its worker died between the record and telling the database, or the database is new
            self.claims.finish(run.address, "done", (folder / RECORD).read_text(encoding="utf-8"))
            return
        with self._lock:
            listener.started(run)
        (folder / FINISHED).unlink(missing_ok=True)
        threads = max(1, torch.get_num_threads() // self.workers)
        process = self._context.Process(target=train, args=(run, folder, threads, gpus or None), name=run.name)
        process.start()
        owned, beaten = True, time.monotonic()
        while process.is_alive() and owned and not self._stop.is_set():
            process.join(0.3)
            if time.monotonic() - beaten > self.claims.grace / 6:
                owned, beaten = self.claims.beat(run.address), time.monotonic()
        process.kill()  # without effect where it has ended by itself
        process.join()
        if self._stop.is_set() and not (folder / FINISHED).exists():
            self.claims.release(run.address)
            return
        with self._lock:
            self._record(run, folder, process.exitcode, listener)

    def _record(self, run: StudyRun, folder: Path, exitcode: int | None, listener: Listener) -> None:
        if (folder / FINISHED).exists():
            text = (folder / FINISHED).read_text(encoding="utf-8")
            if self.claims.finish(run.address, "done", text, partial((folder / FINISHED).replace, folder / RECORD)):
                for file in (LAST, PREVIOUS):
                    file.path(folder).unlink(missing_ok=True)  # nothing goes on from a finished run
                del self._open[run.address]
                listener.finished(run, json.loads(text), here=True)
            return
        text = reason(folder, exitcode)
        if self.claims.finish(run.address, "failed", text):
            del self._open[run.address]
            listener.failed(run, text)
