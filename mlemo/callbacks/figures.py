"""Pictures for TensorBoard: F1 of each class, and how labels go together in gold and in prediction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from torch import Tensor

from mlemo.callbacks.outputs import Outputs, OutputsCallback, Stage
from mlemo.callbacks.threshold_tuning import tuned_rule
from mlemo.metrics import MultiLabelMetrics
from mlemo.models import MultiLabelModel

__all__ = ["EvaluationFigures", "class_f1_figure", "correlation_figure", "label_correlation"]


class EvaluationFigures(OutputsCallback):
    """Draws, after each validation and after test, what a table of averages hides.

    ``<stage>/class_f1``: F1 of each class, frequent classes first. ``<stage>/label_correlation``: Pearson correlation
    of the labels, gold beside predicted. Decisions are those of the tuned rule where there is one, else 0.5.
    """

    def on_outputs(self, trainer: Trainer, pl_module: MultiLabelModel, stage: Stage, outputs: Outputs) -> None:
        """Draw and hand over to TensorBoard."""
        boards = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if not boards or not trainer.is_global_zero or stage == "predict":
            return
        tuning = tuned_rule(trainer)
        probabilities = outputs.probabilities
        decisions = probabilities >= 0.5 if tuning is None else tuning.decide(probabilities)
        space = pl_module.label_space
        metrics = MultiLabelMetrics(space, sync_on_compute=False)
        metrics.update(probabilities, outputs.targets, decisions=decisions, mask=outputs.mask)
        f1 = metrics.per_class()["f1"]
        support = (outputs.targets * outputs.mask).sum(0)
        figures = {
            "class_f1": class_f1_figure(space.names, f1, support),
            "label_correlation": correlation_figure(
                space.names,
                label_correlation(outputs.targets, outputs.mask),
                label_correlation(decisions.float(), outputs.mask),
            ),
        }
        for board in boards:
            for name, figure in figures.items():
                board.add_figure(f"{stage}/{name}", figure, trainer.global_step)


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
    """Horizontal bars of each class's F1, most frequent class on top, with the number of gold positives."""
    order = support.argsort(descending=True, stable=True).tolist()
    figure = Figure(figsize=(6, 0.28 * len(names) + 1), layout="constrained")
    axes = figure.subplots()
    places = list(range(len(order)))
    axes.barh(places, [float(f1[label]) for label in order], color="#0072b2")
    axes.set_yticks(places, [f"{names[label]} ({int(support[label])})" for label in order])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1 (gold positives in brackets)")
    return figure


def correlation_figure(names: Sequence[str], gold: Tensor, predicted: Tensor) -> Figure:
    """Two heat maps of label correlation on one colour scale: gold, and predicted."""
    size = 0.25 * len(names) + 2
    figure = Figure(figsize=(2 * size + 1, size), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, matrix, title in zip(panels, (gold, predicted), ("gold", "predicted")):
        image = axes.imshow(matrix.numpy(), vmin=-1, vmax=1, cmap="RdBu_r")
        axes.set_title(title)
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    figure.colorbar(image, ax=panels, label="Pearson correlation")
    return figure
