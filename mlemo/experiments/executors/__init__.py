"""Executors: where the trainings of studies and sweeps run, each in a process of its own."""

from mlemo.experiments.executors.base import BUSY, RETRIES, Ended, Executor, Job
from mlemo.experiments.executors.local import LocalExecutor

__all__ = ["BUSY", "RETRIES", "Ended", "Executor", "Job", "LocalExecutor"]
