"""Jobs of a batch system, such as Slurm, through submitit: for sites that forbid services of users."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import yaml

from mlemo.experiments.executors.base import Ended, Executor, Job
from mlemo.experiments.executors.local import run_alone

__all__ = ["SubmititExecutor"]

POLL = 0.5  #: seconds between two looks at the jobs


class SubmititExecutor(Executor):
    """A batch job for each job. Folders must be on a file system that all machines share.

    Args:
        cluster: ``slurm``, or ``local`` for processes of this machine.
        options: ``NAME=VALUE`` of submitit's ``AutoExecutor``, such as ``slurm_partition=gpu`` and ``timeout_min=600``.
        workers: How many jobs are submitted at a time.
        time_limit: Seconds after which a job gets SIGTERM, and SIGKILL a minute later.

    Raises:
        ValueError: submitit is not installed, or ``workers`` is below 1.
    """

    def __init__(
        self, cluster: str, options: Sequence[str] = (), workers: int = 1, time_limit: float | None = None
    ) -> None:
        if workers < 1:
            raise ValueError(f"--workers must be at least 1, found {workers}")
        try:
            import submitit
        except ImportError as error:
            raise ValueError("--submitit needs submitit; install it with: pip install 'mlemo[submitit]'") from error
        wrong = [option for option in options if "=" not in option]
        if wrong:
            raise ValueError(f"--submitit: expected NAME=VALUE behind the cluster, found {wrong[0]!r}")
        self._submitit, self._cluster, self.slots, self.time_limit = submitit, cluster, workers, time_limit
        self._options = {name: yaml.safe_load(value) for name, _, value in (one.partition("=") for one in options)}
        self._jobs: dict[str, Any] = {}

    def submit(self, job: Job) -> None:
        """Take a job."""
        executor = self._submitit.AutoExecutor(job.folder.parent.with_name("submitit"), cluster=self._cluster)
        gpus = {"gpus_per_node": job.gpus} if job.gpus and self._cluster != "local" else {}
        try:
            executor.update_parameters(name=job.name, **gpus, **self._options)
        except (NameError, TypeError, ValueError) as error:
            raise ValueError(f"--submitit {self._cluster}: {error}") from error
        self._jobs[job.name] = executor.submit(run_alone, job, self.time_limit)

    def wait(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since the last call."""
        until = time.monotonic() + seconds
        while not (done := [name for name, job in self._jobs.items() if job.done()]) and time.monotonic() < until:
            time.sleep(min(POLL, seconds))
        return [self._end(name) for name in done]

    def cancel(self, name: str) -> None:
        """End a job at once."""
        if (job := self._jobs.pop(name, None)) is not None:
            job.cancel()
            job.wait()

    def close(self) -> None:
        """End all jobs at once."""
        for name in list(self._jobs):
            self.cancel(name)

    def _end(self, name: str) -> Ended:
        job = self._jobs.pop(name)
        try:
            ended: Ended = job.result()
        except (self._submitit.core.utils.FailedJobError, self._submitit.core.utils.UncompletedJobError) as error:
            return Ended(name, None, f"the batch job {job.job_id} ended without a result: {error}")
        return ended
