"""Records of a delimited text file, of which a broken one does not break those behind it."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal

__all__ = ["records"]

LONGEST_CELL = 2**31 - 1  # characters; Python's own limit of 131,072 refuses long texts
MOST_LINES = 1000  #: lines of a record; a quote that is open for longer was never meant to be closed


def records(lines: Iterable[str], delimiter: str, quoted: bool) -> Iterator[tuple[list[str], str | None]]:
    r"""Cells of each record, and what is wrong with its quotes.

    A line whose quoting is broken is a record by itself, in which quotes are ordinary characters; reading continues
    with the next line.

    Args:
        lines: Lines with their ends.
        delimiter: Character between cells.
        quoted: Whether ``"`` encloses cells, instead of being a character as any other.

    Example:
        >>> for cells, fault in records(['1,"a day"\n', '2,"never closed\n', '3,"the sea"\n'], ",", True):
        ...     print(cells, fault)
        ['1', 'a day'] None
        ['2', '"never closed'] broken quoting: ',' expected after '"'
        ['3', 'the sea'] None
    """
    source, waiting = iter(lines), deque[str]()  # lines that were read for a record that turned out to be broken
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    while True:
        taken: list[str] = []
        reader = csv.reader(_take(waiting, source, taken), delimiter=delimiter, quoting=quoting, strict=True)
        limit = csv.field_size_limit(LONGEST_CELL)  # of the whole process
        try:
            cells = next(reader, None)
        except csv.Error as error:
            waiting.extendleft(reversed(taken[1:]))
            yield next(csv.reader(taken[:1], delimiter=delimiter, quoting=csv.QUOTE_NONE)), f"broken quoting: {error}"
            continue
        finally:
            csv.field_size_limit(limit)
        if cells is None:
            return
        yield cells, None


def _take(waiting: deque[str], source: Iterator[str], taken: list[str]) -> Iterator[str]:
    """Lines for one record, at most `MOST_LINES`, which are added to those taken."""
    while len(taken) < MOST_LINES:
        line = waiting.popleft() if waiting else next(source, None)
        if line is None:
            return
        taken.append(line)
        yield line
