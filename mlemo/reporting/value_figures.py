"""Figures of one metric over labels: points, boxes, lines and heat maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan, nan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from mlemo.experiments.study import Figure
from mlemo.reporting.figure_style import (
    COLORS,
    HATCHES,
    LETTER,
    LINES,
    MARKERS,
    PUBLISHED,
    Words,
    grid,
    legend,
    name_places,
    numbers_in_cells,
)
from mlemo.reporting.panels import Cell, Panel, cells_in_words, panels_of
from mlemo.reporting.results import Results
from mlemo.reporting.scores import Scores
from mlemo.reporting.units import Unit, number

__all__ = ["box", "heatmap", "line", "point"]


def point(figure: Figure, results: Results, scores: Scores, say: Words) -> tuple[Drawing, str]:
    """Draw points of the means with their intervals, on an axis that fits them; published numbers as hollow marks."""
    unit, panels = panels_of(figure, results, scores)
    drawing, axes = _axes(panels, figure, unit, say, beside=True)
    for panel, place in zip(panels, axes):
        for index, (x, cells) in enumerate(_beside(panel)):
            color = COLORS[index % len(COLORS)]
            place.errorbar(
                x, [cell.mean for cell in cells], _intervals(cells), label=say(panel.series[index]), color=color,
                linestyle="none", capsize=2, markersize=5, marker=MARKERS[index % len(MARKERS)],
            )  # fmt: skip
            _mark_published(place, x, cells, color)
        place.margins(x=0.05, y=0.1)
        place.grid(axis="y", linewidth=0.4, color="#dddddd")
        place.set_axisbelow(True)
    legend(drawing, axes)
    return drawing, cells_in_words("Points", figure, panels, unit)


def line(figure: Figure, results: Results, scores: Scores, say: Words) -> tuple[Drawing, str]:
    """Draw lines of the means with their intervals, over the labels in order; published numbers as hollow marks."""
    unit, panels = panels_of(figure, results, scores)
    drawing, axes = _axes(panels, figure, unit, say, beside=False)
    for panel, place in zip(panels, axes):
        for index, series in enumerate(panel.series):
            known = [label for label in panel.across if (series, label) in panel.cells]
            x, cells = [panel.across.index(label) for label in known], [panel.cells[series, label] for label in known]
            color = COLORS[index % len(COLORS)]
            place.errorbar(
                x, [cell.mean for cell in cells], _intervals(cells), label=say(series), color=color, capsize=2,
                markersize=4, marker=MARKERS[index % len(MARKERS)], linestyle=LINES[index % len(LINES)],
            )  # fmt: skip
            _mark_published(place, x, cells, color)
    legend(drawing, axes)
    return drawing, cells_in_words("Lines", figure, panels, unit)


def box(figure: Figure, results: Results, scores: Scores, say: Words) -> tuple[Drawing, str]:
    """Draw boxes of the values of the seeds, with every value as a point."""
    unit, panels = panels_of(figure, results, scores)
    drawing, axes = _axes(panels, figure, unit, say, beside=True)
    for panel, place in zip(panels, axes):
        width = 0.8 / len(panel.series)
        for index, (x, cells) in enumerate(_beside(panel)):
            color, hatch = COLORS[index % len(COLORS)], HATCHES[index % len(HATCHES)]
            drawn = place.boxplot(
                [cell.values for cell in cells], positions=x, widths=0.8 * width, patch_artist=True, showfliers=False,
                manage_ticks=False, medianprops={"color": "black"},
                boxprops={"facecolor": color, "alpha": 0.4, "hatch": hatch},
            )  # fmt: skip
            drawn["boxes"][0].set_label(say(panel.series[index]))
            points = [(center, value) for center, cell in zip(x, cells) for value in cell.values]
            place.plot(*zip(*points), MARKERS[index % len(MARKERS)], color=color, markersize=3)
    legend(drawing, axes)
    return drawing, cells_in_words("Boxes over the seeds", figure, panels, unit, seeds=True)


def heatmap(figure: Figure, results: Results, scores: Scores, say: Words) -> tuple[Drawing, str]:
    """Draw means as colors, with the numbers in the cells; rows are the series."""
    unit, panels = panels_of(figure, results, scores)
    columns, lines = max(len(panel.across) for panel in panels), max(len(panel.series) for panel in panels)
    names = LETTER * max(len(series) for panel in panels for series in panel.series)
    drawing, axes = grid(len(panels), names + 1.8 + 0.6 * columns, 1.2 + 0.32 * lines)
    means = [cell.mean for panel in panels for cell in panel.cells.values()]
    for panel, place in zip(panels, axes):
        table = [
            [panel.cells[series, label].mean if (series, label) in panel.cells else nan for label in panel.across]
            for series in panel.series
        ]
        image = place.imshow(
            np.ma.masked_invalid(table), cmap="cividis", vmin=min(means), vmax=max(means), aspect="auto"
        )
        numbers_in_cells(place, table, [[number(value, unit.decimals) for value in row] for row in table])
        place.set_yticks(range(len(panel.series)), [say(series) for series in panel.series])
        place.set_ylabel(say(figure.series))
        _name_places(place, panel, figure, say)
    drawing.colorbar(image, ax=axes, label=unit.head)
    return drawing, cells_in_words("Heat map", figure, panels, unit)


def _axes(panels: Sequence[Panel], figure: Figure, unit: Unit, say: Words, beside: bool) -> tuple[Drawing, list[Axes]]:
    """Create panels of a common height, as wide as their content."""
    places = max(len(panel.across) for panel in panels)
    most = places * max(len(panel.series) for panel in panels) if beside else places
    drawing, axes = grid(
        len(panels), min(max(1.2 + 0.3 * most, 1.2 + 0.7 * places, 3.0 if len(panels) > 1 else 5.0), 9.0), 3.0
    )
    for panel, place in zip(panels, axes):
        _name_places(place, panel, figure, say)
        place.set_ylabel(unit.head)
    return drawing, axes


def _name_places(place: Axes, panel: Panel, figure: Figure, say: Words) -> None:
    name_places(place, [say(label) for label in panel.across])
    place.set_xlabel(say(figure.across))
    place.set_title("\n".join(map(say, panel.title)), fontsize=9)


def _beside(panel: Panel) -> Iterator[tuple[list[float], list[Cell]]]:
    """Yield places and cells of each series, with the series of one label side by side."""
    width = 0.8 / len(panel.series)
    for index, series in enumerate(panel.series):
        offset = (index - (len(panel.series) - 1) / 2) * width
        known = [label for label in panel.across if (series, label) in panel.cells]
        yield [panel.across.index(label) + offset for label in known], [panel.cells[series, label] for label in known]


def _intervals(cells: Sequence[Cell]) -> NDArray[np.float64]:
    """Return the lengths below and above the means, 0 without an interval."""
    lengths = np.array([(cell.mean - cell.low, cell.high - cell.mean) for cell in cells], dtype=np.float64)
    return np.nan_to_num(lengths.T).clip(min=0)


def _mark_published(place: Axes, x: Sequence[float], cells: Sequence[Cell], color: str) -> None:
    known = [(center, cell.published) for center, cell in zip(x, cells) if not isnan(cell.published)]
    if known:
        for points, edge, name in ((known, color, None), ([(nan, nan)], "black", PUBLISHED)):  # the second: a legend
            (marks,) = place.plot(*zip(*points), "D", color="white", zorder=5, label=name)
            marks.set(markeredgecolor=edge, markersize=5)
