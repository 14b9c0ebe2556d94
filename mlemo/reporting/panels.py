"""Data of the figures of reports: runs, panels, and all numbers as text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan

import numpy as np

from mlemo.experiments.study import Figure, Labels
from mlemo.reporting.results import Combination, Results
from mlemo.reporting.scores import Score, Scores
from mlemo.reporting.units import Unit, number, published_rows, unit_of

__all__ = ["Cell", "Panel", "by_panel", "cells_in_words", "chosen", "panels_of"]


@dataclass(frozen=True)
class Cell:
    """A metric of one combination of labels, in the unit of the figure.

    Args:
        values: Value of each run.
        mean: Mean of the values.
        low: Lower end of the interval; NaN without one.
        high: Upper end of the interval.
        published: First published number; NaN without one.
    """

    values: tuple[float, ...]
    mean: float
    low: float
    high: float
    published: float


@dataclass(frozen=True)
class Panel:
    """The content of one panel.

    Args:
        title: Labels of the settings that differ between panels.
        across: Labels along the x axis.
        series: Labels of the series; one empty label without series.
        cells: Available cells, by series and place.
    """

    title: tuple[str, ...]
    across: tuple[str, ...]
    series: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]


def chosen(figure: Figure, results: Results) -> list[Combination]:
    """Select the combinations of a figure.

    Raises:
        ValueError: None of them has a finished run.
    """
    found = [
        combination
        for combination in results.combinations
        if all(dict(combination.labels)[setting] in labels for setting, labels in figure.where.items())
    ]
    if not found:
        raise ValueError("none of its runs is finished at this scale")
    return found


def by_panel(combinations: Iterable[Combination], inside: Iterable[str]) -> dict[tuple[str, ...], list[Combination]]:
    """Group combinations by their labels of varying settings that are not distinguished within a panel."""
    rest: dict[Labels, list[Combination]] = {}
    for combination in combinations:
        rest.setdefault(tuple(pair for pair in combination.labels if pair[0] not in inside), []).append(combination)
    return {tuple(pair[1] for pair in labels if not all(pair in other for other in rest)): own
            for labels, own in rest.items()}  # fmt: skip


def panels_of(figure: Figure, results: Results, scores: Scores) -> tuple[Unit, list[Panel]]:
    """Create the panels of a figure of one of the study's metrics, and the unit of its numbers.

    Raises:
        ValueError: There is nothing to draw.
    """
    unit = unit_of(results.study, figure.metric)
    panels = []
    for title, combinations in by_panel(chosen(figure, results), (figure.across, figure.series)).items():
        cells = {}
        for combination in combinations:
            labels, own = dict(combination.labels), scores.by.get((combination.labels, figure.metric))
            if own is not None and not isnan(own.mean):
                published = _published(results, combination.labels, figure.metric, unit)
                cells[labels.get(figure.series, ""), labels[figure.across]] = _cell(own, published, unit.factor)
        if cells:
            series = results.labels_of(figure.series) if figure.series else [""]
            rows = tuple(name for name in series if any(name == row for row, _ in cells))
            across = tuple(name for name in results.labels_of(figure.across) if any(name == x for _, x in cells))
            panels.append(Panel(title, across, rows, cells))
    if not panels:
        raise ValueError(f"no finished run has {results.study.metrics[figure.metric]}")
    return unit, panels


def cells_in_words(what: str, figure: Figure, panels: Iterable[Panel], unit: Unit, seeds: bool = False) -> str:
    """Describe every number that is drawn.

    Args:
        what: Kind of the figure.
        figure: The figure.
        panels: Panels of the figure.
        unit: Unit of the numbers.
        seeds: Whether the figure shows the values of the
            seeds instead of their mean.
    """
    parts = [f"{what} of {unit.head} by {figure.across}."]
    for panel in panels:
        for series in panel.series:
            name = ", ".join(filter(None, [*panel.title, series]))
            known = [(label, panel.cells[series, label]) for label in panel.across if (series, label) in panel.cells]
            numbers = "; ".join(f"{label} {_in_words(cell, unit.decimals, seeds)}" for label, cell in known)
            parts.append(f"{name}: {numbers}." if name else f"{numbers}.")
    return " ".join(parts)


def _published(results: Results, labels: Labels, metric: str, unit: Unit) -> float:
    rows = (row for row in published_rows(results.study, labels) if metric in row.values)
    return next((unit.published(row, row.values[metric]) for row in rows), nan)


def _cell(own: Score, published: float, factor: float) -> Cell:
    values = tuple(value * factor for value in own.values.values() if not isnan(value))
    return Cell(values, *(number * factor for number in (own.mean, own.low, own.high, published)))


def _in_words(cell: Cell, decimals: int | None, seeds: bool) -> str:
    if seeds:
        low, middle, high = (number(value, decimals) for value in np.quantile(cell.values, [0, 0.5, 1]).tolist())
        return f"median {middle}, {low} to {high}, {len(cell.values)} values"
    more = []
    if not isnan(cell.low):
        more.append(f"{number(cell.low, decimals)} to {number(cell.high, decimals)}")
    if not isnan(cell.published):
        more.append(f"published {number(cell.published, decimals)}")
    return number(cell.mean, decimals) + (f" ({', '.join(more)})" if more else "")
