"""Pictures with a panel per label: calibration, and F1 against the threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mlemo.callbacks.label_figures import most_positive, plain, which_labels
from mlemo.metrics.calibration import expected_calibration_error, reliability
from mlemo.metrics.values import label_values

__all__ = ["PANELS", "f1_by_threshold", "reliability_figure", "threshold_figure"]

PANELS, COLUMNS = 32, 4  # of a picture; one panel of the reliability figure is for all labels
CURVES = (("#0072b2", "o"), ("#d55e00", "s"))  # colors that color-blind readers can distinguish, and marks


def f1_by_threshold(probabilities: Tensor, targets: Tensor, mask: Tensor, thresholds: Tensor) -> Tensor:
    """F1 of each label at each threshold: ``2 TP / (2 TP + FP + FN)`` of the decisions ``p ≥ t``, 0 for 0/0.

    Args:
        probabilities: ``(N, C)`` float32.
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, False = not annotated.
        thresholds: ``(T,)`` float32, ascending.

    Returns:
        ``(T, C)`` float64.
    """
    labels, steps = probabilities.shape[1], len(thresholds) + 1
    reached = torch.bucketize(probabilities.contiguous(), thresholds, right=True)  # how many thresholds are at most p
    cells = (reached + torch.arange(labels) * steps)[mask]

    def at_least(weights: Tensor) -> Tensor:
        counts = torch.bincount(cells, weights[mask].double(), minlength=labels * steps).reshape(labels, steps)
        return counts.flip(1).cumsum(1).flip(1).T

    hits, predicted = at_least(targets), at_least(torch.ones_like(targets))
    return 2 * hits[1:] / (predicted[1:] + hits[0]).clamp(min=1)


def threshold_figure(
    names: Sequence[str], probabilities: Tensor, targets: Tensor, mask: Tensor, fitted: Tensor | None = None
) -> Figure:
    """F1 against the threshold, a panel per label, at most `PANELS` labels, those with the most positives.

    The gray line is at 0.5, the orange one at the fitted threshold; titles give the positives and F1 at both.

    Args:
        names: Names of the C labels.
        probabilities: ``(N, C)``.
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, False = not annotated.
        fitted: ``(C,)`` thresholds of the decision rule; ``None`` for a rule without thresholds.
    """
    positives = (targets * mask).sum(0)
    shown = most_positive(positives, PANELS)
    x = torch.linspace(0, 1, 101)
    part = probabilities[:, shown], targets[:, shown], mask[:, shown]
    f1 = f1_by_threshold(*part, x)
    cuts = [torch.full((len(shown),), 0.5), *([] if fitted is None else [fitted[shown]])]
    scores = [label_values(part[0] >= cut, part[1].bool(), part[2])["f1"] for cut in cuts]
    figure, grid = _panels(len(shown))
    for place, (axes, label) in enumerate(zip(grid, shown.tolist())):
        axes.plot(x.tolist(), f1[:, place].tolist(), color=CURVES[0][0])
        for cut, (color, style) in zip(cuts, (("#888888", "--"), (CURVES[1][0], "-"))):
            axes.axvline(float(cut[place]), color=color, linewidth=1, linestyle=style)
        shares = " → ".join(f"{float(score[place]):.3f}" for score in scores)
        axes.set_title(f"{plain(names[label])} ({int(positives[label])})\nF1 {shares}", fontsize=9)
    threshold = "threshold (gray: 0.5" + (")" if fitted is None else ", orange: fitted)")
    _name_axes(figure, threshold, "F1", which_labels(len(shown), len(names)))
    return figure


def reliability_figure(
    names: Sequence[str], probabilities: Mapping[str, Tensor], targets: Tensor, mask: Tensor, bins: int = 10
) -> Figure:
    """Share of positives against mean probability, in bins: all labels together, then the worst calibrated labels.

    On the diagonal probabilities are right; below it they are too high. Gray bars are the share of the entries in each
    bin. Titles give the expected calibration error.

    Args:
        names: Names of the labels.
        probabilities: ``(N, C)`` by the name of the curve; labels are ordered by the first one's error.
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, False = not annotated.
        bins: Number of bins of equal width.
    """
    errors = expected_calibration_error(next(iter(probabilities.values())), targets, mask, bins)
    scored = int(mask.any(dim=0).sum())
    worst = errors.nan_to_num(-1).argsort(descending=True, stable=True)[: min(scored, PANELS - 1)].tolist()
    panels = [("all labels", list(range(len(names)))), *((plain(names[label]), [label]) for label in worst)]
    figure, grid = _panels(len(panels))
    edges = torch.linspace(0, 1, bins + 1).tolist()
    for axes, (title, columns) in zip(grid, panels):
        known = mask[:, columns]
        truth = targets[:, columns][known][:, None]
        found = {
            name: reliability(p[:, columns][known][:, None], truth, bins=bins) for name, p in probabilities.items()
        }
        counts = next(iter(found.values())).counts[0]
        axes.stairs((counts / counts.sum()).tolist(), edges, fill=True, color="#dddddd")
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--")
        for (name, part), (color, marker) in zip(found.items(), CURVES):
            filled = part.counts[0] > 0
            x, y = part.probability[0][filled], part.frequency[0][filled]
            axes.plot(x.tolist(), y.tolist(), color=color, marker=marker, markersize=4, label=name)
        gaps = [f"{float(part.expected_calibration_error()):.3f}" for part in found.values()]
        axes.set_title(f"{title}\nECE {' → '.join(gaps)}", fontsize=9)
    _name_axes(figure, "mean probability in the bin", "share of positives (gray: share of the entries)")
    if len(probabilities) > 1:
        figure.legend(*grid[0].get_legend_handles_labels(), loc="upper right", ncols=2, fontsize=9)
    return figure


def _panels(count: int) -> tuple[Figure, list[Any]]:
    """A figure with so many panels, and its axes, of which those behind the last panel are not drawn."""
    lines = -(-count // COLUMNS)
    width, height = 2.6 * COLUMNS, 2.5 * lines + 1.0
    figure = Figure(figsize=(width, height))
    # margins in inches; a constrained layout of so many panels takes longer than drawing them
    grid: list[Any] = figure.subplots(
        lines, COLUMNS, sharex=True, sharey=True, squeeze=False,
        gridspec_kw={"left": 0.8 / width, "right": 1 - 0.2 / width, "bottom": 0.6 / height, "top": 1 - 0.8 / height,
                     "wspace": 0.12, "hspace": 0.3},
    ).ravel().tolist()  # fmt: skip
    grid[0].set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))  # of all panels: the axes are shared
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid


def _name_axes(figure: Figure, x: str, y: str, title: str = "") -> None:
    """Name the axes that all panels have in common; the distances from the edges are in inches."""
    width, height = figure.get_size_inches()
    figure.supxlabel(x, fontsize=9, y=0.1 / height)
    figure.supylabel(y, fontsize=9, x=0.1 / width)
    figure.suptitle(title, fontsize=9, y=1 - 0.1 / height)
