"""The search of a sweep: Optuna proposes trials, an executor trains them, and Optuna is told what they gave."""

from __future__ import annotations

import json
import math
import shutil
import time
import warnings
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console

from mlemo.callbacks.epoch_log import read_epochs
from mlemo.experiments.do_trial import do_trial
from mlemo.experiments.executors import RETRIES, Ended, Executor, Job
from mlemo.experiments.sweep_file import Sweep
from mlemo.runs.atomic import write_atomically
from mlemo.runs.files import RESULTS
from mlemo.utils.messages import visible

__all__ = ["Search", "best_trial", "counted", "place_of", "show", "trial_folder"]

POLL = 0.3  #: seconds between two looks at the epochs of the trials in work
PLACE = "place"  #: attribute of a trial: which of the sweep's trials it is, from 0


def trial_folder(folder: Path, place: int) -> Path:
    """Folder of a trial."""
    return folder / "trials" / f"trial_{place:04d}"


def place_of(trial: FrozenTrial) -> int:
    """Which of the sweep's trials it is, from 0; an interrupted trial has the place of the one that continues it."""
    return int(trial.user_attrs.get(PLACE, trial.number))


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of a sweep in order of their places, without interrupted ones that are tried again.

    One whose training failed by itself has the reason as its ``error`` and counts.
    """
    trials = study.get_trials(deepcopy=False)
    kept = [trial for trial in trials if trial.state != TrialState.FAIL or "error" in trial.user_attrs]
    return sorted(kept, key=place_of)


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The best of the trials that count, or None where none is complete."""
    complete = [trial for trial in counted(study) if trial.state == TrialState.COMPLETE]
    first = max if study.direction == StudyDirection.MAXIMIZE else min
    return first(complete, key=attrgetter("value"), default=None)


@dataclass
class _Working:
    trial: Trial
    job: Job
    begun: float
    kills: int = 0
    reported: set[int] = field(default_factory=set)


