"""What the finished runs of an ablation show, by the functions of reports: tables, differences, figures, mistakes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from mlemo.api.plan import VARIANT
from mlemo.api.trained_run import TrainedRun
from mlemo.experiments.study import Figure, Labels, Study
from mlemo.metrics.compare import mean_and_sd
from mlemo.reporting.classes import class_values
from mlemo.reporting.curve_figures import read_scalars
from mlemo.reporting.figure_style import Chart
from mlemo.reporting.figures import figures
from mlemo.reporting.results import TUNED, Results
from mlemo.reporting.scores import Score, Scores, score
from mlemo.reporting.units import unit_of

__all__ = ["curves", "differences", "forest_plot", "mistakes", "per_label", "scores", "study_of", "table"]

#: Families of scalars that are logged in training alone, without ``train/`` before their names.
TRAINING = ("loss/", "weight/")
BY_RULE = ", tuned"  #: behind the name of a metric of labels that the fitted decision rule decided


def study_of(variants: Sequence[str]) -> Study:
    """The variants as a study, without metrics."""
    return Study(
        path=Path("ablation"),
        title="Ablation",
        paper="",
        metrics={},
        class_metrics={},
        scales={},
        varies={VARIANT: dict.fromkeys(variants, ())},
        cases=(),
        rules={},
        compare=VARIANT,
        published=(),
        published_tests=(),
        claims=(),
        figures=(),
        notes=(),
    )


def scores(results: Results, metrics: Sequence[str], resamples: int) -> pd.DataFrame:
    """See `Ablation.scores`."""
    results = _with_metrics(results, [key for name in metrics for key in _keys(results, name)])
    found = _scored(results, resamples)
    rows = []
    for combination in results.combinations:
        for name, key in results.study.metrics.items():
            own = found.by.get((combination.labels, name))
            if own is not None:
                place = (_variant(combination.labels), key.removeprefix(TUNED), _rule(results, key))
                rows.append((*place, len(own.values), own.mean, own.sd, own.low, own.high))
    names = [VARIANT, "metric", "rule"]
    return pd.DataFrame(rows, columns=[*names, "runs", "mean", "sd", "low", "high"]).set_index(names)


def table(results: Results, metrics: Sequence[str], resamples: int | None) -> pd.DataFrame:
    """See `Ablation.table`; without resamples it shows standard deviations."""
    results = _with_metrics(results, [key for name in metrics for key in _keys(results, name)])
    found = None if resamples is None else _scored(results, resamples)
    rows = []
    for combination in results.combinations:
        done, planned = len(combination.runs), combination.planned
        row = {("runs", ""): str(done) if done == planned else f"{done} of {planned}"}
        for name, key in results.study.metrics.items():
            unit = unit_of(results.study, name)
            if found is None:
                values = [value for run in combination.runs if (value := run.value(key)) is not None]
                cell = unit.mean(*mean_and_sd(values)) if values else "–"
            else:
                own = found.by.get((combination.labels, name), Score({}, np.nan, np.nan))
                cell = f"{unit.show(own.mean)} {unit.interval(own.low, own.high)}"
            row[unit.head.replace(BY_RULE, ""), _rule(results, key)] = cell
        rows.append(row)
    index = pd.Index([_variant(own.labels) for own in results.combinations], name=VARIANT)
    return pd.DataFrame(rows, index, pd.MultiIndex.from_tuples(rows[0]))


def differences(results: Results, metric: str, tuned: bool, resamples: int) -> pd.DataFrame:
    """See `Ablation.differences`."""
    results = _with_metrics(results, [_key(results, metric, tuned)])
    rows = {
        _variant(own.labels): (own.result.difference, own.result.low, own.result.high, own.result.p, own.p_holm)
        for own in _scored(results, resamples).differences
    }
    if not rows:
        raise ValueError(_alone(results))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["difference", "low", "high", "p", "p_holm"])
    return frame.rename_axis(VARIANT)


def forest_plot(results: Results, metric: str, tuned: bool, resamples: int) -> Chart:
    """See `Ablation.forest`."""
    results = _with_metrics(results, [_key(results, metric, tuned)])
    (name,) = results.study.metrics
    found = _scored(results, resamples)
    if not found.differences:
        raise ValueError(_alone(results))
    return _drawn(Figure("forest", metric, metric=name), results, found)


def per_label(results: Results, metric: str, tuned: bool) -> pd.DataFrame:
    """See `Ablation.per_label`."""
    columns: dict[str, pd.Series[float]] = {}
    for combination in results.combinations:
        values = class_values(combination)
        known = sorted({name.removeprefix(TUNED) for name in values} - {"training_positives", "support"})
        if metric not in known:
            raise ValueError(f"no metric {metric!r} of each label; {_nearest(metric, known)}")
        key = TUNED + metric if tuned and TUNED + metric in values else metric
        columns.setdefault("support", values["support"].mean(axis=1))
        columns[_variant(combination.labels)] = values[key].mean(axis=1)
    return pd.DataFrame(columns)


def curves(results: Results, pattern: str, against: str) -> Chart:
    """See `Ablation.curves`."""
    runs = [run for combination in results.combinations for run in combination.runs]
    tags = sorted({tag for run in runs for tag in read_scalars(run.folder)})
    short = pattern.removeprefix("train/")
    patterns = {pattern, short if short.startswith(TRAINING) else pattern}
    wanted = tuple(tag for tag in tags if any(fnmatchcase(tag, one) for one in patterns))
    if not wanted:
        raise ValueError(f"no finished run has logged {pattern!r}; {_nearest(short, tags)}")
    if against not in ("epoch", "step", "seconds"):
        raise ValueError(f"against is epoch, step or seconds, found {against!r}")
    figure = Figure("curve", pattern, series=VARIANT, scalars=wanted, against=against)
    return _drawn(figure, results, Scores("", 0))


def mistakes(runs: Sequence[TrainedRun], label: str | None, split: str) -> pd.DataFrame:
    """Where runs of one variant are wrong; see `Ablation.errors`.

    Args:
        runs: Finished runs, on the same samples.
        label: Name of a label; ``None`` for all.
        split: ``val`` or ``test``.
    """
    found = [run.read_predictions(split) for run in runs]
    first = found[0]
    if any(other.ids != first.ids for other in found):
        raise ValueError(f"{runs[0].name} and others of its variant were tested on different samples")
    names = list(first.label_space.names)
    if label is not None and label not in names:
        raise ValueError(f"no label {label!r}; {_nearest(label, names)}")
    gold, mask = first.gold.numpy(), first.mask.numpy()
    decided = np.stack([run.decided.numpy() for run in found])
    probability = np.stack([run.probabilities.double().numpy() for run in found]).mean(0)
    wrong = ((decided != gold) & mask).sum(0)
    if label is not None:
        wrong[:, [column for column, name in enumerate(names) if name != label]] = 0
    rows, columns = wrong.nonzero()
    confidence = np.where(gold, 1 - probability, probability)[rows, columns]
    order = np.argsort(-confidence, kind="stable")
    rows, columns = rows[order], columns[order]
    most = decided.mean(0) >= 0.5
    texts = runs[0].texts("val" if split == "val" else "test")
    ids = pd.Index([first.ids[row] for row in rows], name="id")
    content = {} if texts is None else {"text": texts.reindex(ids).to_numpy()}
    return pd.DataFrame(
        {
            **content,
            "label": [names[column] for column in columns],
            "mistake": np.where(gold[rows, columns], "missed", "false alarm"),
            "probability": probability[rows, columns],
            "runs wrong": [f"{count} of {len(runs)}" for count in wrong[rows, columns]],
            "gold": [", ".join(first.label_space.decode(gold[row].tolist())) for row in rows],
            "predicted": [", ".join(first.label_space.decode(most[row].tolist())) for row in rows],
        },
        ids,
    )


def _drawn(figure: Figure, results: Results, found: Scores) -> Chart:
    """One figure of a report."""
    drawn: list[Chart] = []

    def keep(drawing: Drawing) -> dict[str, bytes]:
        assert isinstance(drawing, Chart)
        drawn.append(drawing)
        return {}

    missing: list[str] = []
    results = replace(results, study=replace(results.study, figures=(figure,)))
    pictures = figures(results, found, missing, save=keep)
    for line in missing:
        warnings.warn(line, stacklevel=4)
    if not drawn:
        raise ValueError(missing[0])
    drawn[0].words = pictures[0].alternative
    return drawn[0]


def _with_metrics(results: Results, keys: Iterable[str]) -> Results:
    return replace(results, study=replace(results.study, metrics={_shown(key): key for key in keys}))


def _shown(key: str) -> str:
    return f"{key.removeprefix(TUNED)}{BY_RULE}" if key.startswith(TUNED) else key


def _scored(results: Results, resamples: int) -> Scores:
    found = score(results, resamples)
    for problem in found.problems:
        warnings.warn(problem, stacklevel=4)
    return found


def _keys(results: Results, name: str) -> list[str]:
    """Keys of a metric in the results of the runs: by the fitted rule and at 0.5, where it depends on decisions."""
    known = {
        key
        for combination in results.combinations
        for run in combination.runs
        if run.record is not None
        for key, value in run.record["results"]["test"].items()
        if isinstance(value, int | float)
    }
    if name not in known:
        raise ValueError(f"no metric {name!r}; {_nearest(name, sorted({key.removeprefix(TUNED) for key in known}))}")
    return [key for key in (TUNED + name, name) if key in known]


def _key(results: Results, name: str, tuned: bool) -> str:
    keys = _keys(results, name)
    return keys[0] if tuned else keys[-1]


def _rule(results: Results, key: str) -> str:
    """``tuned`` or ``0.5``; nothing for a metric that does not depend on decisions."""
    if key.startswith(TUNED):
        return "tuned"
    return "0.5" if TUNED + key in results.study.metrics.values() else ""


def _variant(labels: Labels) -> str:
    ((_, name),) = labels
    return name


def _alone(results: Results) -> str:
    first, *others = (_variant(own.labels) for own in results.combinations)
    if not others:
        return f"only {first!r} has a finished run; run() trains the others"
    return f"{first!r} cannot be compared with {', '.join(map(repr, others))}: other test samples, or no predictions"


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"There are {', '.join(known)}"
