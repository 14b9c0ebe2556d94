"""Texts cut into words, and weights of words: what heat maps are drawn from."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import regex
from torch import Tensor

__all__ = ["Direction", "Word", "WordWeights", "cut", "direction", "word_spans"]

Direction = Literal["ltr", "rtl"]
# Chinese and Japanese are written without blanks; each of their characters counts as a word
WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]\p{M}*|[^\s\p{Han}\p{Hiragana}\p{Katakana}]+")


@dataclass(frozen=True)
class Word:
    """A word of a text.

    Args:
        text: The word.
        gap: What stands between it and the word before it.
    """

    text: str
    gap: str = " "


@dataclass(frozen=True)
class WordWeights:
    """Weights of the words of one text, in one or several columns.

    Args:
        title: What the weights are.
        words: W words, as they are read.
        names: M names of the columns.
        weights: ``(W, M)``; NaN for a word that lies beyond the model's longest input.
        shown: Columns that heat maps are drawn of; all stand in the table of numbers.
        direction: In which the text is written.
    """

    title: str
    words: list[Word]
    names: list[str]
    weights: Tensor
    shown: list[int]
    direction: Direction

    @property
    def scale(self) -> float:
        """The largest absolute weight in the columns that are shown, which gets the strongest colour."""
        shown = self.weights[:, self.shown].nan_to_num(0.0)
        return float(shown.abs().max()) if shown.numel() else 0.0


def word_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each word: what stands between blanks, and each Chinese or Japanese character.

    Example:
        >>> word_spans("so happy 我们")
        [(0, 2), (3, 8), (9, 10), (10, 11)]
    """
    return [match.span() for match in WORD.finditer(text)]


def cut(text: str, spans: Sequence[tuple[int, int]]) -> list[Word]:
    """The words at the given places, with what stands before each of them.

    Example:
        >>> cut("so  happy", [(0, 2), (4, 9)])
        [Word(text='so', gap=''), Word(text='happy', gap='  ')]
    """
    ends = [0, *(end for _, end in spans)]
    return [Word(text[start:end], text[before:start]) for before, (start, end) in zip(ends, spans)]


def direction(text: str) -> Direction | None:
    """The direction of a text's first letter; ``None`` without letters.

    Example:
        >>> direction("2 يوم"), direction("day يوم"), direction("12!")
        ('rtl', 'ltr', None)
    """
    kinds = (unicodedata.bidirectional(character) for character in text)
    first = next((kind for kind in kinds if kind in ("L", "R", "AL")), None)
    return None if first is None else "ltr" if first == "L" else "rtl"
