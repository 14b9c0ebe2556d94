"""What GTHL-Emo has learnt of the labels and of the texts, for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from matplotlib.figure import Figure
from torch import Tensor

from mlemo.callbacks.label_figures import heat_map, most_positive, which_labels
from mlemo.losses.label_correlation import row_stochastic
from mlemo.models import GTHLEmo
from mlemo.utils.serialization import Recorded

__all__ = ["GTHLFigures", "affinity_figure"]


class GTHLFigures(Recorded, Callback):
    """Draws the labels' affinities after each epoch, and puts training texts into the projector when training ends.

    ``label_affinity``: Q beside the co-occurrences of the training split, rows scaled to 1, with the weights that are
    validated (the averaged ones, where these are used); of many labels those with the most positives. ``texts``:
    embeddings out of the memory, with their labels.
    Other models, and parts of GTHL-Emo that were left out, are passed over.

    Args:
        texts: Most texts in the projector.
    """

    def __init__(self, texts: int = 1000) -> None:
        self.texts = texts

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the affinities; with the first batch, when averaged weights are in place."""
        if batch_idx or trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        if isinstance(pl_module, GTHLEmo) and pl_module.label_transformer is not None:
            corpus = trainer.datamodule.corpus("train")  # type: ignore[attr-defined]  # set by Trainer.fit
            boards = _boards(trainer)
            if not boards:
                return
            labels = corpus.labels * corpus.mask
            names = pl_module.label_space.names
            shown = most_positive(labels.sum(0))
            known = row_stochastic(labels[:, shown].T @ labels / len(labels), smoothing=0.01)[:, shown]
            affinity = pl_module.label_transformer.affinity(pl_module.label_transformer()).exp().float().cpu()
            for board in boards:
                figure = affinity_figure(
                    [names[label] for label in shown.tolist()], known, affinity[shown][:, shown], of=len(names)
                )
                board.add_figure("label_affinity", figure, trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand embeddings and labels over to the projector."""
        if isinstance(pl_module, GTHLEmo) and pl_module.memory is not None:
            rows = pl_module.memory.rows[: self.texts].cpu()
            corpus = trainer.datamodule.corpus("train").select(rows)  # type: ignore[attr-defined]
            sets = [", ".join(pl_module.label_space.decode(labels)) or "(none)" for labels in corpus.labels]
            described = [[labels, " ".join(text.split())] for labels, text in zip(sets, corpus.texts)]
            for board in _boards(trainer):
                board.add_embedding(
                    pl_module.memory.states[0, : self.texts].float().cpu(),
                    metadata=described,
                    metadata_header=["labels", "text"],
                    global_step=trainer.global_step,
                    tag="texts",
                )


def _boards(trainer: Trainer) -> list[Any]:
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [logger.experiment for logger in loggers if isinstance(logger, TensorBoardLogger)]


def affinity_figure(names: Sequence[str], cooccurrence: Tensor, affinity: Tensor, of: int | None = None) -> Figure:
    """Two heat maps on one color scale, without their diagonals: co-occurrences of the labels, and affinities.

    Args:
        names: The K names that are shown.
        cooccurrence: ``(K, K)``, of rows with a sum of 1 over all labels.
        affinity: ``(K, K)``, likewise.
        of: How many labels there are, which the title says where they are more; ``None`` for K.
    """
    # a label is with itself far more than with any other one, which would leave one color to the others
    hidden = torch.eye(len(names), dtype=torch.bool)
    shown = [matrix.masked_fill(hidden, torch.nan) for matrix in (cooccurrence, affinity)]
    top = max(1e-6, *(float(matrix.nan_to_num(0.0).max()) for matrix in shown))
    size = 0.25 * len(names) + 2
    figure = Figure(figsize=(2 * size + 1, size), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, matrix, title in zip(panels, shown, ("co-occurrence in training", "affinity")):
        image = heat_map(axes, matrix, names, title, vmin=0, vmax=top, cmap="viridis")
    figure.colorbar(image, ax=panels, label="share of the row")
    if of is not None and (which := which_labels(len(names), of)):
        figure.suptitle(which)
    return figure
