"""Words of texts and their weights, the input of heat maps."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import regex
from torch import Tensor

__all__ = ["Direction", "Word", "WordWeights", "cut", "direction", "word_spans"]

Direction = Literal["ltr", "rtl"]
# Chinese and Japanese are written without spaces; each of their characters is a word
WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]\p{M}*|[^\s\p{Han}\p{Hiragana}\p{Katakana}]+")


@dataclass(frozen=True)
class Word:
    """A word of a text.

    Args:
        text: The word.
        gap: Characters between the previous word and this one.
    """

    text: str
    gap: str = " "


@dataclass(frozen=True)
class WordWeights:
    """Weights of the words of one text, in one or several columns.

    Args:
        title: Description of the weights.
        words: W words in reading order.
        names: M names of the columns.
        weights: ``(W, M)``; NaN for words beyond the model's longest input.
        shown: Columns with a heat map; the table of numbers has all columns.
        direction: Writing direction of the text.
    """

    title: str
    words: list[Word]
    names: list[str]
    weights: Tensor
    shown: list[int]
    direction: Direction

    @property
    def scale(self) -> float:
        """The largest absolute weight in the shown columns, which gets the strongest color."""
        shown = self.weights[:, self.shown].nan_to_num(0.0)
        return float(shown.abs().max()) if shown.numel() else 0.0


def word_spans(text: str) -> list[tuple[int, int]]:
    """Find the start and end of each word, separated by whitespace; each Chinese or Japanese character is a word.

    Example:
        >>> word_spans("so happy 我们")
        [(0, 2), (3, 8), (9, 10), (10, 11)]
    """
    return [match.span() for match in WORD.finditer(text)]


def cut(text: str, spans: Sequence[tuple[int, int]]) -> list[Word]:
    """Return the words at the given spans, with the gap before each of them.

    Example:
        >>> cut("so  happy", [(0, 2), (4, 9)])
        [Word(text='so', gap=''), Word(text='happy', gap='  ')]
    """
    ends = [0, *(end for _, end in spans)]
    return [Word(text[start:end], text[before:start]) for before, (start, end) in zip(ends, spans)]


def direction(text: str) -> Direction | None:
    """Return the direction of a text's first letter; ``None`` without letters.

    Example:
        >>> direction("2 يوم"), direction("day يوم"), direction("12!")
        ('rtl', 'ltr', None)
    """
    kinds = (unicodedata.bidirectional(character) for character in text)
    first = next((kind for kind in kinds if kind in ("L", "R", "AL")), None)
    return None if first is None else "ltr" if first == "L" else "rtl"
