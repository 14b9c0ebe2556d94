"""Figures of a description: frequencies of labels, sizes of label sets, labels that go together, lengths of texts."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mlemo.callbacks.label_figures import clustered_order, heat_map, label_correlation, most_positive, which_labels
from mlemo.data import Corpus
from mlemo.reporting.description.numbers import Lengths, SplitNumbers
from mlemo.reporting.document import Picture
from mlemo.reporting.figure_style import COLORS, HATCHES, LINES, Words, drawing, grid, legend, numbers_in_cells
from mlemo.reporting.units import number

__all__ = ["label_figure", "length_figure", "size_figure", "together", "together_figure"]

MOST_NUMBERED = 15  # labels of a heat map with numbers in its cells
LARGEST_SIZE = 12  # labels of a row that have a bar of their own


def label_figure(splits: Mapping[str, SplitNumbers]) -> Picture:
    """Draw the share of annotated rows that have each label, one bar per split."""
    first = splits["train"]
    positives = torch.tensor([label.positives for label in first.labels])
    shown = most_positive(positives)
    order = shown[positives[shown].argsort(descending=True, stable=True)].tolist()
    names = [first.labels[label].name for label in order]
    shares = {split: [100 * (numbers.labels[label].share or 0) for label in order] for split, numbers in splits.items()}

    def draw(say: Words) -> Figure:
        figure, (axes,) = grid(1, 6.5, 1 + 0.1 * len(splits) * len(names))
        for split, place, values in _bars(shares):
            axes.barh([row + place for row in range(len(names))], values, _height(shares), **_style(shares, split))
        axes.set_yticks(range(len(names)), [say(name) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)  # downwards
        axes.set_xlabel("% of annotated texts")
        legend(figure, [axes])
        return figure

    which = which_labels(len(order), len(positives))
    caption = "Share of each label" + (f": {which} in train" if which else "")
    return _picture("labels", caption, _in_words(shares, names, 1, " %"), names, draw)


def size_figure(splits: Mapping[str, SplitNumbers]) -> Picture:
    """Draw the share of rows with 0, 1, 2, … labels, one bar per split; large sizes share the last bar."""
    largest = min(max(len(numbers.sizes) for numbers in splits.values()) - 1, LARGEST_SIZE)
    names = [str(size) for size in range(largest + 1)]
    if any(len(numbers.sizes) > largest + 1 for numbers in splits.values()):
        names[-1] += " or more"
    shares = {}
    for split, numbers in splits.items():
        counts = [*numbers.sizes, *[0] * (largest + 1)]
        shares[split] = [100 * count / numbers.rows for count in [*counts[:largest], sum(counts[largest:])]]

    def draw(say: Words) -> Figure:
        figure, (axes,) = grid(1, 6.5, 3)
        for split, place, values in _bars(shares):
            axes.bar([size + place for size in range(len(names))], values, _height(shares), **_style(shares, split))
        axes.set_xticks(range(len(names)), names)
        axes.set_xlabel("labels of a text")
        axes.set_ylabel("% of texts")
        legend(figure, [axes])
        return figure

    words = _in_words(shares, [f"{name} labels" for name in names], 1, " %")
    return _picture("sizes", "Number of labels per text", words, [], draw)


def together(labels: Tensor, mask: Tensor) -> Tensor:
    """Compute the share of the rows with label r that also have label c.

    Args:
        labels: ``(N, K)`` in {0, 1}, 0 where not annotated.
        mask: ``(N, K)`` bool, False = not annotated.

    Returns:
        ``(K, K)`` float64, entry ``[r, c]`` over the rows with r in which c is annotated; NaN if there are none.
    """
    present = labels.double()
    return (present.T @ present) / (present.T @ mask.double())


def together_figure(corpus: Corpus) -> Picture:
    """Draw `together` of the training split as a heat map; labels that go together are next to each other."""
    shown = most_positive(corpus.labels.sum(0))
    labels, mask = corpus.labels[:, shown], corpus.mask[:, shown]
    order = clustered_order(label_correlation(labels, mask))
    names = [corpus.label_space.names[label] for label in shown[order].tolist()]
    matrix = (100 * together(labels, mask)[order][:, order]).fill_diagonal_(torch.nan)

    def draw(say: Words) -> Figure:
        size = 0.3 * len(names) + 2.5
        figure, (axes,) = grid(1, size + 1, size)
        drawn = [say(name) for name in names]
        image = heat_map(axes, matrix, drawn, "", vmin=0, cmap="cividis")
        if len(names) <= MOST_NUMBERED:
            values = matrix.tolist()
            numbers_in_cells(axes, values, [[_whole(value) for value in row] for row in values])
        axes.set_ylabel("of the texts with")
        axes.set_xlabel("this share also has")
        figure.colorbar(image, ax=axes, label="%")
        return figure

    pairs = [
        f"{names[row]}: "
        + ", ".join(f"{name} {_whole(float(matrix[row, c]))}" for c, name in enumerate(names) if c != row)
        for row in range(len(names))
    ]
    which = which_labels(len(names), len(corpus.label_space))
    caption = "Labels that go together in train" + (f": {which}" if which else "")
    words = f"Of the texts with a label, the percentage that also has another one. {'; '.join(pairs)}."
    return _picture("together", caption, words, names, draw)


def length_figure(splits: Mapping[str, Mapping[str, Lengths]], limits: Mapping[str, int]) -> Picture:
    """Draw the share of texts of at most each length, one panel per unit and one line per split.

    Args:
        splits: Lengths by split and unit.
        limits: Longest input by unit, drawn as a line.
    """
    units = list(next(iter(splits.values())))

    def draw(say: Words) -> Figure:
        figure, axes = grid(len(units), 3.6, 3)
        for unit, place in zip(units, axes):
            for index, (split, lengths) in enumerate(splits.items()):
                style: dict[str, Any] = {"color": COLORS[index % len(COLORS)], "linestyle": LINES[index % len(LINES)]}
                places = [max(length, 1) for length in lengths[unit].percentiles]  # 0 has no logarithm
                place.step(places, range(101), where="post", label=split, **style)
            if unit in limits:
                place.axvline(limits[unit], color="black", linewidth=0.8)
                place.text(limits[unit], 2, f" {limits[unit]:,}", fontsize=8)
            place.set_xscale("log")
            place.set_xlabel(f"{unit} (logarithmic)")
        axes[0].set_ylabel("% of texts of at most this length")
        legend(figure, axes)
        return figure

    parts = [
        f"{split}: {unit} of 5, 50, 95 and 100 % of the texts at most "
        + ", ".join(f"{own.percentiles[p]:,}" for p in (5, 50, 95, 100))
        for split, lengths in splits.items()
        for unit, own in lengths.items()
    ]
    return _picture("lengths", "Lengths of the texts", f"{'; '.join(parts)}.", [], draw)


def _picture(name: str, caption: str, words: str, names: Sequence[str], draw: Callable[[Words], Figure]) -> Picture:
    stream = io.BytesIO()
    with drawing(names) as say:
        draw(say).savefig(stream, format="svg", metadata={"Date": None})  # equal pictures are equal files
    return Picture(name, caption, words, {"svg": stream.getvalue()})


def _bars(shares: Mapping[str, Sequence[float]]) -> list[tuple[str, float, Sequence[float]]]:
    """Return the name, the offset and the values of each split, for bars side by side."""
    middle = (len(shares) - 1) / 2
    return [(split, (index - middle) * _height(shares), values) for index, (split, values) in enumerate(shares.items())]


def _height(shares: Mapping[str, object]) -> float:
    return 0.8 / len(shares)


def _style(shares: Mapping[str, object], split: str) -> dict[str, Any]:
    index = list(shares).index(split)
    return {
        "label": split,
        "color": COLORS[index % len(COLORS)],
        "hatch": HATCHES[index % len(HATCHES)],
        "edgecolor": "white",
    }


def _in_words(shares: Mapping[str, Sequence[float]], names: Sequence[str], decimals: int, unit: str) -> str:
    return " ".join(
        f"{split}: " + ", ".join(f"{name} {number(value, decimals)}{unit}" for name, value in zip(names, values)) + "."
        for split, values in shares.items()
    )


def _whole(value: float) -> str:
    return number(value, 0)
