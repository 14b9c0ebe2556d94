"""State of a study while it runs: finished and failed runs, the time left, and a display of both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from mlemo.callbacks.epoch_log import read_epochs
from mlemo.experiments.engine import run_folder_of
from mlemo.experiments.runs import StudyRun
from mlemo.utils.messages import visible

__all__ = ["Outcome", "ProgressDisplay", "duration", "estimated_seconds", "longest_first", "seconds_left"]


@dataclass
class Outcome:
    """State of a study.

    Args:
        runs: Its runs.
        records: Record of each finished run, by address.
        failures: Last lines of each failed run, by address.
    """

    runs: list[StudyRun]
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class _TimeLeft(ProgressColumn):
    """The time left by a function, which is called whenever the bar is drawn."""

    def __init__(self, say: Callable[[], str]) -> None:
        super().__init__()
        self._say = say

    def render(self, task: Task) -> Text:
        """The words."""
        return Text(self._say())


class ProgressDisplay:
    """One line for each run that ends, which stays in a log; below, on a terminal, a bar with the time left.

    Args:
        console: Where it is shown.
        metrics: Metrics of a finished run that are shown: name -> key in its ``results_test.json``.
        outcome: State of the runs, kept up to date.
        folder: Where the runs lie.
        workers: How many runs are in work at once.
    """

    def __init__(
        self, console: Console, metrics: Mapping[str, str], outcome: Outcome, folder: Path, workers: int
    ) -> None:
        self._console, self._metrics, self._outcome, self._folder = console, metrics, outcome, folder
        self._workers = workers
        self._planned = len({run.address for run in outcome.runs})
        self._kept = len(outcome.records)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _TimeLeft(self._time_left),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID
        self._running: dict[str, tuple[str, float]] = {}  # name, and when it was begun, by address

    def __enter__(self) -> ProgressDisplay:
        if self._kept:
            self._line(f"{self._kept} of {self._planned} runs are done already")
        self._progress.start()
        self._task = self._progress.add_task("starting", total=self._planned, completed=self._kept)
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def started(self, run: StudyRun) -> None:
        """A run is in work from now on."""
        self._running[run.address] = (run.name, time.monotonic())
        self._update()

    def finished(self, run: StudyRun, record: dict[str, Any], here: bool) -> None:
        """A run is done, ``here`` or by another command."""
        known = run.address in self._outcome.records
        self._outcome.records[run.address] = record
        self._running.pop(run.address, None)
        if here or not known:
            values = record["results"]["test"]
            shown = ", ".join(f"{name} {values[key]:.4f}" for name, key in self._metrics.items() if key in values)
            where = f"{record['seconds']:.0f} s" if here else "by another command"
            left = self._time_left()
            self._line(f"{self._place()} {run.name}: {shown} ({where}){f'; {left}' if left else ''}")
        self._update()

    def failed(self, run: StudyRun, text: str) -> None:
        """A run ended in an error; ``text`` ends with its reason."""
        self._outcome.failures[run.address] = text
        self._running.pop(run.address, None)
        reason = text.rstrip().rsplit("\n", 1)[-1]
        self._line(f"{self._place()} {run.name}: failed: {reason}")
        self._update()

    def busy(self, run: StudyRun) -> None:
        """Another command works on the run."""
        self._running.pop(run.address, None)
        self._update()

    def waiting(self) -> None:
        """Show the epochs of the runs in work."""
        if self._console.is_terminal:
            self._update()

    def _settled(self) -> int:
        return len(self._outcome.records.keys() | self._outcome.failures.keys())

    def _place(self) -> str:
        return f"[{self._settled()}/{self._planned}]"

    def _time_left(self) -> str:
        now = time.monotonic()
        spent = {address: now - since for address, (_, since) in self._running.copy().items()}
        seconds = seconds_left(self._outcome, spent, self._workers)
        return f"about {duration(seconds)} left" if seconds else ""

    def _update(self) -> None:
        self._progress.update(self._task, description=self._in_work_names(), completed=self._settled())

    def _in_work_names(self) -> str:
        return "; ".join(map(self._in_work, self._running)) or "waiting for other commands"

    def _in_work(self, address: str) -> str:
        """A run with the epoch in which it is, where it is known."""
        name, epochs = self._running[address][0], read_epochs(run_folder_of(self._folder, address))
        return f"{name} ({epochs[-1]['epoch'] + 1}/{epochs[-1]['epochs']})" if epochs else name

    def _line(self, text: str) -> None:
        self._progress.console.print(visible(text), highlight=False, markup=False, soft_wrap=True)


def seconds_left(outcome: Outcome, spent: Mapping[str, float], workers: int) -> float | None:
    """Seconds until all runs are settled, estimated from finished ones; ``None`` if none is finished.

    Args:
        outcome: State of the study.
        spent: Seconds since each run in work was begun, by address.
        workers: How many runs are in work at once.
    """
    settled = outcome.records.keys() | outcome.failures.keys()
    estimates = estimated_seconds(outcome, (run for run in outcome.runs if run.address not in settled))
    if estimates is None:
        return None
    left = [max(0.0, seconds - spent.get(address, 0.0)) for address, seconds in estimates.items()]
    return max(sum(left) / workers, *left) if left else 0.0


def estimated_seconds(outcome: Outcome, runs: Iterable[StudyRun]) -> dict[str, float] | None:
    """Seconds that each run will take, by address; ``None`` where nothing is known.

    As finished ones of the same labels did, else as all finished ones on average; resumed ones are not used.
    """
    seconds: dict[tuple[str, ...], list[float]] = {}
    for run in outcome.runs:
        record = outcome.records.get(run.address)
        if record is not None and not record.get("resumed"):
            seconds.setdefault(tuple(run.labels.values()), []).append(record["seconds"])
    everything = [value for values in seconds.values() for value in values]
    if not everything:
        return None
    found = {}
    for run in runs:
        values = seconds.get(tuple(run.labels.values()), everything)
        found[run.address] = sum(values) / len(values)
    return found


def longest_first(outcome: Outcome) -> list[StudyRun]:
    """The runs by descending estimated time, so that no long one is left last."""
    seconds = estimated_seconds(outcome, outcome.runs)
    return outcome.runs if seconds is None else sorted(outcome.runs, key=lambda run: -seconds[run.address])


def duration(seconds: float) -> str:
    """Seconds in words: ``80 s``, ``12 min``, ``1.6 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
