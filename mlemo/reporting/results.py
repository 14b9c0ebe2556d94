"""The runs in the folder of a study: finished runs, their results, and missing runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from mlemo.experiments.engine import run_folder_of
from mlemo.experiments.records import read_failure, read_record
from mlemo.experiments.study import RULE_SETTING, Labels, Rule, Study
from mlemo.experiments.study_file import DEFINITIONS
from mlemo.runs.predictions import Predictions, read_predictions

__all__ = ["Combination", "Results", "Run", "apart", "own_metric", "read_results", "trained"]

COST = "cost."
TUNED = "tuned_"


@dataclass(frozen=True)
class Run:
    """A run of the study.

    Args:
        labels: Setting and label, for each varying setting.
        seed: Seed or fold.
        folder: Folder of the run.
        record: Record of the run; ``None`` before it is finished.
        state: ``done``, or the reason for a missing record.
        values: Values of settings that the study leaves open (``--set``).
    """

    labels: Labels
    seed: int
    folder: Path
    record: dict[str, Any] | None
    state: str
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Labels and seed in readable form."""
        return ", ".join([*(label for _, label in self.labels), f"seed {self.seed}"])

    def value(self, key: str) -> float | None:
        """Return a test metric or a cost by name; ``None`` if missing."""
        if self.record is None:
            return None
        values = self.record["results"]["test"]
        if key.startswith(COST):
            values, key = self.record.get("cost", {}), key.removeprefix(COST)
        value = values.get(key)
        return float(value) if isinstance(value, int | float) else None

    def classes(self) -> pd.DataFrame:
        """Read the run's ``per_class_test.csv``, one row per label.

        Raises:
            FileNotFoundError: The file is missing.
        """
        table = pd.read_csv(self.folder / "per_class_test.csv", keep_default_na=False, dtype={"label": str})
        return table.set_index("label").apply(pd.to_numeric, errors="coerce")


@dataclass(frozen=True)
class Combination:
    """The finished runs of all seeds with the same labels, under one decision rule if the study defines rules.

    Args:
        labels: Setting and label, for each setting of the study.
        runs: Finished runs.
        planned: Number of planned runs.
        rule: Decision rule applied after training; ``None`` if each run uses its own.
    """

    labels: Labels
    runs: tuple[Run, ...]
    planned: int
    rule: Rule | None = None

    @property
    def name(self) -> str:
        """Labels in readable form."""
        return ", ".join(label for _, label in self.labels)

    def predictions(self) -> list[Predictions]:
        """Read the test predictions of each run; decided by the rule, if any, fitted on the validation predictions.

        Raises:
            FileNotFoundError: A run has no predictions.
            ValueError: The predictions cannot be read.
        """
        test = [read_predictions(run.folder / "predictions_test.csv") for run in self.runs]
        return test if self.rule is None else [_decided_by(self.rule, run) for run in test]


@dataclass
class Results:
    """A study at one scale.

    Args:
        study: The study.
        scale: ``tiny``, ``small`` or ``paper``.
        folder: Folder of the runs.
        runs: All planned runs, finished or not.
        combinations: Combinations with a finished run, in the order of the study.
        missing: Descriptions of missing items.
        part: Part of the study that is included; empty for the whole study.
    """

    study: Study
    scale: str
    folder: Path
    runs: tuple[Run, ...]
    combinations: tuple[Combination, ...]
    missing: list[str] = field(default_factory=list)
    part: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def settings(self) -> tuple[str, ...]:
        """The varying settings, with decision rules applied after training last."""
        return self.study.settings

    @property
    def others(self) -> tuple[str, ...]:
        """The settings except the one whose labels are compared."""
        return tuple(setting for setting in self.settings if setting != self.study.compare)

    def labels_of(self, setting: str) -> list[str]:
        """Return the labels of a setting with finished runs, in the order of the study."""
        found = {dict(combination.labels)[setting] for combination in self.combinations}
        known = self.study.rules if setting == RULE_SETTING and self.study.rules else self.study.varies[setting]
        return [label for label in known if label in found]


def apart(labels: Labels, setting: str) -> tuple[str, Labels]:
    """Separate the label of one setting from those of the others.

    Example:
        >>> apart((("corpus", "SemEval"), ("loss", "BCE")), "loss")
        ('BCE', (('corpus', 'SemEval'),))
    """
    return dict(labels)[setting], tuple(label for label in labels if label[0] != setting)


def trained(combinations: Iterable[Combination]) -> list[Combination]:
    """Return combinations without decision rules applied after training, which have no separate runs."""
    found = {own.runs[0].labels: own for own in combinations}
    return [Combination(labels, own.runs, own.planned) for labels, own in found.items()]


def own_metric(key: str) -> tuple[str, bool]:
    """Return the name of a metric in the collection, and whether it uses the decisions of the run's own rule.

    Example:
        >>> own_metric("tuned_macro_f1"), own_metric("macro_ap")
        (('macro_f1', True), ('macro_ap', False))
    """
    return key.removeprefix(TUNED), key.startswith(TUNED)


