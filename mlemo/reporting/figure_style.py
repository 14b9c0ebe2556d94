"""Style of the figures of reports: legible in print and for color-blind readers, with words of any script."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlemo.reporting.drawing import drawable, png

__all__ = [
    "COLORS",
    "HATCHES",
    "LINES",
    "MARKERS",
    "PUBLISHED",
    "Chart",
    "Words",
    "drawing",
    "grid",
    "legend",
    "name_places",
    "numbers_in_cells",
    "saved",
]

#: Okabe and Ito (2008), without yellow, which is too light on white.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "++", "ooo", "---")
COLUMNS = 3  # of panels
LETTER = 0.08  # approximate width of a letter in inches
LONGEST_LINE = 12  # largest number of letters of a name below the axis
PUBLISHED = "published"  #: name of the marks of published numbers
SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "svg.hashsalt": "mlemo",
    "pdf.fonttype": 42,
    "figure.dpi": 150,
    "hatch.linewidth": 0.6,
}


class Words:
    """Drawable forms of words: with a box for each character that no font of this system has.

    Args:
        texts: All words of a figure.
        drawn: Their drawable forms.
        missing: Characters without a font.
    """

    def __init__(self, texts: Sequence[str], drawn: Sequence[str], missing: set[str]) -> None:
        self._drawn: Mapping[str, str] = dict(zip(texts, drawn))
        self.missing = missing

    def __call__(self, text: str) -> str:
        """Return the drawable form of a word; dollar signs do not start mathematics."""
        return self._drawn[text].replace("$", r"\$")


@contextmanager
def drawing(texts: Sequence[str]) -> Iterator[Words]:
    """Provide fonts for the texts and reproducible files to figures drawn and saved in this context."""
    with drawable(texts) as (drawn, missing), rc_context(SETTINGS):
        yield Words(texts, drawn, missing)


class Chart(Figure):
    """A figure that a notebook shows as a picture, with all its numbers in words for who cannot see it.

    Attributes:
        words: What it shows.
    """

    words: str = ""

    def _repr_html_(self) -> str:
        """What Jupyter shows."""
        content = base64.b64encode(png(self)).decode("ascii")
        source = f"data:image/png;base64,{content}"
        return f'<img alt="{escape(self.words)}" src="{source}" style="max-width: 100%; background: #fff">'


def grid(panels: int, width: float, height: float, columns: int = COLUMNS) -> tuple[Chart, list[Axes]]:
    """Create a figure with panels of a size in inches, up to ``columns`` side by side."""
    columns = min(panels, columns)
    lines = -(-panels // columns)
    figure = Chart(figsize=(width * columns, height * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    for unused in axes[panels:]:
        unused.set_axis_off()
    return figure, axes[:panels]


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Add one legend for all panels below them, if anything has a name."""
    entries = {name: handle for panel in axes for handle, name in zip(*panel.get_legend_handles_labels())}
    if PUBLISHED in entries:
        entries[PUBLISHED] = entries.pop(PUBLISHED)  # last
    if entries:
        columns = int(figure.get_figwidth() / (0.6 + LETTER * max(map(len, entries))))
        handles, names = list(entries.values()), list(entries)
        figure.legend(handles, names, loc="outside lower center", ncols=min(max(columns, 1), len(names)))


def name_places(axes: Axes, names: Sequence[str]) -> None:
    """Label the places 0, 1, … of a panel's x axis: on several lines, slanted if these do not fit."""
    wrapped = [fill(name, LONGEST_LINE) for name in names]
    longest = max(len(line) for name in wrapped for line in [*name.splitlines(), ""])
    fits = longest * LETTER * len(names) < 0.8 * _width(axes)
    axes.set_xticks(range(len(names)), wrapped if fits else names)
    if not fits:
        for text in axes.get_xticklabels():
            text.set(rotation=40, ha="right", rotation_mode="anchor")


def _width(axes: Axes) -> float:
    """Return the width of a panel of `grid` in inches."""
    figure, place = axes.get_figure(root=True), axes.get_subplotspec()
    assert figure is not None
    assert place is not None
    return float(figure.get_figwidth()) / place.get_gridspec().ncols


def numbers_in_cells(axes: Axes, values: Sequence[Sequence[float]], texts: Sequence[Sequence[str]]) -> None:
    """Write numbers into the cells of a heat map, white on dark cells and black on light ones."""
    colors = axes.get_images()[0].to_rgba(np.ma.masked_invalid(values))
    dark = colors[..., :3] @ (0.299, 0.587, 0.114) < 0.5
    dark &= colors[..., 3] > 0  # a cell without a number is white
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            color = "white" if dark[row, column] else "black"
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)


def saved(figure: Figure) -> dict[str, bytes]:
    """Render the figure as PNG, SVG and PDF."""
    dates: dict[str, dict[str, None]] = {
        "png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}
    }  # fmt: skip
    files = {}
    for suffix, metadata in dates.items():
        stream = io.BytesIO()
        figure.savefig(stream, format=suffix, metadata=metadata, dpi=200)
        files[suffix] = stream.getvalue()
    return files
