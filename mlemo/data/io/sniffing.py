"""Encoding and delimiter of a text table of which nothing is known."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import islice
from pathlib import Path

from mlemo.data.io.tables import DELIMITERS
from mlemo.data.io.text_lines import encoding_of, text_lines

__all__ = ["found_delimiter", "found_encoding"]

BLOCK = 2**20
ROWS = 200  #: rows that a delimiter is judged by


def found_encoding(path: Path) -> str | None:
    """The encoding that `TextFiles` needs to be given; ``None`` where it finds it by itself.

    UTF-8 and what a byte-order mark names are certain; UTF-16 without one is known by its NUL bytes; any other file is
    taken for cp1252, the usual one of Western European spreadsheets, in which most bytes mean something.
    """
    if encoding_of(path, None) == "utf-16":
        return None
    with path.open("rb") as file:
        head = file.read(BLOCK)
    if head.count(0) > len(head) / 8:
        return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
    try:
        with path.open(encoding="utf-8") as file:
            while file.read(BLOCK):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return None


def found_delimiter(path: Path, encoding: str | None) -> str:
    """The delimiter that gives the widest rows of equal width, of the first ones; else that of the suffix."""
    usual = DELIMITERS[path.suffix.lower()]
    widths = {}
    for delimiter in dict.fromkeys([usual, ",", ";", "\t", "|"]):
        rows = csv.reader(text_lines(path, newline="", encoding=encoding), delimiter=delimiter)
        try:
            counts = Counter(len(row) for row in islice(rows, ROWS) if any(cell.strip() for cell in row))
        except csv.Error:
            continue
        (width, often), *_ = counts.most_common(1) or [(1, 0)]
        widths[delimiter] = width if often >= 0.9 * counts.total() else 1
    return max(widths, key=lambda delimiter: widths[delimiter], default=usual)
