"""Options that choose where the runs of a study or the trials of a sweep are done."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports torch, which `--help` need not wait for
    from mlemo.experiments.executors import Executor

__all__ = ["add_executors", "executor_of"]


def add_executors(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the options.

    Args:
        parser: The parser of a command.
        what: What is run, in the plural.
    """
    add = parser.add_argument
    add(
        "--workers",
        type=int,
        metavar="N",
        help=f"{what} at once (default: 1; with --ray, as many as the cluster holds)",
    )
    add("--time-limit", type=float, metavar="MINUTES", help=f"stop {what} that take longer; they can be continued")
    add("--ray", metavar="auto|ADDRESS", help="use a Ray cluster: `auto` for the one of this machine, or a new one of "
        "it alone; needs mlemo[ray], and a --folder that all machines share")  # fmt: skip
    add("--submitit", nargs="+", metavar="CLUSTER", help="use submitit, a job each: `slurm` or `local`, and options of "
        "its executor, such as slurm_partition=gpu timeout_min=600; needs mlemo[submitit]")  # fmt: skip


def executor_of(options: argparse.Namespace) -> Executor:
    """The executor that the options name.

    Raises:
        ValueError: Options contradict each other, a package is missing, or there is no such cluster.
    """
    if options.ray is not None and options.submitit is not None:
        raise ValueError("--ray and --submitit: expected one of them at most")
    seconds = None if options.time_limit is None else 60 * options.time_limit
    if options.ray is not None:
        from mlemo.experiments.executors.ray import RayExecutor

        return RayExecutor(options.ray, options.workers, seconds)
    if options.submitit is not None:
        from mlemo.experiments.executors.submitit import SubmititExecutor

        return SubmititExecutor(options.submitit[0], options.submitit[1:], options.workers or 1, seconds)
    from mlemo.experiments.executors import LocalExecutor

    return LocalExecutor(1 if options.workers is None else options.workers, seconds)
