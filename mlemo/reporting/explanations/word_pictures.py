"""Heat maps of words as pictures, each word with its weight, in lines in the text's direction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import isnan

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

from mlemo.reporting.drawing import drawable, png
from mlemo.reporting.explanations.heat_maps import AGAINST, FOR, strength
from mlemo.reporting.explanations.words import Direction, Word, WordWeights, direction

__all__ = ["visual_order", "word_picture"]

DPI, WIDTH, MARGIN = 150, 1200, 30  # of the picture; lengths in pixels
LINE, TITLE, BOX, BLANK, PADDING, NARROWEST = 78, 44, 44, 12, 6, 50  # lines, titles and boxes; pixels
LETTERS, SMALL, NUMBERS = 14, 9, 7  # points
LONGEST = 40  # largest number of letters drawn per word; links may be longer than a line


def word_picture(tables: Sequence[WordWeights]) -> tuple[bytes, set[str]]:
    """Draw all heat maps of one text as a PNG; also return the characters that no font of this system has.

    Letters of right-to-left scripts are joined and ordered by matplotlib (from 3.11 on). Lines are laid out here, since
    every word has its own color.
    """
    texts = list(dict.fromkeys(text for table in tables for text in (*table.names, *(w.text for w in table.words))))
    short = [text if len(text) <= LONGEST else text[:LONGEST] + "…" for text in texts]
    with drawable(short) as (drawn, missing):
        shown = dict(zip(texts, drawn))
        figure = Figure(figsize=(WIDTH / DPI, 1), dpi=DPI)
        renderer, letters = FigureCanvasAgg(figure).get_renderer(), FontProperties(size=LETTERS)

        def width(word: Word) -> float:
            inked = renderer.get_text_width_height_descent(shown[word.text], letters, ismath=False)[0]
            return max(NARROWEST, inked + 2 * PADDING)

        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        y = MARGIN
        for table in tables:
            widths = [width(word) for word in table.words]
            lines = _lines(table.words, widths)
            for column in table.shown:
                title = f"{shown[table.names[column]]}    {table.title}; strongest color: {table.scale:.3f}"
                axes.text(MARGIN, y, title, va="center", size=SMALL, parse_math=False)
                y += TITLE
                values = table.weights[:, column].tolist()
                for line in lines:
                    for word, x in _places(table, line, widths):
                        text = shown[table.words[word].text]
                        _draw(axes, text, values[word], scale=table.scale, corner=(x, y), width=widths[word])
                    y += LINE
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(y, 0)  # downwards
        figure.set_size_inches(WIDTH / DPI, y / DPI)
        return png(figure), missing


def visual_order(words: Sequence[str], base: Direction) -> list[int]:
    """Return the indices of the words of a line, from left to right.

    Words are ordered in the base direction, but runs of words of the other direction in theirs (the Unicode
    bidirectional algorithm at the level of words; words without letters belong to their neighbors' run if these agree).

    Example:
        >>> visual_order(["قال", "good", "day", "لي"], "rtl")
        [3, 1, 2, 0]
    """
    own = [direction(word) for word in words]
    before: list[Direction] = []
    for kind in own:
        before.append(kind or (before[-1] if before else base))
    behind: list[Direction] = []
    for kind in reversed(own):
        behind.append(kind or (behind[-1] if behind else base))
    agreed = [first if first == last else base for first, last in zip(before, reversed(behind))]
    runs = [list(run) for _, run in groupby(range(len(words)), key=lambda word: agreed[word])]
    ordered = runs if base == "ltr" else runs[::-1]
    return [word for run in ordered for word in (run if agreed[run[0]] == "ltr" else run[::-1])]


def _lines(words: Sequence[Word], widths: Sequence[float]) -> list[list[int]]:
    """Divide words into lines; a word that is too long for any line gets a separate one."""
    lines: list[list[int]] = [[]]
    room = float(WIDTH - 2 * MARGIN)
    for word, width in enumerate(widths):
        needed = width + (_blank(words[word]) if lines[-1] else 0)
        if lines[-1] and needed > room:
            lines.append([])
            room, needed = WIDTH - 2 * MARGIN, width
        lines[-1].append(word)
        room -= needed
    return lines


def _places(table: WordWeights, line: Sequence[int], widths: Sequence[float]) -> list[tuple[int, float]]:
    """Compute the left edge of each word of a line that starts at the left margin, or ends at the right one."""
    order = [line[place] for place in visual_order([table.words[word].text for word in line], table.direction)]
    places, x = [], float(MARGIN)
    for word, following in zip(order, [*order[1:], None]):
        places.append((word, x))
        later = following if table.direction == "ltr" else word  # the gap belongs to the later word in reading order
        x += widths[word] + (0 if following is None or later is None else _blank(table.words[later]))
    shift = 0.0 if table.direction == "ltr" else WIDTH - MARGIN - x
    return [(word, x + shift) for word, x in places]


def _blank(word: Word) -> float:
    return BLANK if word.gap else 2


def _draw(axes: Axes, text: str, weight: float, *, scale: float, corner: tuple[float, float], width: float) -> None:
    """Draw a word in its box, with its weight below; words beyond the model's input are gray, without a weight."""
    (x, y), unread = corner, isnan(weight)
    middle = x + width / 2
    red, green, blue = (part / 255 for part in (AGAINST if weight < 0 else FOR))
    color = (red, green, blue, strength(weight, scale))
    axes.add_patch(Rectangle((x, y - BOX / 2), width, BOX, facecolor=color, linewidth=0))
    ink = "#999999" if unread else "black"
    axes.text(middle, y, text, ha="center", va="center_baseline", size=LETTERS, color=ink, parse_math=False)
    if not unread:
        number = f"{round(weight, 2) + 0:.2f}"  # + 0 converts -0 to 0
        axes.text(middle, y + BOX / 2 + 4, number, ha="center", va="top", size=NUMBERS, color="#444444")
