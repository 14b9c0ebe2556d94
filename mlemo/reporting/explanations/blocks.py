"""Explanations as parts of a document: heat maps of words, nearest training texts, correlation of labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import isnan

from mlemo.callbacks.label_figures import correlation_figure, which_labels
from mlemo.inference import Classified
from mlemo.reporting.document import Block, Paragraph, Picture, Table
from mlemo.reporting.drawing import drawable, png
from mlemo.reporting.explanations.attention import POOLING
from mlemo.reporting.explanations.correlation import correlation_agreement
from mlemo.reporting.explanations.neighbors import Neighbor
from mlemo.reporting.explanations.word_pictures import word_picture
from mlemo.reporting.explanations.words import WordWeights
from mlemo.reporting.units import number
from mlemo.runs.predictions import Predictions

__all__ = ["correlation_block", "neighbor_blocks", "word_blocks"]


def word_blocks(
    results: Sequence[Classified],
    explained: Sequence[Sequence[WordWeights]],
    labels: Sequence[Collection[str]] | None = None,
) -> list[Block]:
    """Create a picture of the heat maps per text, with all drawn weights as alternative text.

    Args:
        results: The classified texts.
        explained: Weights of the words of each text, from `occlusion`, `attention` or both.
        labels: Labels shown per text; by default the decided ones.
    """
    if labels is not None:
        explained = [[_only(table, own) for table in tables] for tables, own in zip(explained, labels, strict=True)]
    return [
        Picture(
            name=f"text_{place:03}",
            caption=f"{result.text} (decided: {', '.join(result.labels) or 'no label'})",
            alternative=" ".join(_in_words(table, column) for table in tables for column in table.shown),
            files={"png": word_picture(tables)[0]},
        )
        for place, (result, tables) in enumerate(zip(results, explained, strict=True), start=1)
    ]


def neighbor_blocks(results: Sequence[Classified], neighbors: Sequence[Sequence[Neighbor]]) -> list[Block]:
    """Create a table of the nearest training texts of each text.

    Args:
        results: The classified texts.
        neighbors: Neighbors of each text, nearest first.
    """
    head = ("training text", "its gold labels", "cosine")
    return [
        Table(
            f"Nearest to: {result.text} (decided: {', '.join(result.labels) or 'no label'})",
            head,
            tuple((near.text, ", ".join(near.labels), number(near.cosine, 3)) for near in own),
            2,
        )
        for result, own in zip(results, neighbors, strict=True)
    ]


def correlation_block(predictions: Predictions) -> list[Block]:
    """Create a picture of the correlation of gold and of predicted labels, and a paragraph on their agreement."""
    found = correlation_agreement(predictions)
    names, gold, predicted = found.shown
    with drawable(names) as (drawn, _):
        picture = png(correlation_figure(drawn, gold, predicted, found.of))
    pairs = [
        f"{names[first]} and {names[second]} {number(float(gold[first, second]), 2, '+')}, "
        f"{number(float(predicted[first, second]), 2, '+')}"
        for first in range(len(names))
        for second in range(first + 1, len(names))
    ]
    alternative = f"Three heat maps: gold, predicted, and the difference. Gold, predicted: {'; '.join(pairs)}."
    which = which_labels(len(names), found.of)
    caption = "Correlation between labels, gold, predicted and the difference" + (f": {which}" if which else "")
    return [
        Picture("label_correlation", caption, alternative, {"png": picture}),
        Paragraph(f"{found.describe()} (p assumes that the pairs are independent)."),
    ]


def _only(table: WordWeights, labels: Collection[str]) -> WordWeights:
    """Return the columns of some labels, and that of the whole text if there is one."""
    return replace(table, shown=[place for place, name in enumerate(table.names) if name in (POOLING, *labels)])


def _in_words(table: WordWeights, column: int) -> str:
    weights = zip(table.words, table.weights[:, column].tolist())
    read = "; ".join(
        f"{word.text} {'not read' if isnan(weight) else number(weight, 2, '+')}" for word, weight in weights
    )
    return f"{table.title}, {table.names[column]}: {read}."
