"""Pictures for TensorBoard: F1 of each class, how labels go together in gold and in prediction, and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from matplotlib.figure import Figure
from torch import Tensor

from mlemo.callbacks.evaluation import OutputsCallback
from mlemo.callbacks.threshold_tuning import tuned_rule
from mlemo.metrics.calibration import expected_calibration_error, reliability
from mlemo.metrics.outputs import Outputs
from mlemo.models import MultiLabelModel
from mlemo.models.evaluation import Stage
from mlemo.thresholds import AtLeastOne, Calibrated
from mlemo.utils.messages import visible

__all__ = [
    "MOST_LABELS",
    "EvaluationFigures",
    "class_f1_figure",
    "correlation_figure",
    "label_correlation",
    "most_positive",
    "reliability_figure",
    "which_labels",
]

#: Labels in a picture that has a row for each: memory and time of drawing grow with the square of their number.
MOST_LABELS = 40
PANELS, COLUMNS = 32, 4  # of the reliability figure; one panel is for all labels
CURVES = (("#0072b2", "o"), ("#d55e00", "s"))  # colours that colour-blind readers tell apart, and marks


class EvaluationFigures(OutputsCallback):
    """Draws, after each validation and after test, what a table of averages hides.

    ``<stage>/class_f1``: F1 of each class, frequent classes first. ``<stage>/label_correlation``: Pearson correlation
    of the labels, gold beside predicted. Both have at most `MOST_LABELS` labels, those with the most gold positives,
    and say so. Decisions are those of the tuned rule where there is one, else 0.5.
    ``<stage>/reliability``: how often a label predicted with probability p is right, for all labels together and for
    those with the largest calibration error, and, under a :class:`mlemo.thresholds.Calibrated` rule, also for the
    calibrated probabilities; not after every epoch of training, as it takes longer to draw.

    Args:
        every_n_epochs: Draw in training after each so many epochs; more than 1 where an epoch takes a second.

    Raises:
        ValueError: ``every_n_epochs`` below one.
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        super().__init__()
        if every_n_epochs < 1:
            raise ValueError(f"figures.every_n_epochs must be at least 1, found {every_n_epochs}")
        self.every_n_epochs = every_n_epochs

    def on_outputs(self, trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs) -> None:
        """Draw and hand over to TensorBoard."""
        boards = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if not boards or not trainer.is_global_zero or stage == "predict":
            return
        if trainer.state.fn == TrainerFn.FITTING and trainer.current_epoch % self.every_n_epochs:
            return
        tuning = tuned_rule(trainer, stage, outputs)
        probabilities = outputs.probabilities
        decided = outputs.decided() if tuning is None else tuning.decided(outputs)
        space, decisions, f1 = pl_module.label_space, decided.decisions, decided.label_values["f1"]
        support = (outputs.targets * outputs.mask).sum(0)
        shown = most_positive(support)
        known = outputs.mask[:, shown]
        figures = {
            "class_f1": class_f1_figure(space.names, f1, support),
            "label_correlation": correlation_figure(
                [space.names[label] for label in shown.tolist()],
                label_correlation(outputs.targets[:, shown], known),
                label_correlation(decisions[:, shown].float(), known),
                of=len(space),
            ),
        }
        if trainer.state.fn != TrainerFn.FITTING:
            curves = {"model": probabilities}
            rule = None if tuning is None else tuning.rule
            rule = rule.rule if isinstance(rule, AtLeastOne) else rule
            if isinstance(rule, Calibrated):
                curves["calibrated"] = rule.probabilities(probabilities)
            figures["reliability"] = reliability_figure(space.names, curves, outputs.targets, outputs.mask)
        for board in boards:
            for name, figure in figures.items():
                board.add_figure(f"{stage}/{name}", figure, trainer.global_step)


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


def class_f1_figure(names: Sequence[str], f1: Tensor, support: Tensor) -> Figure:
    """Horizontal bars of each class's F1, most frequent class on top, with the number of gold positives.

    At most `MOST_LABELS` classes are shown.
    """
    order = support.argsort(descending=True, stable=True)[:MOST_LABELS].tolist()
    figure = Figure(figsize=(6, 0.28 * len(order) + 1), layout="constrained")
    axes = figure.subplots()
    axes.set_title(which_labels(len(order), len(names)), fontsize=9)
    places = list(range(len(order)))
    axes.barh(places, [float(f1[label]) for label in order], color="#0072b2")
    axes.set_yticks(places, [f"{_plain(names[label])} ({int(support[label])})" for label in order])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1 (gold positives in brackets)")
    return figure


def correlation_figure(names: Sequence[str], gold: Tensor, predicted: Tensor, of: int | None = None) -> Figure:
    """Two heat maps of label correlation on one colour scale: gold, and predicted.

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
    names, size = [_plain(name) for name in names], 0.25 * len(names) + 2
    figure = Figure(figsize=(2 * size + 1, size), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, matrix, title in zip(panels, (gold, predicted), ("gold", "predicted")):
        image = axes.imshow(matrix.numpy(), vmin=-1, vmax=1, cmap="RdBu_r")
        axes.set_title(title)
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    figure.colorbar(image, ax=panels, label="Pearson correlation")
    if of is not None and (which := which_labels(len(names), of)):
        figure.suptitle(which)
    return figure


def reliability_figure(
    names: Sequence[str], probabilities: Mapping[str, Tensor], targets: Tensor, mask: Tensor, bins: int = 10
) -> Figure:
    """Share of positives against mean probability, in bins: all labels together, then the worst calibrated labels.

    On the diagonal probabilities are right; below it they are too high. Grey bars are the share of the entries in each
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
    panels = [("all labels", list(range(len(names)))), *((_plain(names[label]), [label]) for label in worst)]
    lines = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(2.6 * COLUMNS, 2.5 * lines + 0.6), layout="constrained")
    grid = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, columns) in zip(grid, panels):
        known = mask[:, columns]
        truth = targets[:, columns][known][:, None]
        found = {
            name: reliability(p[:, columns][known][:, None], truth, bins=bins) for name, p in probabilities.items()
        }
        counts = next(iter(found.values())).counts[0]
        centres = [(place + 0.5) / bins for place in range(bins)]
        axes.bar(centres, (counts / counts.sum()).tolist(), 0.9 / bins, color="#dddddd")
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--")
        for (name, part), (colour, marker) in zip(found.items(), CURVES):
            filled = part.counts[0] > 0
            x, y = part.probability[0][filled], part.frequency[0][filled]
            axes.plot(x.tolist(), y.tolist(), color=colour, marker=marker, markersize=4, label=name)
        gaps = [f"{float(part.expected_calibration_error()):.3f}" for part in found.values()]
        axes.set_title(f"{title}\nECE {' → '.join(gaps)}", fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
    figure.supxlabel("mean probability in the bin", fontsize=9)
    figure.supylabel("share of positives (grey: share of the entries)", fontsize=9)
    if len(probabilities) > 1:
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=9)
    return figure


def _plain(name: str) -> str:
    """A name as it is drawn: dollars enclose no formula, and control characters, which no font has, are escaped."""
    return visible(name).replace("$", r"\$")