def read_results(study: Study, scale: str, folder: Path, only: Mapping[str, Collection[str]] | None = None) -> Results:
    """Read the results of ``mlemo reproduce`` from a folder.

    Args:
        study: The study.
        scale: ``tiny``, ``small`` or ``paper``.
        folder: Folder of the runs.
        only: Labels of settings, and seeds, to which the results are restricted; see ``Study.only``.

    Raises:
        FileNotFoundError: The folder has no runs of the study at this scale.
        ValueError: The study has no such scale or part, a file cannot be read, or no run is finished.
    """
    if scale not in study.scales:
        raise ValueError(f"{study.path}: no scale {scale!r}; it has {', '.join(study.scales)}")
    name = study.name if study.path.parent == DEFINITIONS else str(study.path)
    command = f"mlemo reproduce {name} --scale {scale} --folder {folder}"
    path = folder / f"{study.name}_{scale}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"no runs of {study.name} at scale {scale}: {path} does not exist; `{command}` creates it"
        )
    listed = _listed(path)
    cases = [case for case in study.cases if _has(study, case, scale)]
    gone = listed.keys() - {(frozenset(case), seed) for case in cases for seed in study.scales[scale].seeds}
    study = study.only(only) if only else study
    order = {address: place for place, (address, _) in enumerate(listed.values())}
    runs = []
    for case in study.cases:
        if not _has(study, case, scale):
            continue
        for seed in study.scales[scale].seeds:
            address, words = listed.get((frozenset(case), seed), ("", []))
            values = study.values_in(words, case, seed, scale)
            if not address:
                run = Run(case, seed, folder, None, "not started")
            elif values is None:
                run = Run(case, seed, folder, None, f"run with other settings than those of the study now; `{command}`")
            else:
                run = _run(case, seed, run_folder_of(folder, address), values)
            runs.append(run)
    runs = _one_system_each(runs, order)
    missing = list(_unfinished(runs))
    for labels, seed in (place for place in listed if place in gone):
        name = ", ".join(f"{setting} {label}" for setting, label in sorted(labels))
        missing.append(f"{name}, seed {seed}: no longer part of the study; not shown")
    done = [run for run in runs if run.record is not None]
    if not done:
        found = f"{len(runs)} planned" + (f"; the first, {missing[0]}" if missing else "")
        raise ValueError(
            f"no run of {study.name} at scale {scale} is finished in {folder}: {found}; `{command}` runs them"
        )
    by_case: dict[Labels, list[Run]] = {}
    for run in done:
        by_case.setdefault(run.labels, []).append(run)
    planned = len(study.scales[scale].seeds)
    rules = study.rules.items() or [("", None)]
    combinations = tuple(
        Combination((*case, (RULE_SETTING, label)) if rule else case, tuple(own), planned, rule)
        for (case, own), (label, rule) in product(by_case.items(), rules)
    )
    return Results(study, scale, folder, tuple(runs), combinations, missing, only or {})


def _one_system_each(runs: Sequence[Run], order: Mapping[str, int]) -> list[Run]:
    """Exclude runs with other values than the last one of the same labels, which are not seeds of it."""
    finished = [run for run in runs if run.record is not None]
    last = {run.labels: run.values for run in sorted(finished, key=lambda run: order[run.folder.name])}
    found = []
    for run in runs:
        wanted = last.get(run.labels, {})
        other = [f"{name} {value}, not {wanted[name]}" for name, value in run.values.items() if value != wanted[name]]
        found.append(replace(run, record=None, state=f"run with {', '.join(other)}; not shown") if other else run)
    return found


def _unfinished(runs: Iterable[Run]) -> Iterator[str]:
    """Yield one line per reason for missing runs: the seeds of a combination, and of the last setting's labels."""
    seeds: dict[tuple[Labels, str], tuple[int, ...]] = {}
    for run in runs:
        if run.record is None:
            place = (run.labels, run.state)
            seeds[place] = (*seeds.get(place, ()), run.seed)
    alike: dict[tuple[Labels, str, tuple[int, ...]], list[str]] = {}
    for (labels, state), lacking in seeds.items():
        alike.setdefault((labels[:-1], state, lacking), []).append(labels[-1][1])
    for (others, state, lacking), lasts in alike.items():
        names = [*(label for _, label in others), " / ".join(lasts), "seed" if len(lacking) == 1 else "seeds"]
        yield f"{', '.join(names)} {', '.join(map(str, lacking))}: {state}"


def _listed(path: Path) -> dict[tuple[frozenset[tuple[str, str]], int], tuple[str, list[str]]]:
    """Read the address and arguments of each run when the study was last run, by its labels and its seed."""
    try:
        content: Sequence[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return {(frozenset(run["labels"].items()), run["seed"]): (run["address"], run["words"]) for run in content}
    except (json.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not a list of runs: {error!r}; `mlemo reproduce` rewrites it") from error


def _has(study: Study, case: Labels, scale: str) -> bool:
    """Return whether the study includes a combination at a scale."""
    options = (study.varies[setting][label] for setting, label in case)
    return all(scale in option for option in options if isinstance(option, Mapping))


def _run(case: Labels, seed: int, place: Path, values: Mapping[str, str]) -> Run:
    record = read_record(place)
    if record is not None:
        data = record.get("data", {})  # equal files or folders have equal checksums at any path
        return Run(case, seed, place, record, "done", {name: data.get(value, value) for name, value in values.items()})
    failure = read_failure(place)
    if failure is not None:
        reason = failure.rstrip().rsplit("\n", 1)[-1]
        return Run(case, seed, place, None, f"failed: {reason}" if reason else "failed")
    return Run(case, seed, place, None, "not finished" if place.exists() else "not started")


def _decided_by(rule: Rule, test: Predictions) -> Predictions:
    val = read_predictions(test.path.with_name("predictions_val.csv"))
    fitted = rule.build().fit(val.probabilities, val.gold, val.mask)
    return replace(test, decided=fitted.predict(test.probabilities), rule=fitted.describe())
