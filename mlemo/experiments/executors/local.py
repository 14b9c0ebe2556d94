"""Jobs on this machine: a pool of processes, which share out its processor threads and GPUs."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from types import ModuleType

import torch

from mlemo.experiments.executors.base import Ended, Executor, Job
from mlemo.experiments.executors.process import enter, reason
from mlemo.utils.hardware import GPUPool, leave_process_group

__all__ = ["LocalExecutor", "run_alone"]

GRACE = 60.0  #: seconds between SIGTERM and SIGKILL at the time limit


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    gpus: tuple[str, ...]
    deadline: float
    late: bool = False


class LocalExecutor(Executor):
    """A pool of processes on this machine, forked from one that has imported everything.

    A crash or a lack of memory ends one job alone, and its peak memory is its own. The processes end with this one,
    however it ends.

    Args:
        workers: How many jobs run at a time.
        time_limit: Seconds after which a job gets SIGTERM, on which a training saves a checkpoint, and SIGKILL a minute
            later; ``None`` for no limit.
        gpus: The GPUs of the jobs; ``None`` for those of this process, which other commands may use too.

    Raises:
        ValueError: ``workers`` is below 1.
    """

    def __init__(self, workers: int = 1, time_limit: float | None = None, gpus: GPUPool | None = None) -> None:
        if workers < 1:
            raise ValueError(f"--workers must be at least 1, found {workers}")
        self.slots, self.time_limit = workers, time_limit
        leave_process_group()
        self._pool = GPUPool() if gpus is None else gpus
        self._waiting: list[Job] = []
        self._running: dict[str, _Running] = {}
        self._context = multiprocessing.get_context("forkserver")

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._waiting.append(job)
        self._begin_waiting()

    def wait(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since the last call."""
        self._begin_waiting()
        until = time.monotonic() + seconds
        while True:
            self._stop_late()
            now = time.monotonic()
            deadlines = [one.deadline for one in self._running.values()]
            timeout = max(0.0, min([until, *deadlines]) - now)
            sentinels = [one.process.sentinel for one in self._running.values()]
            if sentinels:
                connection.wait(sentinels, timeout)
            else:
                time.sleep(timeout)
            ended = [self._end(one) for one in list(self._running.values()) if not one.process.is_alive()]
            if ended or time.monotonic() >= until:
                self._begin_waiting()
                return ended

    def cancel(self, name: str) -> None:
        """End a job at once."""
        self._waiting = [job for job in self._waiting if job.name != name]
        if (running := self._running.get(name)) is not None:
            running.process.kill()
            self._end(running)

    def close(self) -> None:
        """End all jobs at once."""
        self._waiting.clear()
        for running in list(self._running.values()):
            running.process.kill()
        for running in list(self._running.values()):
            self._end(running)

    def _begin_waiting(self) -> None:
        """Begin jobs for which there is room."""
        for job in list(self._waiting):
            if len(self._running) >= self.slots:
                return
            gpus = self._pool.take(job.gpus if self._pool.names else 0)
            if gpus is None:
                continue  # a later job may need none, or fewer
            self._waiting.remove(job)
            job.folder.mkdir(parents=True, exist_ok=True)
            self._context.set_forkserver_preload([enter.__module__, job.function.__module__])
            threads = max(1, torch.get_num_threads() // self.slots)
            process = self._context.Process(target=enter, args=(job, threads, gpus or None), name=job.name)
            with _no_script():
                process.start()
            limit = float("inf") if self.time_limit is None else self.time_limit
            self._running[job.name] = _Running(job, process, gpus, time.monotonic() + limit)

    def _stop_late(self) -> None:
        for running in self._running.values():
            if time.monotonic() >= running.deadline:
                if running.late:
                    running.process.kill()
                else:
                    running.process.terminate()
                running.late, running.deadline = True, time.monotonic() + GRACE

    def _end(self, running: _Running) -> Ended:
        running.process.join()
        del self._running[running.job.name]
        self._pool.give_back(running.gpus)
        status = running.process.exitcode
        if status == 0:
            return Ended(running.job.name, 0)
        text = reason(running.job.folder, status)
        if running.late:
            text = f"stopped at the time limit of {self.time_limit:g} s; {text}"
        return Ended(running.job.name, status, text, running.late)


@contextmanager
def _no_script() -> Iterator[None]:
    """Start a process without the script of this one: it would run again there, all of it if nothing guards it."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def run_alone(job: Job, time_limit: float | None = None) -> Ended:
    """Do one job on this machine, and wait for its end: what a worker of a cluster does.

    Args:
        job: The job.
        time_limit: As for `LocalExecutor`.
    """
    with LocalExecutor(time_limit=time_limit, gpus=GPUPool(shared=False)) as executor:
        executor.submit(job)
        while not (ended := executor.wait(1.0)):
            pass
    return ended[0]
