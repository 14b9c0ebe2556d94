"""Ablations driven from Python: variants of one experiment, each with several seeds, run and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from mlemo.api import findings
from mlemo.api.display import progress_display
from mlemo.api.experiment import Base, Experiment
from mlemo.api.plan import VARIANT, check_folders, seeds_of, variant_runs
from mlemo.api.state import standing, state_of, summary
from mlemo.api.trained_run import TrainedRun
from mlemo.experiments.engine import run_all, run_folder_of
from mlemo.experiments.executors import Executor, LocalExecutor
from mlemo.experiments.progress import longest_first
from mlemo.experiments.records import read_record
from mlemo.experiments.runs import StudyRun
from mlemo.reporting.document import Paragraph, Table
from mlemo.reporting.figure_style import Chart
from mlemo.reporting.notebook import Shown
from mlemo.reporting.results import Combination, Results, Run
from mlemo.utils.messages import visible

__all__ = ["Ablation", "ablate"]

#: Metrics that are shown of a run when it is finished: name -> key of its results.
SHOWN = {"jaccard": "tuned_jaccard", "micro_f1": "tuned_micro_f1", "macro_f1": "tuned_macro_f1"}
METRICS = ("jaccard", "micro_f1", "macro_f1")


def ablate(
    base: Base,
    variants: Mapping[str, Mapping[str, Any]],
    *,
    seeds: int | Sequence[int] = 3,
    folder: str | Path = "runs/studies",
) -> Ablation:
    """Plan an ablation: nothing is trained before its ``run``.

    Args:
        base: A configuration file, its content as a mapping, or an `Experiment`.
        variants: Name -> what the variant sets, over the base: values by dotted key, ``{}`` for the base itself. They
            are plain values, as on the command line of ``mlemo fit``, classes, or objects; see `Experiment`.
        seeds: How many, counted from the seed of the base (42 unless it sets one), or the seeds themselves.
        folder: Where runs are kept. A run with the same settings that is there already, also one of ``mlemo
            reproduce``, is not trained again.

    Raises:
        FileNotFoundError: There is no such configuration file.
        ValueError: There is no variant or seed, or a setting is wrong; the message names the variant, and the nearest
            existing setting.
    """
    return Ablation(base if isinstance(base, Experiment) else Experiment(base), variants, seeds, Path(folder))


class Ablation:
    """Variants of an experiment with their runs; made by `ablate`. ``ablation["name"]`` are the runs of a variant.

    Args:
        base: What the variants have in common.
        variants: Name -> what the variant sets.
        seeds: Their number, or the seeds.
        folder: Where runs are kept.

    Attributes:
        base: As given.
        variants: Names.
        folder: As given, as an absolute path.
        plan: The runs in the order of variants and seeds, with their addresses.
    """

    def __init__(
        self, base: Experiment, variants: Mapping[str, Mapping[str, Any]], seeds: int | Sequence[int], folder: Path
    ) -> None:
        if not variants:
            raise ValueError("expected at least one variant, such as {'base': {}}, found none")
        self.base, self.variants, self.folder = base, tuple(variants), folder.resolve()
        self.seeds = seeds_of(base, seeds)
        self.plan = [run for name, own in variants.items() for run in variant_runs(base, name, own, self.seeds)]

    def run(
        self,
        workers: int = 1,
        *,
        retry_failed: bool = False,
        time_limit: float | None = None,
        executor: Executor | None = None,
    ) -> None:
        """Train what is not trained yet, each run in a process of its own; the others continue where one fails.

        A run that was interrupted, also by the end of this process, continues from its last checkpoint.

        Args:
            workers: How many runs at a time on this machine.
            retry_failed: Try runs again that failed before.
            time_limit: Seconds after which a run is stopped, with a checkpoint; ``None`` for no limit.
            executor: Where the runs are done instead, such as `mlemo.experiments.executors.ray.RayExecutor`; closed at
                the end.

        Raises:
            ValueError: A folder of data that a run names is not there.
        """
        check_folders(self.plan)
        outcome = standing(self.plan, self.folder)
        place = executor or LocalExecutor(workers, time_limit)
        self.folder.mkdir(parents=True, exist_ok=True)
        with place, progress_display(SHOWN, outcome, self.folder, place.slots) as display:
            run_all(longest_first(outcome), self.folder, place, display, retry_failed=retry_failed)
        for address, text in outcome.failures.items():
            names = " and ".join(run.name for run in self.plan if run.address == address)
            print(visible(f"failed: {names}; run(retry_failed=True) tries again\n{text}\n"))

    def __getitem__(self, variant: str) -> list[TrainedRun]:
        """The runs of a variant in the order of the seeds, finished or not.

        Raises:
            KeyError: There is no such variant.
        """
        self._known(variant)
        return [
            TrainedRun(self._place(run), run.config, run.name) for run in self.plan if run.labels[VARIANT] == variant
        ]

    def __iter__(self) -> Iterator[str]:
        """The names of the variants."""
        return iter(self.variants)

    def _ipython_key_completions_(self) -> list[str]:
        """What Tab offers between the brackets."""
        return list(self.variants)

    def status(self) -> pd.DataFrame:
        """The state of each run: a row per variant, a column per seed."""
        states: dict[str, dict[int, str]] = {name: {} for name in self.variants}
        for run in self.plan:
            states[run.labels[VARIANT]][run.seed] = state_of(self._place(run))
        return pd.DataFrame.from_dict(states, orient="index").rename_axis(VARIANT).rename_axis("seed", axis=1)

    def scores(self, metrics: Sequence[str] = METRICS, *, resamples: int = 5000) -> pd.DataFrame:
        """Metrics as numbers: a row per variant, metric and decision rule; see `table`.

        Args:
            metrics: Names of metrics.
            resamples: Number of bootstrap resamples.

        Returns:
            Columns ``runs``, ``mean``, ``sd`` (n − 1; missing for one run), and ``low`` and ``high``, the 95 % interval
            as reports of studies compute it: over test samples and seeds.

        Raises:
            ValueError: No run is finished, or there is no such metric.
        """
        return findings.scores(self.results(), metrics, resamples)

    def table(
        self, metrics: Sequence[str] = METRICS, *, intervals: bool = False, resamples: int = 5000
    ) -> pd.DataFrame:
        """Metrics of the variants side by side, by the fitted decision rule and at the threshold 0.5, as text.

        Args:
            metrics: Names of metrics in ``results_test.json``, without ``tuned_``.
            intervals: Show the 95 % interval in place of the standard deviation over the seeds.
            resamples: Number of bootstrap resamples of the intervals.

        Returns:
            A row per variant with a finished run; columns ``(metric, tuned)`` and ``(metric, 0.5)``, where the metric
            depends on decisions.

        Raises:
            ValueError: No run is finished, or there is no such metric.
        """
        return findings.table(self.results(), metrics, resamples if intervals else None)

    def differences(
        self, metric: str, *, baseline: str | None = None, tuned: bool = True, resamples: int = 5000
    ) -> pd.DataFrame:
        """Paired differences from a baseline, as reports of studies compute them.

        Args:
            metric: Name of a metric.
            baseline: The variant that is compared with; by default the first one.
            tuned: By the fitted decision rule, where the metric depends on decisions; else at the threshold 0.5.
            resamples: Number of bootstrap resamples.

        Returns:
            A row per other variant; columns ``difference``, ``low`` and ``high`` (95 % interval), ``p`` (two-sided) and
            ``p_holm`` (corrected for the comparisons).

        Raises:
            ValueError: No run of the baseline or of another variant is finished, or there is no such metric or variant.
        """
        return findings.differences(self.results(baseline), metric, tuned, resamples)

    def forest(self, metric: str, *, baseline: str | None = None, tuned: bool = True, resamples: int = 5000) -> Chart:
        """`differences` as a forest plot; arguments and errors are the same."""
        return findings.forest_plot(self.results(baseline), metric, tuned, resamples)

    def per_label(self, metric: str = "f1", *, tuned: bool = True) -> pd.DataFrame:
        """A metric of each label: a row per label, a column per variant, means over the seeds.

        Args:
            metric: A column of ``per_class_test.csv`` without ``tuned_``: ``f1``, ``precision``, ``recall``, ``ap``.
            tuned: By the fitted decision rule, where there are both.

        Returns:
            The first column, ``support``, is the number of positives in the test split.

        Raises:
            ValueError: No run is finished, or there is no such metric.
        """
        return findings.per_label(self.results(), metric, tuned)

    def curves(self, pattern: str = "train/*", *, against: str = "epoch") -> Chart:
        """Scalars that the trainings logged: means over the seeds with a band of one standard deviation.

        Args:
            pattern: Names with ``*`` for any text, such as ``train/loss``, ``val/*`` or ``weight/*``. What is logged in
                training alone, ``weight/`` and ``loss/``, may have ``train/`` before it.
            against: ``epoch``, ``step`` or ``seconds``.

        Raises:
            ValueError: No finished run has such a scalar.
        """
        return findings.curves(self.results(), pattern, against)

    def errors(self, variant: str, *, label: str | None = None, split: str = "test") -> pd.DataFrame:
        """Where the runs of a variant are wrong, the most confident mistakes first.

        Args:
            variant: Name of the variant.
            label: Mistakes on this label alone; by default on all labels, a row per sample and label.
            split: ``val`` or ``test``.

        Returns:
            Columns ``text`` (where the corpus has texts), ``label``, ``mistake`` (``missed`` or ``false alarm``),
            ``probability`` of the label (mean over the runs), ``runs wrong``, and the ``gold`` and ``predicted`` labels
            of the sample, the latter by most of the runs. The index is the sample's id.

        Raises:
            ValueError: No run of the variant is finished, or there is no such label.
            KeyError: There is no such variant.
        """
        runs = [run for run in self[variant] if run.is_done]
        if not runs:
            raise ValueError(f"no run of {variant!r} is finished; run() trains them")
        return findings.mistakes(runs, label, split)

    def results(self, baseline: str | None = None) -> Results:
        """The finished runs as reports of studies take them.

        Args:
            baseline: The variant that others are compared with; by default the first one.

        Raises:
            ValueError: No run is finished, or none of the baseline.
            KeyError: There is no such variant.
        """
        order = list(self.variants)
        if baseline is not None:
            self._known(baseline)
            order.sort(key=lambda name: name != baseline)
        runs = {name: [self._result(run) for run in self.plan if run.labels[VARIANT] == name] for name in order}
        done = {name: tuple(run for run in own if run.record is not None) for name, own in runs.items()}
        if not any(done.values()):
            raise ValueError(f"no run is finished in {self.folder}; run() trains them")
        if baseline is not None and not done[baseline]:
            raise ValueError(f"no run of the baseline {baseline!r} is finished; run() trains them")
        combinations = tuple(Combination(((VARIANT, name),), own, len(self.seeds)) for name, own in done.items() if own)
        everything = tuple(run for own in runs.values() for run in own)
        return Results(findings.study_of(order), "", self.folder, everything, combinations)

    def __repr__(self) -> str:
        """State of the runs."""
        return summary(self.plan, self.folder)

    def _repr_html_(self) -> str:
        """The same with the state of each run, as Jupyter shows it."""
        frame = self.status()
        rows = tuple((str(name), *map(str, row)) for name, row in zip(frame.index, frame.to_numpy()))
        head = (VARIANT, *(f"seed {seed}" for seed in frame.columns))
        return Shown([Paragraph(summary(self.plan, self.folder)), Table("Runs", head, rows, len(head))])._repr_html_()

    def _place(self, run: StudyRun) -> Path:
        return run_folder_of(self.folder, run.address)

    def _result(self, run: StudyRun) -> Run:
        place = self._place(run)
        return Run(tuple(run.labels.items()), run.seed, place, read_record(place), state_of(place))

    def _known(self, variant: str) -> None:
        if variant not in self.variants:
            near = get_close_matches(str(variant), self.variants, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise KeyError(f"no variant {variant!r}{hint} It has {', '.join(map(repr, self.variants))}")
