"""Heat map of the gain of each class over a baseline."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from mlemo.callbacks.label_figures import MOST_LABELS
from mlemo.experiments.study import Figure
from mlemo.metrics.compare import Comparison
from mlemo.reporting.class_intervals import class_differences
from mlemo.reporting.classes import class_values
from mlemo.reporting.figure_style import LETTER, Words, grid, name_places, numbers_in_cells
from mlemo.reporting.panels import by_panel, chosen
from mlemo.reporting.results import Results, trained
from mlemo.reporting.scores import Scores
from mlemo.reporting.units import number

__all__ = ["class_gain"]


def class_gain(figure: Figure, results: Results, scores: Scores, say: Words) -> tuple[Drawing, str]:
    """Draw the gain of each label over the baseline per class, in points; classes by descending training samples.

    As Fig. 2 of Hu et al. (2025). Means over the seeds are compared, with a 95 % interval over test samples and seeds
    where all runs have the same test samples; after the name of a class is its number of training samples. At most
    `MOST_LABELS` classes are shown.

    Raises:
        ValueError: The baseline and the other labels have no finished runs in common.
        FileNotFoundError: A run has no table of classes.
    """
    column = results.study.class_metrics[figure.metric]
    panels: dict[tuple[str, ...], pd.DataFrame] = {}
    counts: dict[tuple[str, ...], list[str]] = {}
    intervals: dict[tuple[str, ...], dict[str, dict[str, Comparison]]] = {}
    for title, combinations in by_panel(trained(chosen(figure, results)), (figure.across,)).items():
        labeled = {dict(own.labels)[figure.across]: own for own in combinations}
        tables = {label: class_values(own) for label, own in labeled.items()}
        if figure.baseline in tables and len(tables) > 1:
            means = pd.DataFrame({label: table[column].mean(axis=1) for label, table in tables.items()})
            order = (
                tables[figure.baseline]["training_positives"].mean(axis=1).sort_values(ascending=False, kind="stable")
            )
            gains = 100 * means.sub(means[figure.baseline], axis=0).drop(columns=figure.baseline)
            some = (f"{MOST_LABELS} of {len(order):,} classes",) if len(order) > MOST_LABELS else ()
            shown = gains.loc[order.index[:MOST_LABELS]]
            panels[(*title, *some)] = shown.T
            counts[(*title, *some)] = [f"{order[name]:,.0f}" for name in shown.index]
            try:
                intervals[(*title, *some)] = class_differences(labeled, figure.baseline, column, scores.resamples)
            except (FileNotFoundError, KeyError, ValueError):  # of folds, or without predictions
                intervals[(*title, *some)] = {}
    if not panels:
        raise ValueError(f"no combination has finished runs of {figure.across} {figure.baseline} and another label")
    lines, columns = (max(size) for size in zip(*(gains.shape for gains in panels.values())))
    names = LETTER * max(len(str(name)) for gains in panels.values() for name in gains.index)
    drawing, axes = grid(len(panels), min(names + 1.6 + 0.75 * columns, 22.0), 1.8 + 0.45 * lines)
    largest = max(float(np.nanmax(gains.abs().to_numpy())) for gains in panels.values()) or 1.0
    for place, (title, gains) in zip(axes, panels.items()):
        values = gains.to_numpy()
        image = place.imshow(np.ma.masked_invalid(values), cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto")
        texts = [
            [_cell(gain, intervals[title].get(label, {}).get(name), "\n") for name, gain in row.items()]
            for label, row in gains.iterrows()
        ]
        numbers_in_cells(place, values, texts)
        name_places(place, [f"{say(str(name))} ({count})" for name, count in zip(gains.columns, counts[title])])
        place.set_yticks(range(gains.shape[0]), [say(name) for name in gains.index])
        place.set_title("\n".join(map(say, title)), fontsize=9)
    drawing.colorbar(image, ax=axes, label=f"{say(figure.metric)} over {say(figure.baseline)}, points")
    parts = [
        f"Heat map of {figure.metric} over {figure.baseline}, in points, classes with most training samples first, "
        "95 % intervals in brackets."
    ]
    for title, gains in panels.items():
        for label, row in gains.iterrows():
            named = zip(row.items(), counts[title])
            known = intervals[title].get(str(label), {})
            numbers = "; ".join(
                f"{name} ({count}) {_cell(gain, known.get(name), ' ')}" for (name, gain), count in named
            )
            parts.append(f"{', '.join([*title, str(label)])}: {numbers}.")
    return drawing, " ".join(parts)


def _cell(gain: float, interval: Comparison | None, separator: str) -> str:
    """Return a gain in points, and its interval if there is one."""
    shown = number(float(gain), 1, "+")
    if interval is None or np.isnan(interval.low):
        return shown
    return f"{shown}{separator}[{number(100 * interval.low, 1)}, {number(100 * interval.high, 1)}]"
