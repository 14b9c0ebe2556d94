"""State of the runs of an ablation: finished, failed, interrupted, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlemo.api.plan import VARIANT
from mlemo.experiments.engine import is_locked, run_folder_of
from mlemo.experiments.progress import Outcome, duration, seconds_left
from mlemo.experiments.records import read_failure, read_record
from mlemo.experiments.runs import StudyRun

__all__ = ["standing", "state_of", "summary"]


def state_of(place: Path) -> str:
    """The state of the run in a folder: ``done``, ``failed``, ``running``, ``interrupted`` or ``to do``."""
    if read_record(place) is not None:
        return "done"
    if read_failure(place) is not None:
        return "failed"
    if not place.is_dir():
        return "to do"
    return "running" if is_locked(place) else "interrupted"


def standing(plan: Sequence[StudyRun], folder: Path) -> Outcome:
    """The records of finished runs, to begin with; failed ones may be tried again.

    Args:
        plan: The runs.
        folder: Where runs are kept.
    """
    records = {run.address: read_record(run_folder_of(folder, run.address)) for run in plan}
    return Outcome(list(plan), {address: record for address, record in records.items() if record is not None})


def summary(plan: Sequence[StudyRun], folder: Path) -> str:
    """How many runs there are, what is done, and how long the rest takes; arguments as for `standing`."""
    outcome = standing(plan, folder)
    for run in plan:
        failure = read_failure(run_folder_of(folder, run.address))
        if failure is not None and run.address not in outcome.records:
            outcome.failures[run.address] = failure
    planned = len({run.address for run in plan})
    to_do = planned - len(outcome.records) - len(outcome.failures)
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    left = seconds_left(outcome, {}, 1)
    rest = "time unknown before one is done" if left is None else f"about {duration(left)} for one worker"
    variants, seeds = len({run.labels[VARIANT] for run in plan}), len({run.seed for run in plan})
    runs = f"{planned} runs" if planned == len(plan) else f"{planned} different runs"
    return (
        f"{variants} variants × {seeds} seeds, {runs} in {folder}: {len(outcome.records)} done{failed}, {to_do} to do"
        + (f"; {rest}" if to_do else "")
    )
