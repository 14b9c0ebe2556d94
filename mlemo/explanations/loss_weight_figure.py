"""How the weights of a loss moved in training."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

__all__ = ["loss_weight_figure", "read_loss_weights"]

PREFIX = "weight/"
COLUMNS = 2  # of the panels


def read_loss_weights(path: Path) -> pd.DataFrame:
    """Weights of each part of the loss at every step: index ``step``, a column for each part.

    Args:
        path: The ``loss_weights.csv`` of a run.

    Raises:
        ValueError: It is not such a file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = pd.read_csv(StringIO(text[: text.rfind("\n") + 1]))  # a row that was being written has no end
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a table of loss weights: {error}") from error
    weights = [name for name in table.columns if name.startswith(PREFIX)]
    if "step" not in table or not weights or table.empty:
        raise ValueError(
            f"{path}: expected columns step and {PREFIX}…, and at least one row, found columns "
            f"{', '.join(map(str, table.columns))} and {len(table)} rows"
        )
    return table.set_index("step")[weights].rename(columns=lambda name: name.removeprefix(PREFIX))


def loss_weight_figure(weights: pd.DataFrame) -> Figure:
    """The weight of each part of the loss over the steps (Alrasheedy et al. 2026, Fig. 4), each on a scale of its own.

    Args:
        weights: Index: the step; a column for each part.
    """
    count = weights.shape[1]
    lines, columns = -(-count // COLUMNS), min(count, COLUMNS)
    figure = Figure(figsize=(3 * columns + 1, 2.2 * lines + 0.4), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    for axes, (name, values) in zip(panels, weights.items()):
        axes.plot(weights.index, values, color="#0072b2")
        axes.set_title(str(name), fontsize=9)
        axes.ticklabel_format(axis="y", useOffset=False)
    for axes in panels[count:]:
        axes.set_axis_off()
    figure.supxlabel("step", fontsize=9)
    figure.supylabel("weight in the loss", fontsize=9)
    return figure
