"""Curves over training, from the files that TensorBoard and CSV loggers of the runs wrote."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mlemo.experiments.study import Figure
from mlemo.reporting.figure_style import COLORS, LINES, MARKERS, Words, grid, legend
from mlemo.reporting.panels import by_panel, chosen
from mlemo.reporting.results import Combination, Results, trained
from mlemo.reporting.scores import Scores
from mlemo.reporting.units import number
from mlemo.runs.files import EARLIER_METRICS, METRICS

__all__ = ["curve", "read_scalars"]

#: Value and time by tag and step.
Points: TypeAlias = dict[str, dict[int, tuple[float, float]]]

TRAINING = (
    "train/",
    "loss/",
    "weight/",
    "lr-",
)  # scalars of training only; validation and test have separate files
TOGETHER = ("loss/", "weight/")  # groups of scalars that can share a panel
GRID = 100  # points of a curve over seconds, which differ between seeds


def curve(figure: Figure, results: Results, scores: Scores, say: Words) -> tuple[Drawing, str]:
    """Draw the mean over the seeds with a band of one standard deviation; at each point over the seeds that reach it.

    Raises:
        ValueError: No run has any of the scalars.
    """
    against = figure.against or "epoch"
    panels: dict[tuple[str, ...], dict[str, pd.DataFrame]] = {}
    for title, combinations in by_panel(trained(chosen(figure, results)), (figure.series,)).items():
        for tag in figure.scalars:
            family = tag.split("/")[0] if tag.startswith(TOGETHER) and not figure.series else tag
            for combination in combinations:
                name = dict(combination.labels)[figure.series] if figure.series else tag
                found = _over_seeds(combination, tag, against)
                if not found.empty:
                    panels.setdefault((*title, family), {})[name] = found
    if not panels:
        raise ValueError(f"no finished run has recorded {', '.join(figure.scalars)}")
    drawing, axes = grid(len(panels), 3.6 if len(panels) > 1 else 5.5, 3.0)
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    for place, (title, curves) in zip(axes, panels.items()):
        for name, table in curves.items():
            index = names.index(name)
            color, x = COLORS[index % len(COLORS)], table.index.to_numpy(dtype=float)
            (line,) = place.plot(x, table["mean"], color=color, linewidth=1.2, label=say(name))
            line.set(linestyle=LINES[index % len(LINES)], marker=MARKERS[index % len(MARKERS)], markersize=4)
            line.set_markevery(max(1, len(x) // 8))
            place.fill_between(x, table["mean"] - table["sd"], table["mean"] + table["sd"], color=color, alpha=0.2)
        place.set_title("\n".join(map(say, title)), fontsize=9)
        place.set_xlabel(against)
        place.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(drawing, axes)
    return drawing, _in_words(panels, against)


@cache
def read_scalars(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the scalars of a run's training by tag: columns step, value, epoch (from 1) and seconds.

    Seconds count from its start; they are missing where the run has files of ``CSVLogger`` alone. Where a run was
    resumed, steps that were trained again count once, as they were trained last; the time that it lay still is in its
    seconds.
    """
    points, start = _event_scalars(folder)
    points = points or _csv_scalars(folder)
    epochs = sorted((step, value) for step, (value, _) in points.pop("epoch", {}).items())
    tables = {}
    for tag, found in points.items():
        steps = sorted(found)
        table = pd.DataFrame({"step": steps, "value": [found[step][0] for step in steps]})
        table["epoch"] = np.interp(steps, *np.array(epochs).T) + 1 if epochs else np.nan
        table["seconds"] = [found[step][1] - start for step in steps]
        tables[tag] = table
    return tables


def _event_scalars(folder: Path) -> tuple[Points, float]:
    """Value and time by tag and step in the event files of TensorBoard, and when the training began."""
    points: Points = {}
    start = np.inf
    for file in sorted(folder.glob("events.out.tfevents*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0, "images": 1, "tensors": 1})
        events.Reload()
        tags = events.Tags()["scalars"]
        if any(tag.startswith(TRAINING) for tag in tags):
            start = min(start, events.FirstEventTimestamp())
            for tag in tags:
                points.setdefault(tag, {}).update({e.step: (e.value, e.wall_time) for e in events.Scalars(tag)})
    return points, start


def _csv_scalars(folder: Path) -> Points:
    """The same from the files of ``CSVLogger``, which hold no times."""
    points: Points = {}
    for file in [*sorted(folder.glob(EARLIER_METRICS.name)), *folder.glob(METRICS.name)]:
        table = pd.read_csv(file)
        for tag in table.columns.drop("step"):
            known = table[["step", tag]].dropna().drop_duplicates("step")  # the first: later ones are of the tests
            points.setdefault(tag, {}).update({int(step): (value, np.nan) for step, value in known.to_numpy()})
    return points


def _over_seeds(combination: Combination, tag: str, against: str) -> pd.DataFrame:
    """Compute mean and standard deviation (0 for one seed) by epoch, step or second."""
    tables = [scalars[tag] for run in combination.runs if tag in (scalars := read_scalars(run.folder))]
    tables = [table for table in tables if not table.empty]
    if not tables:
        return pd.DataFrame()
    curves: Sequence[pd.Series[float]]
    if against == "seconds":
        last = max(float(table["seconds"].iloc[-1]) for table in tables)
        seconds = np.linspace(0, last, GRID)
        curves = [
            pd.Series(np.interp(seconds, table["seconds"], table["value"], left=np.nan, right=np.nan), index=seconds)
            for table in tables
        ]
    else:
        curves = [table.groupby(against)["value"].mean() for table in tables]
    together = pd.concat(list(curves), axis=1).sort_index()
    found = pd.DataFrame({"mean": together.mean(axis=1), "sd": together.std(axis=1).fillna(0.0)})
    return found.dropna()


def _in_words(panels: dict[tuple[str, ...], dict[str, pd.DataFrame]], against: str) -> str:
    parts = [f"Curves over {against}."]
    for title, curves in panels.items():
        for name, table in curves.items():
            ends = table["mean"].iloc[[0, -1]].tolist()
            places = [f"{against} {number(float(x), None)}" for x in (table.index[0], table.index[-1])]
            first, last = (f"{number(value, None)} at {place}" for value, place in zip(ends, places))
            low, high = (number(float(value), None) for value in (table["mean"].min(), table["mean"].max()))
            what = ", ".join(dict.fromkeys([*title, name]))
            parts.append(f"{what}: {first}, {last}; lowest {low}, highest {high}.")
    return " ".join(parts)
