"""Jobs on a cluster of Ray: any number of machines, one queue."""

from __future__ import annotations

import os
from typing import Any

from mlemo.experiments.executors.base import RETRIES, Ended, Executor, Job
from mlemo.experiments.executors.local import run_alone

__all__ = ["RayExecutor"]


class RayExecutor(Executor):
    """Jobs as tasks of Ray Core, each with a processor or its GPUs, in a process forked by the Ray worker.

    A Ray worker keeps the server that its jobs are forked from, so that mlemo is imported once per worker. Folders must
    be on a file system that all machines share.

    Args:
        address: ``auto`` for the cluster that this machine belongs to, or else a new one of this machine alone; or the
            address of a cluster.
        workers: How many jobs run at a time; ``None`` for as many as the cluster has processors or GPUs for.
        time_limit: Seconds after which a job gets SIGTERM, and SIGKILL a minute later.

    Raises:
        ValueError: Ray is not installed, there is no such cluster, or ``workers`` is below 1.
    """

    def __init__(self, address: str = "auto", workers: int | None = None, time_limit: float | None = None) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"--workers must be at least 1, found {workers}")
        try:
            import ray
        except ImportError as error:
            raise ValueError("--ray needs Ray; install it with: pip install 'mlemo[ray]'") from error
        # Ray starts workers at a nice value of 15, behind everything else on the machine
        os.environ.setdefault("RAY_worker_niceness", "0")
        # without this Ray warns in each run that it hides the GPUs from jobs that need none
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        self._ray, self.time_limit = ray, time_limit
        self._own = not ray.is_initialized()
        if self._own:
            quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
            try:
                ray.init(address, **quiet)
            except (ConnectionError, ValueError, RuntimeError) as error:
                if address != "auto":
                    raise ValueError(f"--ray {address}: {error}") from error
                ray.init("local", include_dashboard=False, **quiet)
        resources = ray.cluster_resources()
        self._gpus = int(resources.get("GPU", 0))
        self.slots = workers or self._gpus or int(resources.get("CPU", 1))
        self._task: Any = ray.remote(max_retries=RETRIES)(run_alone)
        self._jobs: dict[Any, Job] = {}

    def submit(self, job: Job) -> None:
        """Take a job."""
        gpus = job.gpus if self._gpus else 0
        options = {"num_cpus": 1, "num_gpus": gpus, "name": job.name}
        self._jobs[self._task.options(**options).remote(job, self.time_limit)] = job

    def wait(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since the last call."""
        ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=seconds) if self._jobs else ([], [])
        return [self._end(task) for task in ready]

    def cancel(self, name: str) -> None:
        """End a job at once."""
        for task in [task for task, job in self._jobs.items() if job.name == name]:
            self._ray.cancel(task, force=True)
            self._end(task)

    def close(self) -> None:
        """End all jobs at once, and the cluster where it was started for them."""
        for task in list(self._jobs):
            self._ray.cancel(task, force=True)
        self._jobs.clear()
        if self._own:
            self._ray.shutdown()

    def _end(self, task: Any) -> Ended:
        job = self._jobs.pop(task)
        try:
            ended: Ended = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            return Ended(job.name, None, f"Ray lost it: {type(error).__name__} {str(error)[:300]}".strip())
        return ended
