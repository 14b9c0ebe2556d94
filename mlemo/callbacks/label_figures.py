"""Pictures of labels: F1 of each, and how they go together in gold and in prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from rich.cells import cell_len
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from mlemo.utils.messages import visible

__all__ = [
    "MOST_LABELS",
    "class_f1_figure",
    "clustered_order",
    "correlation_figure",
    "label_correlation",
    "most_positive",
    "plain",
    "which_labels",
]

#: Labels in a picture that has a row for each: memory and time of drawing grow with the square of their number.
MOST_LABELS = 40


def most_positive(positives: Tensor, most: int = MOST_LABELS) -> Tensor:
    """The labels with the most positives, in the order of the label space.

    A correlation, or an F1, of few positives is mostly chance: two labels with one positive each, in the same row, have
    a correlation of 1. The labels with the largest correlations would be such ones, and finding them would take all C²
    pairs.

    Args:
        positives: ``(C,)``, gold positives of each label.
        most: How many; all where there are fewer. Of labels with equal positives the first are taken.

    Returns:
        ``(min(C, most),)`` long, ascending.

    Example:
        >>> most_positive(torch.tensor([3, 0, 5, 3]), most=2)
        tensor([0, 2])
    """
    return positives.argsort(descending=True, stable=True)[:most].sort().values


def which_labels(shown: int, of: int) -> str:
    """What a picture or table of some labels says of its choice; empty where all are shown.

    Example:
        >>> which_labels(40, 1400), which_labels(28, 28)
        ('40 of 1,400 labels, those with the most gold positives', '')
    """
    return f"{shown:,} of {of:,} labels, those with the most gold positives" if shown < of else ""


def label_correlation(labels: Tensor, mask: Tensor) -> Tensor:
    """Pearson correlation between labels over the rows in which both are annotated.

    Args:
        labels: ``(N, C)`` in {0, 1}.
        mask: ``(N, C)`` bool, False = not annotated.

    Returns:
        ``(C, C)``; NaN where one of the two labels does not vary.
    """
    present = mask.double()
    values = labels.double() * present
    count = present.T @ present
    mean_row, mean_column = values.T @ present / count, (values.T @ present / count)
    covariance = values.T @ values / count - mean_row * mean_column.T
    variance = (values**2).T @ present / count - mean_row**2
    return covariance / (variance * variance.T).sqrt().where(variance * variance.T > 0, torch.nan)


def clustered_order(correlation: Tensor) -> list[int]:
    """Order labels so that those that go together are next to each other.

    The leaves of an average-linkage tree over the distances ``1 − r``, as in seaborn's ``clustermap``, in the order
    with the smallest distances between neighbors (Bar-Joseph et al., Bioinformatics 2001).

    Args:
        correlation: ``(K, K)``, as from :func:`label_correlation`; NaN counts as 0.

    Example:
        >>> clustered_order(torch.tensor([[1.0, 0.0, 0.9], [0.0, 1.0, 0.0], [0.9, 0.0, 1.0]]))
        [1, 2, 0]
    """
    if len(correlation) < 3:
        return list(range(len(correlation)))
    distances = (1 - correlation.double().nan_to_num(0.0)).clamp(min=0).fill_diagonal_(0)
    tree = linkage(squareform(distances.numpy(), checks=False), "average", optimal_ordering=True)
    return [int(label) for label in leaves_list(tree)]


def class_f1_figure(names: Sequence[str], f1: Tensor, support: Tensor) -> Figure:
    """Horizontal bars of each class's F1, most frequent class on top, with the number of gold positives.

    At most `MOST_LABELS` classes are shown.
    """
    order = support.argsort(descending=True, stable=True)[:MOST_LABELS].tolist()
    rows = [f"{plain(names[label])} ({int(support[label])})" for label in order]
    left, height = name_width(rows), 0.28 * len(order) + 1
    width = left + 4.7
    # margins in inches; a constrained layout takes as long as drawing
    margins = {"left": left / width, "right": 1 - 0.2 / width, "bottom": 0.55 / height, "top": 1 - 0.35 / height}
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(gridspec_kw=margins)
    axes.set_title(which_labels(len(order), len(names)), fontsize=9)
    places = list(range(len(order)))
    axes.barh(places, [float(f1[label]) for label in order], color="#0072b2")
    axes.set_yticks(places, rows)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1 (gold positives in brackets)")
    return figure


def correlation_figure(names: Sequence[str], gold: Tensor, predicted: Tensor, of: int | None = None) -> Figure:
    """Three heat maps of label correlation on one color scale: gold, predicted, and predicted minus gold.

    Labels that go together in gold are next to each other (:func:`clustered_order`).

    Args:
        names: The K labels that are shown, at most `MOST_LABELS`; :func:`most_positive` chooses them.
        gold: ``(K, K)``, as from :func:`label_correlation`.
        predicted: ``(K, K)``.
        of: How many labels there are, which the title says where they are more; ``None`` for K.

    Raises:
        ValueError: There are more than `MOST_LABELS` names, or matrices of another size.
    """
    if len(names) > MOST_LABELS or not gold.shape == predicted.shape == (len(names), len(names)):
        raise ValueError(
            f"a picture of label correlations has at most {MOST_LABELS} labels and a row and a column for each, found "
            f"{len(names)} names and matrices {tuple(gold.shape)} and {tuple(predicted.shape)}; most_positive chooses"
        )
    order, side = clustered_order(gold), 0.25 * len(names) + 0.5
    names = [plain(names[label]) for label in order]
    matrices = {"gold": gold, "predicted": predicted, "predicted − gold": predicted - gold}
    margin, gap = name_width(names), 0.2
    width, height = margin + 3 * (side + gap) + 1.0, margin + side + 0.7
    figure = Figure(figsize=(width, height))

    def panel(left: float, of_width: float) -> Axes:  # places in inches, see `class_f1_figure`
        return figure.add_axes((left / width, margin / height, of_width / width, side / height))

    for place, (title, matrix) in enumerate(matrices.items()):
        axes = panel(margin + place * (side + gap), side)
        image = heat_map(axes, matrix[order][:, order], names, title, vmin=-1, vmax=1, cmap="RdBu_r")
        axes.tick_params(labelleft=place == 0)
    figure.colorbar(image, cax=panel(margin + 3 * (side + gap), 0.15), label="Pearson correlation")
    if of is not None and (which := which_labels(len(names), of)):
        figure.suptitle(which)
    return figure


def heat_map(axes: Axes, matrix: Tensor, names: Sequence[str], title: str, **settings: Any) -> AxesImage:
    """Draw a matrix with a row and a column per label.

    Args:
        axes: The panel.
        matrix: ``(K, K)``.
        names: The K names.
        title: Title of the panel.
        settings: Settings of ``imshow``.
    """
    image = axes.imshow(matrix.numpy(), **settings)
    axes.set_title(title)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    return image


def name_width(names: Sequence[str]) -> float:
    """Inches for the longest of some names at the edge of a picture, in the default font size."""
    return 0.25 + 0.09 * max(map(cell_len, names), default=0)


def plain(name: str) -> str:
    """A name as it is drawn: dollars enclose no formula, and control characters, which no font has, are escaped."""
    return visible(name).replace("$", r"\$")
