"""Executors: where the trainings of studies and sweeps run, each in a process of its own."""

from mlemo.executors.base import BUSY, Ended, Executor, Job
from mlemo.executors.local import LocalExecutor

__all__ = ["BUSY", "Ended", "Executor", "Job", "LocalExecutor"]
