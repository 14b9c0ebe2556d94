"""The engine of a study, over an executor that does what a test wants."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from mlemo.experiments.do import do, lock_of
from mlemo.experiments.engine import run_all, run_folder_of
from mlemo.experiments.executors import BUSY, Ended, Executor, Job, LocalExecutor
from mlemo.experiments.records import FAILURE, RECORD
from mlemo.experiments.runs import StudyRun

RECORD_TEXT = json.dumps({"address": "", "results": {}, "seconds": 1.0})


class Log:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, run: StudyRun) -> None:
        self.lines.append(f"started {run.address}")

    def finished(self, run: StudyRun, record: dict[str, Any], here: bool) -> None:
        self.lines.append(f"finished {run.address} {'here' if here else 'before or elsewhere'}")

    def failed(self, run: StudyRun, text: str) -> None:
        self.lines.append(f"failed {run.address}: {text}")

    def busy(self, run: StudyRun) -> None:
        self.lines.append(f"busy {run.address}")

    def waiting(self) -> None:
        pass


class Script(Executor):
    """Ends each job as a function of its name says; two at a time."""

    slots = 2

    def __init__(self, end: Callable[[Job], Ended]) -> None:
        self.end, self.jobs, self.most = end, [], 0

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        self.most = max(self.most, len(self.jobs))

    def wait(self, seconds: float) -> list[Ended]:
        return [self.end(self.jobs.pop(0))] if self.jobs else []

    def cancel(self, name: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


def run(address: str) -> StudyRun:
    config = {"trainer": {"devices": 1, "accelerator": "cpu"}}
    return StudyRun(name=address, labels={}, seed=1, words=(), config=config, data={}, address=address)


def write(folder: Path, address: str, name: str, text: str) -> None:
    place = run_folder_of(folder, address)
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(text, encoding="utf-8")


def test_what_is_settled_is_not_done_again_and_each_address_once(tmp_path: Path) -> None:
    write(tmp_path, "r1", RECORD, RECORD_TEXT)
    write(tmp_path, "r2", FAILURE, "the sky fell")

    def end(job: Job) -> Ended:
        if job.name == "r4":
            return Ended("r4", 1, "no memory")
        write(tmp_path, job.name, RECORD, RECORD_TEXT)
        return Ended(job.name, 0)

    log, script = Log(), Script(end)
    run_all(map(run, ["r1", "r2", "r3", "r4", "r3", "r5", "r6"]), tmp_path, script, log)
    assert script.most == 2
    assert log.lines == [
        "finished r1 before or elsewhere", "failed r2: the sky fell", "started r3", "started r4", "finished r3 here",
        "started r5", "failed r4: no memory", "started r6", "finished r5 here", "finished r6 here",
    ]  # fmt: skip
    again = Log()
    run_all(map(run, ["r2", "r4"]), tmp_path, Script(end), again)
    assert again.lines == ["failed r2: the sky fell", "failed r4: no memory"]
    retried = Log()
    run_all(map(run, ["r2", "r3"]), tmp_path, Script(end), retried, retry_failed=True)
    assert retried.lines == ["finished r3 before or elsewhere", "started r2", "finished r2 here"]


@pytest.mark.parametrize(("kills", "status"), [(1, -9), (2, None), (3, -9)])
def test_a_run_whose_process_was_killed_is_tried_again_twice(kills: int, status: int | None, tmp_path: Path) -> None:
    log, calls = Log(), []

    def end(job: Job) -> Ended:
        calls.append(job.name)
        if len(calls) <= kills:
            return Ended(job.name, status, "killed")
        write(tmp_path, job.name, RECORD, RECORD_TEXT)
        return Ended(job.name, 0)

    run_all([run("r1")], tmp_path, Script(end), log)
    assert len(calls) == min(kills + 1, 3)
    assert log.lines[-1] == ("finished r1 here" if kills < 3 else "failed r1: killed")


def test_a_run_that_was_stopped_at_the_time_limit_is_not_tried_again(tmp_path: Path) -> None:
    log = Log()
    run_all(
        [run("r1")], tmp_path, Script(lambda job: Ended(job.name, -15, "stopped at the time limit", late=True)), log
    )
    assert log.lines == ["started r1", "failed r1: stopped at the time limit"]


def test_a_job_that_ends_without_a_record_failed(tmp_path: Path) -> None:
    log = Log()
    run_all([run("r1")], tmp_path, Script(lambda job: Ended(job.name, 0)), log)
    assert log.lines[-1].startswith("failed r1: it ended without a record in ")
    assert run_folder_of(tmp_path, "r1").joinpath(FAILURE).is_file()


def test_a_run_of_another_command_is_left_to_it_and_taken_up_when_that_dies(tmp_path: Path) -> None:
    lock, calls = FileLock(lock_of(run_folder_of(tmp_path, "r1"))), []
    lock_of(run_folder_of(tmp_path, "r1")).parent.mkdir(parents=True)
    lock.acquire()

    def end(job: Job) -> Ended:
        calls.append(job.name)
        if len(calls) == 1:
            return Ended(job.name, BUSY)
        if job.name == "r2":
            lock.release()  # the other command was killed
        write(tmp_path, job.name, RECORD, RECORD_TEXT)
        return Ended(job.name, 0)

    log = Log()
    run_all([run("r1"), run("r2")], tmp_path, Script(end), log)
    assert calls == ["r1", "r2", "r1"]
    assert log.lines == ["started r1", "started r2", "busy r1", "finished r2 here", "started r1", "finished r1 here"]


def test_a_run_whose_lock_is_held_is_not_touched(tmp_path: Path) -> None:
    place = run_folder_of(tmp_path, "r1")
    write(tmp_path, "r1", "checkpoint", "of the other process")
    lock_of(place).parent.mkdir(parents=True)
    with FileLock(lock_of(place)):
        with LocalExecutor() as executor:
            executor.submit(Job("r1", do, (run("r1"), place), place))
            (end,) = executor.wait(60)
        assert end.status == BUSY
    assert (place / "checkpoint").read_text() == "of the other process"


def test_a_run_that_is_done_already_is_left(tmp_path: Path) -> None:
    write(tmp_path, "r1", RECORD, RECORD_TEXT)
    do(run("r1"), run_folder_of(tmp_path, "r1"))
    assert (run_folder_of(tmp_path, "r1") / RECORD).read_text() == RECORD_TEXT


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    write(tmp_path, "r1", RECORD, "{")
    with pytest.raises(ValueError, match=r"record\.json is not a record"):
        run_all([run("r1")], tmp_path, Script(lambda job: Ended(job.name, 0)), Log())
