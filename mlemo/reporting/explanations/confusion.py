"""Confusion between labels: the labels that are predicted wrongly in place of a missed one."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mlemo.callbacks.label_figures import MOST_LABELS, clustered_order, most_positive, plain, which_labels
from mlemo.reporting.explanations.correlation import MOST_PAIRED
from mlemo.runs.predictions import Predictions

__all__ = ["ALONE", "Confusion", "confusion", "confusion_figure"]

ALONE = "no wrong label"  #: column of the texts with a missed label in which no label was predicted wrongly


@dataclass(frozen=True)
class Confusion:
    """Confusion between labels.

    Args:
        names: The K labels, at most `MOST_PAIRED`, in the order of the label space.
        missed: ``(K,)``, texts in which each label is missed: present, but not predicted.
        counts: ``(K, K + 1)``; entry ``[a, b]`` counts the texts in which a is missed and b is predicted wrongly, and
            the last column those in which a is missed and no label is predicted wrongly.
        drawn: Indices of the labels in the picture, at most `MOST_LABELS`.
        of: Number of all labels.
    """

    names: tuple[str, ...]
    missed: Tensor
    counts: Tensor
    drawn: tuple[int, ...]
    of: int

    @property
    def shares(self) -> Tensor:
        """``counts`` divided by ``missed``, ``(K, K + 1)``; NaN for a label that is never missed."""
        return self.counts.double() / self.missed[:, None]

    def table(self) -> pd.DataFrame:
        """Tabulate the pairs that occur, frequent ones first: ``gold``, ``predicted``, ``texts``, and ``share``."""
        shares, names = self.shares, (*self.names, ALONE)
        pairs = [
            (self.names[a], names[b], int(self.counts[a, b]), float(shares[a, b]))
            for a, b in self.counts.nonzero().tolist()
        ]
        table = pd.DataFrame(pairs, columns=["gold", "predicted", "texts", "share"])
        return table.sort_values("texts", ascending=False, kind="stable").reset_index(drop=True)


def confusion(predictions: Predictions) -> Confusion:
    """Count, for each missed gold label, the labels that are predicted wrongly in the same text.

    With several labels per text there is no single predicted label that replaces a gold one. Here label b is confused
    with label a in a text that has a without its being predicted, and does not have b although it is predicted. A text
    with several wrong labels counts for each of them, so the shares of a row may add up to more than 1. Entries that
    are not annotated count for neither. Of many labels, the `MOST_PAIRED` with the most positives are compared.
    """
    missed = predictions.gold & ~predictions.decided & predictions.mask
    wrong = ~predictions.gold & predictions.decided & predictions.mask
    alone = ~wrong.any(1, keepdim=True)
    labels = most_positive((predictions.gold & predictions.mask).sum(0), MOST_PAIRED)
    missed = missed[:, labels].double()
    counts = missed.T @ torch.cat([wrong[:, labels], alone], 1).double()
    positives = (predictions.gold & predictions.mask).sum(0)[labels]
    return Confusion(
        tuple(predictions.label_space.names[label] for label in labels.tolist()),
        missed.sum(0).long(),
        counts.long(),
        tuple(most_positive(positives, MOST_LABELS).tolist()),
        len(predictions.label_space),
    )


def confusion_figure(found: Confusion, names: list[str]) -> Figure:
    """Draw the shares as a heat map; labels that are confused with each other are next to each other.

    Args:
        found: The confusion.
        names: Drawable forms of its labels.
    """
    places = list(found.drawn)
    shares = found.shares[places].nan_to_num(0.0)
    square = shares[:, places]
    order = clustered_order((square + square.T) / 2)
    shown = found.shares[places][order][:, [*(places[place] for place in order), len(found.names)]]
    drawn = [plain(names[places[place]]) for place in order]
    size = 0.3 * len(drawn) + 2
    figure = Figure(figsize=(size + 1.5, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shown.numpy(), vmin=0, cmap="cividis")
    axes.set_xticks(range(len(drawn) + 1), [*drawn, ALONE], rotation=90)
    axes.set_yticks(range(len(drawn)), [f"{name} ({found.missed[places[place]]})" for name, place in zip(drawn, order)])
    axes.set_ylabel("missed label (texts)")
    axes.set_xlabel("predicted wrongly in the same text")
    axes.set_title(which_labels(len(drawn), found.of), fontsize=9)
    figure.colorbar(image, ax=axes, label="share of the texts in which the label is missed")
    return figure
