"""Workers of a sweep: each asks Optuna for a trial, trains it in a process of its own, and tells what came out."""

from __future__ import annotations

import copy
import json
import math
import multiprocessing
import shutil
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from mlemo.hardware import GPUPool, leave_process_group
from mlemo.sweeps.sweep_file import Sweep
from mlemo.sweeps.trial_process import train
from mlemo.visible import visible
from mlemo.worker_process import reason, run_all

__all__ = ["Search", "best_trial", "counted", "trial_folder"]

RETRIES = 3  # of a trial whose worker died: it may be the trial that kills


def trial_folder(folder: Path, number: int) -> Path:
    """Folder of a trial."""
    return folder / "trials" / f"trial_{number:04d}"


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """One trial of each place of the sweep, in order of their numbers.

    A trial whose worker died or was broken off is queued again before it is failed, so that no place is ever without a
    trial. Where workers saw the death at the same time, or the worker was alive after all, a place has several that go
    on: the first that ended counts, or else the first. One whose training failed by itself has the reason as its
    ``error`` and counts.
    """
    places: dict[int, list[FrozenTrial]] = defaultdict(list)
    for trial in study.get_trials(deepcopy=False):
        given_up = trial.state == TrialState.FAIL and "error" not in trial.user_attrs
        if not given_up:
            history = RetryHeartbeatStaleTrialCallback.retry_history(trial)
            places[(history or [trial.number])[0]].append(trial)
    found = (min(trials, key=lambda trial: not trial.state.is_finished()) for trials in places.values())
    return sorted(found, key=lambda trial: trial.number)


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The best of the trials that count, or None where none is complete."""
    complete = [trial for trial in counted(study) if trial.state == TrialState.COMPLETE]
    first = max if study.direction == StudyDirection.MAXIMIZE else min
    return first(complete, key=attrgetter("value"), default=None)


class Search:
    """The workers of this process on a sweep; other processes may work on the same one.

    Args:
        sweep: The sweep.
        folder: Where its trials lie.
        url: Database of its trials, as SQLAlchemy names it.
        trials: How many are to be finished.
        workers: How many are trained at once by this process.
        grace: Seconds without a sign of life after which a worker is taken for dead.
        on_gpu: Whether each trial takes a GPU, where this process sees any.

    Raises:
        ValueError: The database cannot be opened, or holds another sweep of this name.
    """

    def __init__(
        self, sweep: Sweep, folder: Path, url: str, *, trials: int, workers: int, grace: int, on_gpu: bool = False
    ) -> None:
        self.sweep, self.folder, self.trials, self.workers = sweep, folder.resolve(), trials, workers
        self._beat = max(1, grace // 6)
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._error: BaseException | None = None
        leave_process_group()
        self._gpus = GPUPool(None if on_gpu else ())
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["mlemo.sweeps.trial_process"])
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # heartbeats, constant liar
        warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed.*")  # here the workers give it
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._storage = _connect(url, self._beat, grace)
        used = any(self.folder.glob("trials/*"))
        self.study = self._open()
        if used and not self.study.get_trials(deepcopy=False):
            raise ValueError(f"{self.folder} holds trials that {url} does not know; delete one or choose another one")
        self._check_same(url)

    def _open(self) -> optuna.Study:
        """The study, with a sampler of its own, as threads may not share one."""
        return optuna.create_study(
            storage=self._storage,
            study_name=self.sweep.path.stem,
            direction=self.sweep.direction,
            pruner=self.sweep.pruner,
            load_if_exists=True,
        )

    def _check_same(self, url: str) -> None:
        space = {key: optuna.distributions.distribution_to_json(value) for key, value in self.sweep.space.items()}
        mine = {"words": list(self.sweep.words), "space": space, "metric": self.sweep.metric,
                "direction": self.sweep.direction}  # fmt: skip
        theirs = self.study.user_attrs.get("sweep", mine)
        for key, value in mine.items():
            if theirs[key] != value:
                raise ValueError(
                    f"{self.sweep.path}: {key}: {url} holds trials of another sweep of this name, with {theirs[key]}; "
                    "go on with that file, or choose another --folder"
                )
        self.study.set_user_attr("sweep", mine)

    def run(self, console: Console) -> None:
        """Return when enough trials are finished, by whichever worker.

        Raises:
            KeyboardInterrupt: Broken off by the user; trials in work are queued again.
        """
        self._console = console
        if done := sum(trial.state.is_finished() for trial in counted(self.study)):
            self._say(f"{done} of {self.trials} trials are finished already")
        threads = [threading.Thread(target=self._work) for _ in range(self.workers)]
        run_all(threads, self._stop)
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            study = self._open()
            while not self._stop.is_set():
                self._take_up_dead(study)
                trials = counted(study)
                if sum(trial.state.is_finished() for trial in trials) >= self.trials:
                    return
                open_place = len(trials) < self.trials or any(trial.state == TrialState.WAITING for trial in trials)
                with self._lock:
                    gpus = self._gpus.take(min(1, len(self._gpus.names))) if open_place else None
                if gpus is None:
                    self._stop.wait(1.0)  # others have the rest, or the GPUs; one of them may die
                    continue
                try:
                    self._try(study, study.ask(), gpus)
                finally:
                    self._gpus.give_back(gpus)
        except BaseException as error:  # shown by the main thread, which ends the others
            self._error = error
            self._stop.set()
        finally:
            self._storage.remove_session()

    def _take_up_dead(self, study: optuna.Study) -> None:
        """Queue again what workers had that died; Optuna's own function fails a trial before it queues it again."""
        for identity in self._storage._get_stale_trial_ids(study._study_id):
            trial = self._storage.get_trial(identity)
            if trial.state == TrialState.RUNNING:
                self._give_back(study, trial, RETRIES)

    def _give_back(self, study: optuna.Study, trial: FrozenTrial, retries: int | None = None) -> None:
        """Queue a trial again, unless that was done too often, and then give it up, so that it is never missing."""
        RetryHeartbeatStaleTrialCallback(max_retry=retries)(study, copy.deepcopy(trial))
        with suppress(UpdateFinishedTrialError):  # another worker did the same
            self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _try(self, study: optuna.Study, trial: Trial, gpus: Sequence[str]) -> None:
        self._storage.record_heartbeat(trial._trial_id)  # Optuna has no public name for what this asks for
        numbers = [other.number for other in counted(study)]
        place = sum(number < trial.number for number in numbers)
        if place >= self.trials or trial.number not in numbers:  # another worker was faster
            study.tell(trial, state=TrialState.FAIL)
            return
        # the seed follows from the place, so that a sweep that was broken off goes on as an unbroken one would have
        seed = int(np.random.SeedSequence([self.sweep.seed, place]).generate_state(1)[0])
        startup = self.sweep.startup_trials
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)
        words = self.sweep.command({key: _suggest(trial, key, space) for key, space in self.sweep.space.items()})
        folder = trial_folder(self.folder, trial.number)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            return  # SQLite lets two workers take the same trial from the queue; the other one has it
        threads = max(1, torch.get_num_threads() // self.workers)
        here, there = self._context.Pipe()
        process = self._context.Process(
            target=train,
            args=(words, folder, self.sweep.metric),
            kwargs={"worker": there, "threads": threads, "gpus": gpus or None},
        )
        start = time.monotonic()
        process.start()
        there.close()
        try:
            pruned = self._follow(trial, process, here)
            trial.set_user_attr("seconds", round(time.monotonic() - start, 1))
            if self._stop.is_set() and process.exitcode != 0:
                self._give_back(study, self._storage.get_trial(trial._trial_id))
                return
            if pruned:
                study.tell(trial, state=TrialState.PRUNED)
            else:
                self._tell(study, trial, folder, process.exitcode)
        except UpdateFinishedTrialError:
            return  # this worker was taken for dead, and the trial queued again
        with self._lock:
            self._report(study, trial.number)

    def _follow(self, trial: Trial, process: Any, reports: Any) -> bool:
        """Give Optuna what the training reports until it ends; returns whether it was pruned."""
        pruned, beaten = False, time.monotonic()
        try:
            while process.is_alive() and not self._stop.is_set():
                if time.monotonic() - beaten > self._beat:
                    self._storage.record_heartbeat(trial._trial_id)
                    beaten = time.monotonic()
                if reports.poll(0.3):
                    epoch, value = reports.recv()
                    trial.report(value, epoch)
                    pruned = trial.should_prune()
                    reports.send(pruned)
        except (EOFError, ConnectionError):  # it ends
            process.join(60)
        finally:
            process.kill()  # without effect where it has ended by itself
            process.join()
        return pruned

    def _tell(self, study: optuna.Study, trial: Trial, folder: Path, exitcode: int | None) -> None:
        if exitcode == 0:
            value = json.loads((folder / "results_val.json").read_text(encoding="utf-8"))[self.sweep.metric]
            if math.isfinite(value):
                study.tell(trial, value)
                return
            error = f"{self.sweep.metric} is {value}"
        else:
            error = reason(folder, exitcode)
        trial.set_user_attr("error", error)
        study.tell(trial, state=TrialState.FAIL)

    def _report(self, study: optuna.Study, number: int) -> None:
        """A line on the trial; checkpoints are kept of the best one only."""
        finished = [trial for trial in counted(study) if trial.state.is_finished()]
        trial = next((trial for trial in finished if trial.number == number), None)
        if trial is None:
            return  # this worker was taken for dead, and the trial queued again
        best = best_trial(study)
        for other in finished:
            if best is None or other.number != best.number:
                shutil.rmtree(trial_folder(self.folder, other.number) / "checkpoints", ignore_errors=True)
        if trial.state == TrialState.COMPLETE:
            found = f"{self.sweep.metric} {trial.value:.4f}{', the best' if best and number == best.number else ''}"
        elif trial.state == TrialState.PRUNED:
            found = f"pruned after epoch {trial.last_step}"
        else:
            found = "failed: " + trial.user_attrs["error"].rsplit("\n", 1)[-1]
        values = ", ".join(f"{name} {show(trial.params[key])}" for key, name in self.sweep.short_names.items())
        self._say(f"[{len(finished)}/{self.trials}] trial {number}: {values}: {found}")

    def _say(self, text: str) -> None:
        self._console.print(visible(text), highlight=False, markup=False, soft_wrap=True)


def show(value: Any) -> str:
    """A value as people read it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _connect(url: str, beat: int, grace: int) -> RDBStorage:
    for wait in (0.3, 1.0, 3.0, None):
        try:
            return RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {},
                heartbeat_interval=beat,
                grace_period=grace,
            )
        except (SQLAlchemyError, ImportError) as error:
            making = isinstance(error, (IntegrityError, OperationalError))  # another worker makes the tables just now
            if wait is None or not making:
                raise ValueError(f"--storage {url}: {error}") from error
            time.sleep(wait)
    raise AssertionError


def _suggest(trial: Trial, key: str, space: BaseDistribution) -> Any:
    if isinstance(space, CategoricalDistribution):
        return trial.suggest_categorical(key, space.choices)
    if isinstance(space, IntDistribution):
        return trial.suggest_int(key, space.low, space.high, step=space.step, log=space.log)
    assert isinstance(space, FloatDistribution)
    return trial.suggest_float(key, space.low, space.high, step=space.step, log=space.log)
