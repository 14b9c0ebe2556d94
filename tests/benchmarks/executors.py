"""Seconds that an executor needs per job beside the job itself, to start, and of this process while it waits.

python tests/benchmarks/executors.py --jobs 600 --workers 2 --executors local ray submitit
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mlemo.experiments.executors import Executor, Job, LocalExecutor


def make(name: str, workers: int) -> Executor:
    """An executor of this machine."""
    if name == "ray":
        from mlemo.experiments.executors.ray import RayExecutor

        return RayExecutor("local", workers)
    if name == "submitit":
        from mlemo.experiments.executors.submitit import SubmititExecutor

        return SubmititExecutor("local", ["timeout_min=60"], workers)
    return LocalExecutor(workers)


def run_all(executor: Executor, jobs: list[Job]) -> None:
    """Do jobs, as many at a time as the executor has slots for."""
    waiting, working = list(reversed(jobs)), 0
    while waiting or working:
        while waiting and working < executor.slots:
            executor.submit(waiting.pop())
            working += 1
        for ended in executor.wait(1.0):
            assert ended.status == 0, ended.reason
            working -= 1


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--executors", nargs="+", default=["local", "ray", "submitit"])
    parser.add_argument("--wait", type=float, default=20.0, help="seconds of waiting for jobs that do nothing")
    options = parser.parse_args()
    table = Table("executor", "start and first job, s", "per job, s", "processor of the driver while it waits, %")
    for name in options.executors:
        with tempfile.TemporaryDirectory() as folder:

            def job(number: int, seconds: float = 0.0, folder: Path = Path(folder)) -> Job:
                return Job(f"r{number}", time.sleep, (seconds,), folder / "runs" / f"r{number}")

            start = time.perf_counter()
            with make(name, options.workers) as executor:
                run_all(executor, [job(0)])
                first = time.perf_counter() - start
                start = time.perf_counter()
                run_all(executor, [job(number) for number in range(1, options.jobs + 1)])
                each = (time.perf_counter() - start) / options.jobs
                used = time.process_time()
                run_all(executor, [job(options.jobs + 1 + slot, options.wait) for slot in range(options.workers)])
                share = (time.process_time() - used) / options.wait
        table.add_row(name, f"{first:.1f}", f"{each:.3f}", f"{100 * share:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
