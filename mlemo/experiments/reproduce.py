"""Run what is not yet run of a study."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mlemo.experiments.engine import run_all, run_folder_of
from mlemo.experiments.executors import Executor, LocalExecutor
from mlemo.experiments.part import part_as_text
from mlemo.experiments.progress import Outcome, ProgressDisplay, duration, estimated_seconds, longest_first
from mlemo.experiments.records import read_failure, read_record
from mlemo.experiments.runs import StudyRun, study_runs
from mlemo.experiments.study import Study
from mlemo.experiments.study_file import DEFINITIONS
from mlemo.runs.atomic import write_atomically
from mlemo.utils.messages import cell, visible

__all__ = ["Outcome", "reproduce"]


def reproduce(
    study: Study,
    scale: str,
    folder: Path,
    *,
    variables: Mapping[str, str] | None = None,
    only: Mapping[str, Collection[str]] | None = None,
    executor: Executor | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Run what is not yet run of a study.

    Args:
        study: The study.
        scale: One of its scales.
        folder: Where runs are kept, in ``folder/runs``; ``folder/<name>_<scale>.json`` lists those of the study.
        variables: Values of ``${name}`` in the study's settings.
        only: Labels of settings, and seeds, that are run now; see ``Study.only``.
        executor: Where runs are done, closed at the end; by default on this machine, one at a time.
        retry_failed: Try failed runs again.
        dry_run: Only list the runs.

    Raises:
        ValueError: A setting of the study or an argument is wrong.
    """
    console = Console()
    folder = folder.resolve()
    study = study.only(only) if only else study
    planned = len(study.expand(scale, variables))
    if not planned:
        raise ValueError(f"{study.path}: scale {scale} has no run with {part_as_text(only or {})}")
    console.print(f"{study.name}, scale {scale}: reading the settings of {planned} runs", highlight=False, markup=False)
    outcome = Outcome(list(study_runs(study, scale, variables)))
    _check_folders(outcome.runs)
    for run in outcome.runs:
        if (record := read_record(run_folder_of(folder, run.address))) is not None:
            outcome.records[run.address] = record
    if dry_run:
        _print_plan(console, outcome, folder)
        return outcome
    runs = [
        {"labels": dict(run.labels), "seed": run.seed, "address": run.address, "words": list(run.words)}
        for run in outcome.runs
    ]
    folder.mkdir(parents=True, exist_ok=True)
    _write_list(folder / f"{study.name}_{scale}.json", runs, keep_others=bool(only))
    with (
        executor or LocalExecutor() as place,
        ProgressDisplay(console, study.metrics, outcome, folder, place.slots) as display,
    ):
        run_all(longest_first(outcome), folder, place, display, retry_failed=retry_failed)
    for address, text in outcome.failures.items():
        name = next(run.name for run in outcome.runs if run.address == address)
        console.print(visible(f"\nfailed: {name}\n{text}"), highlight=False, markup=False, soft_wrap=True)
    failed = f", {len(outcome.failures)} failed (--retry-failed tries them again)" if outcome.failures else ""
    done = f"{len(outcome.records)} runs done{failed}; they are in {folder / 'runs'}"
    console.print(done, highlight=False, markup=False, soft_wrap=True)
    if outcome.records:
        wanted = study.name if study.path.parent == DEFINITIONS else study.path
        words = f"mlemo report {wanted} --scale {scale} --folder {folder}"
        console.print(f"report: {words}", highlight=False, markup=False, soft_wrap=True)
    return outcome


def _check_folders(runs: Iterable[StudyRun]) -> None:
    """Say at once what each run would find out by itself, after minutes."""
    for run in runs:
        place = run.config["data"].get("init_args", {}).get("data_dir")
        if place is not None and not Path(place).is_dir():
            raise ValueError(f"{run.name}: data_dir {place} is not a folder; give --set, as the study's file names it")


def _write_list(path: Path, runs: list[dict[str, Any]], keep_others: bool) -> None:
    """List the runs of a study; where only a part of it is run, those that were listed before stay."""
    with FileLock(path.with_suffix(".lock")):  # another part may be started at the same moment
        if keep_others and path.is_file():
            again = [(run["labels"], run["seed"]) for run in runs]
            before = json.loads(path.read_text(encoding="utf-8"))
            runs = [*(run for run in before if (run["labels"], run["seed"]) not in again), *runs]
        write_atomically(path, json.dumps(runs, indent=1, ensure_ascii=False) + "\n")


def _print_plan(console: Console, outcome: Outcome, folder: Path) -> None:
    table = Table(box=SIMPLE_HEAD, padding=0)
    for name in ("run", "address", "state"):
        table.add_column(name, no_wrap=name != "run", overflow="fold")
    table.add_column("time", justify="right")
    to_do, estimates = [], estimated_seconds(outcome, outcome.runs)
    for run in outcome.runs:
        record, place = outcome.records.get(run.address), run_folder_of(folder, run.address)
        if record is not None:
            took, state = duration(record["seconds"]), "done"
        else:
            to_do.append(run)
            took = "" if estimates is None else f"about {duration(estimates[run.address])}"
            state = "to do" if read_failure(place) is None else "failed"
        table.add_row(cell(run.name), run.address, state, took)
    console.print(table)
    addresses = {run.address for run in to_do}
    cost = "; nothing to estimate it from yet"
    if estimates is not None:
        cost = f", about {duration(sum(estimates[address] for address in addresses))} for one worker"
    console.print(f"{len(addresses)} to run{cost if addresses else ''}", highlight=False, markup=False)