class Search:
    """A sweep in its folder, of which one command at a time works.

    Optuna's database holds the history: what was tried, and what it gave. What is in work is known to this process
    alone; a trial that was in work when it ended is tried again in its folder, from its latest checkpoint.

    Args:
        sweep: The sweep.
        folder: Where its trials lie.
        trials: How many are to be finished.
        on_gpu: Whether each trial takes a GPU, where there is one.

    Raises:
        ValueError: The folder holds another sweep of this name.
    """

    def __init__(self, sweep: Sweep, folder: Path, *, trials: int, on_gpu: bool = False) -> None:
        self.sweep, self.folder, self.trials, self.on_gpu = sweep, folder.resolve(), trials, on_gpu
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # constant liar
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        database = self.folder / "trials.db"
        used = any(self.folder.glob("trials/*"))
        self.study = optuna.create_study(
            storage=f"sqlite:///{database}",
            study_name=sweep.path.stem,
            direction=sweep.direction,
            pruner=sweep.pruner,
            load_if_exists=True,
        )
        if used and not self.study.get_trials(deepcopy=False):
            raise ValueError(f"{self.folder} holds trials that {database} does not have; delete it or choose another")
        self._check_same(database)
        self._working: dict[str, _Working] = {}

    def run(self, executor: Executor, console: Console) -> None:
        """Return when enough trials are finished.

        Args:
            executor: Where trials are trained.
            console: Where a line is printed for each trial.
        """
        self._console = console
        self._queue_again()
        if done := sum(trial.state.is_finished() for trial in counted(self.study)):
            self._say(f"{done} of {self.trials} trials are finished already")
        while True:
            while len(self._working) < executor.slots and self._has_open_place():
                self._begin(executor)
            if not self._working:
                return
            ended = executor.wait(POLL)
            for name, working in list(self._working.items()):
                if self._report_epochs(working):
                    executor.cancel(name)
                    self._finish(name, TrialState.PRUNED)
            for end in ended:
                if end.name not in self._working:
                    continue
                working = self._working[end.name]
                if end.was_killed and working.kills < RETRIES:
                    working.kills += 1
                    executor.submit(working.job)
                else:
                    self._tell(end)

    def _check_same(self, database: Path) -> None:
        space = {key: optuna.distributions.distribution_to_json(value) for key, value in self.sweep.space.items()}
        mine = {"words": list(self.sweep.words), "space": space, "metric": self.sweep.metric,
                "direction": self.sweep.direction}  # fmt: skip
        theirs = self.study.user_attrs.get("sweep", mine)
        for key, value in mine.items():
            if theirs[key] != value:
                raise ValueError(
                    f"{self.sweep.path}: {key}: {database} holds trials of another sweep of this name, with "
                    f"{theirs[key]}; continue with that file, or choose another --folder"
                )
        self.study.set_user_attr("sweep", mine)

    def _queue_again(self) -> None:
        """Queue the trials that were in work when an earlier command ended."""
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state == TrialState.RUNNING:
                self.study.tell(trial.number, state=TrialState.FAIL)
                if trial.params.keys() == self.sweep.space.keys():  # else it was ended while it was proposed
                    self.study.enqueue_trial(dict(trial.params), user_attrs={PLACE: place_of(trial)})

    def _has_open_place(self) -> bool:
        trials = counted(self.study)
        return len(trials) < self.trials or any(trial.state == TrialState.WAITING for trial in trials)

    def _begin(self, executor: Executor) -> None:
        taken = {place_of(trial) for trial in counted(self.study)}
        place = next(place for place in range(len(taken) + 1) if place not in taken)
        # the seed follows from the place, so that an interrupted sweep continues as an uninterrupted one would have
        seed = int(np.random.SeedSequence([self.sweep.seed, place]).generate_state(1)[0])
        startup = self.sweep.startup_trials
        self.study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)
        trial = self.study.ask(dict(self.sweep.space))
        if PLACE not in trial.user_attrs:  # it was not queued again
            trial.set_user_attr(PLACE, place)
        folder = trial_folder(self.folder, trial.user_attrs[PLACE])
        name = folder.name
        words = self.sweep.command({key: trial.params[key] for key in self.sweep.space})
        given = folder.with_suffix(".json")
        if not given.is_file() or json.loads(given.read_text(encoding="utf-8")) != list(words):
            shutil.rmtree(folder, ignore_errors=True)  # of a trial with other values that was given up
            write_atomically(given, json.dumps(words))
        job = Job(name, do_trial, (words, folder), folder, gpus=int(self.on_gpu))
        self._working[name] = _Working(trial, job, time.monotonic())
        executor.submit(job)

    def _report_epochs(self, working: _Working) -> bool:
        """Give Optuna the epochs that are new; returns whether it prunes the trial."""
        for line in read_epochs(working.job.folder):
            if line["epoch"] not in working.reported:
                working.reported.add(line["epoch"])
                working.trial.report(line["metrics"][f"val/{self.sweep.metric}"], line["epoch"])
                if working.trial.should_prune():
                    return True
        return False

    def _tell(self, end: Ended) -> None:
        working = self._working[end.name]
        if end.status != 0:
            self._finish(end.name, TrialState.FAIL, error=end.reason)
            return
        results = RESULTS.path(working.job.folder, "val")
        value = json.loads(results.read_text(encoding="utf-8"))[self.sweep.metric]
        if math.isfinite(value):
            self._finish(end.name, TrialState.COMPLETE, value)
        else:
            self._finish(end.name, TrialState.FAIL, error=f"{self.sweep.metric} is {value}")

    def _finish(self, name: str, state: TrialState, value: float | None = None, error: str | None = None) -> None:
        """Tell Optuna, and print a line; checkpoints are kept of the best trial only."""
        working = self._working.pop(name)
        working.trial.set_user_attr("seconds", round(time.monotonic() - working.begun, 1))
        if error is not None:
            working.trial.set_user_attr("error", error)
        self.study.tell(working.trial, value, state)
        finished = [trial for trial in counted(self.study) if trial.state.is_finished()]
        best = best_trial(self.study)
        for other in finished:
            if best is None or other.number != best.number:
                shutil.rmtree(trial_folder(self.folder, place_of(other)) / "checkpoints", ignore_errors=True)
        trial = next(trial for trial in finished if trial.number == working.trial.number)
        if state == TrialState.COMPLETE:
            found = f"{self.sweep.metric} {value:.4f}{', the best' if best and trial.number == best.number else ''}"
        elif state == TrialState.PRUNED:
            found = f"pruned after epoch {trial.last_step}"
        else:
            found = "failed: " + str(error).rsplit("\n", 1)[-1]
        values = ", ".join(f"{short} {show(trial.params[key])}" for key, short in self.sweep.short_names.items())
        self._say(f"[{len(finished)}/{self.trials}] trial {place_of(trial)}: {values}: {found}")

    def _say(self, text: str) -> None:
        self._console.print(visible(text), highlight=False, markup=False, soft_wrap=True)


def show(value: Any) -> str:
    """A value as people read it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
