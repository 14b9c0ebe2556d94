"""The engine of a study: which of its runs are still to be done, handed to an executor one after the other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from mlemo.experiments.do import do, lock_of
from mlemo.experiments.executors import BUSY, RETRIES, Ended, Executor, Job
from mlemo.experiments.records import FAILURE, read_failure, read_record
from mlemo.experiments.runs import StudyRun
from mlemo.runs.atomic import write_atomically
from mlemo.utils.hardware import on_gpu, world_size

__all__ = ["Listener", "is_locked", "run_all", "run_folder_of"]

POLL = 1.0  #: seconds between two looks at runs that another command works on


class Listener(Protocol):
    """What is told of the runs of a study."""

    def started(self, run: StudyRun) -> None:
        """A run was handed to the executor."""

    def finished(self, run: StudyRun, record: dict[str, Any], here: bool) -> None:
        """There is a record; ``here`` is whether this command made it now."""

    def failed(self, run: StudyRun, text: str) -> None:
        """A run failed, now or before, for the reason in the text."""

    def busy(self, run: StudyRun) -> None:
        """Another command works on a run that was started here."""

    def waiting(self) -> None:
        """Called about every second while runs are in work."""


def run_folder_of(folder: Path, address: str) -> Path:
    """Folder of a run."""
    return folder / "runs" / address


def run_all(
    runs: Iterable[StudyRun], folder: Path, executor: Executor, listener: Listener, *, retry_failed: bool = False
) -> None:
    """Return when every run is done or failed.

    Other commands may work on the same runs in the same folder; each run is done by one of them.

    Args:
        runs: What is to be done, in this order; runs of one address are done once.
        folder: Where runs lie.
        executor: Where they are done; on a cluster, its machines share the folder.
        listener: Is told how it goes.
        retry_failed: Whether runs that failed before are tried again.
    """
    by_address = {run.address: run for run in runs}

    def unsettled(run: StudyRun, retry: bool) -> bool:
        place = run_folder_of(folder, run.address)
        if (record := read_record(place)) is not None:
            listener.finished(run, record, here=False)
        elif not retry and (text := read_failure(place)) is not None:
            listener.failed(run, text)
        else:
            return True
        return False

    queue = deque(run for run in by_address.values() if unsettled(run, retry_failed))
    working: set[str] = set()
    elsewhere: list[StudyRun] = []  # what other commands have
    killed: Counter[str] = Counter()
    while queue or working or elsewhere:
        while queue and len(working) < executor.slots:
            run = queue.popleft()
            executor.submit(_job(run, folder))
            working.add(run.address)
            listener.started(run)
        for end in executor.wait(POLL):
            working.discard(end.name)
            run = by_address[end.name]
            if end.status == BUSY:
                elsewhere.append(run)
                listener.busy(run)
            elif end.was_killed and killed[end.name] < RETRIES:
                killed[end.name] += 1
                queue.append(run)
            else:
                _settle(run, run_folder_of(folder, run.address), end, listener)
        free = [run for run in elsewhere if not is_locked(run_folder_of(folder, run.address))]
        elsewhere = [run for run in elsewhere if run not in free]
        queue.extend(run for run in free if unsettled(run, retry=False))
        listener.waiting()


def _job(run: StudyRun, folder: Path) -> Job:
    place = run_folder_of(folder, run.address)
    gpus = world_size(run.config) if on_gpu(run.config) else 0
    return Job(run.address, do, (run, place), place, gpus)


def _settle(run: StudyRun, place: Path, end: Ended, listener: Listener) -> None:
    record = read_record(place) if end.status == 0 else None
    if record is not None:
        listener.finished(run, record, here=True)
    else:
        text = end.reason or f"it ended without a record in {place}"
        write_atomically(place / FAILURE, text)
        listener.failed(run, text)


def is_locked(place: Path) -> bool:
    """Whether a process works on the run of a folder now."""
    try:
        with FileLock(lock_of(place)).acquire(blocking=False):
            return False
    except Timeout:
        return True
