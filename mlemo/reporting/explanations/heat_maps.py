"""Heat maps of words as HTML: a color behind each word, and all weights as numbers."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from math import isnan

import torch

from mlemo.reporting.explanations.words import WordWeights
from mlemo.reporting.pages import table

__all__ = ["AGAINST", "FOR", "heat_maps", "strength"]

# blue and vermilion, which color-blind readers can distinguish (Okabe and Ito 2008)
FOR, AGAINST = (0, 114, 178), (213, 94, 0)
MOST_COLUMNS = 100  #: in a table of weights
STRONGEST = 0.6  #: opacity of the strongest color; black text on it has a contrast of 8 : 1 or more


def strength(weight: float, scale: float) -> float:
    """Return the opacity of a weight's color: proportional to its size, ``STRONGEST`` at the scale."""
    return 0.0 if isnan(weight) or scale == 0 else STRONGEST * min(1.0, abs(weight) / scale)


def heat_maps(weights: WordWeights) -> str:
    """Render one heat map per shown column, and a table of all columns.

    Of more than `MOST_COLUMNS` columns the table has the shown ones and those with the largest weights.
    """
    columns = _columns(weights)
    names = [weights.names[column] for column in columns]
    rows = ([word.text, *line] for word, line in zip(weights.words, weights.weights[:, columns].tolist()))
    which = "All weights" if len(names) == len(weights.names) else f"{len(names)} of {len(weights.names):,} columns"
    return "\n".join(
        [
            f"<h3>{escape(weights.title)}</h3>",
            *(_heat_map(weights, column) for column in weights.shown),
            f"<details><summary>{which} as numbers (nan: beyond the longest input)</summary>",
            table(["word", *names], rows),
            "</details>",
        ]
    )


def _columns(weights: WordWeights) -> list[int]:
    """Return the indices of the columns in the table, in order."""
    if len(weights.names) <= MOST_COLUMNS:
        return list(range(len(weights.names)))
    values = weights.weights.nan_to_num(0.0).abs()
    largest = torch.cat([values, values.new_zeros(1, values.shape[1])]).amax(0)  # a text may have no word
    largest[weights.shown] = torch.inf
    return largest.argsort(descending=True, stable=True)[:MOST_COLUMNS].sort().values.tolist()


def _heat_map(weights: WordWeights, column: int) -> str:
    name = weights.names[column]
    return "\n".join(
        [
            f'<figure><figcaption dir="auto">{escape(name)} (strongest color: {weights.scale:.4f})</figcaption>',
            f'<p class="map" dir="{weights.direction}">{"".join(_words(weights, column))}</p></figure>',
        ]
    )


def _words(weights: WordWeights, column: int) -> Iterator[str]:
    for word, weight in zip(weights.words, weights.weights[:, column].tolist()):
        if isnan(weight):
            kind, title, color = ' class="unread"', "beyond the longest input", FOR
        else:
            kind, title = ' class="against"' if weight < 0 else "", f"{weight:+.4f}"
            color = AGAINST if weight < 0 else FOR
        paint = f"background:rgba({','.join(map(str, color))},{strength(weight, weights.scale):.3f})"
        yield f'{escape(word.gap)}<span{kind} style="{paint}" title="{title}">{escape(word.text)}</span>'
