"""Figure of the weights of a loss during training."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

__all__ = ["loss_weight_figure", "read_loss_weights"]

PREFIX = "weight/"
COLUMNS = 2  # of panels


def read_loss_weights(path: Path) -> pd.DataFrame:
    """Read the weights of each part of the loss at every step: index ``step``, one column per part.

    Args:
        path: A run's ``loss_weights.csv``.

    Raises:
        ValueError: The file has another format.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = pd.read_csv(StringIO(text[: text.rfind("\n") + 1]))  # the last row may be incomplete
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
    """Draw the weight of each part of the loss over the steps (Alrasheedy et al. 2026, Fig. 4), one scale per part.

    Args:
        weights: Weights by step (index), one column per part.
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
