"""Rows of cells as tables: the header, and whether each row is as wide."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from mlemo.data.io.table import Table, place
from mlemo.utils.messages import shown

__all__ = ["BLANK_ROWS", "EMPTY_COLUMNS", "grid_parts"]

BLANK_ROWS, EMPTY_COLUMNS = "blank rows", "empty columns behind the last one with a name"  #: what may be skipped


def grid_parts(
    source: str,
    parts: Iterable[list[tuple[int, list[str]]]],
    *,
    columns: Sequence[str] | None = None,
    unit: str = "line",
    skipped: Counter[str] | None = None,
) -> Iterator[Table]:
    """Tables of the parts of a file, every row as wide as the header.

    Args:
        source: File name, for messages.
        parts: Rows, each with the number of the line or row that it begins in.
        columns: Names of the columns of a file without a header; ``None`` where the first row is the header.
        unit: What the numbers count, see `Table`.
        skipped: Where blank rows and empty columns behind the last one with a name are counted, which are then passed
            over; ``None`` refuses them.

    Raises:
        ValueError: A repeated column, a row that is too short or too long, or no row.
    """
    header = None if columns is None else list(columns)
    number, found_any = 0, False  # rows so far, with the header and blank ones, as a spreadsheet counts them
    for part in parts:
        lines, numbers, rows = [], [], []
        for line, row in part:
            number += 1
            where = partial(place, source, unit, line, number)
            if skipped is not None and not any(cell.strip() for cell in row):
                skipped[BLANK_ROWS] += 1
                continue
            if header is None:
                header = _header(row, where, skipped)
                continue
            cells = row if skipped is None else _without_empty_end(row, header, where, skipped)
            if len(cells) != len(header):
                found = f"{len(row)} columns" if row else "an empty line"
                raise ValueError(f"{where()}: found {found}, expected {len(header)} columns {shown(header)}")
            lines.append(line)
            numbers.append(number)
            rows.append(cells)
        if header is not None and rows:
            found_any = True
            yield Table(source, dict(zip(header, map(list, zip(*rows)))), lines, unit, numbers)
    if header is None:
        raise ValueError(f"{source}: the file is empty, expected at least one row")
    if not found_any:
        raise ValueError(f"{source}: no row after the header {shown(header)}")


def _header(row: list[str], where: Callable[[], str], skipped: Counter[str] | None) -> list[str]:
    width = len(row)
    while skipped is not None and width and not row[width - 1].strip():
        width -= 1
    if skipped is not None and width < len(row):
        skipped[EMPTY_COLUMNS] = len(row) - width
    if skipped is not None and width == 1:
        for character in (character for character in ";,|\t" if character in row[0]):
            raise ValueError(
                f"{where()}: found one column, {shown(row[0])}; if {character!r} is between the cells, set "
                f"data.delimiter: {json.dumps(character)}"
            )
    repeated = sorted(name for name, count in Counter(row[:width]).items() if count > 1)
    if repeated:
        raise ValueError(f"{where()}: the columns {shown(repeated)} occur more than once in the header {shown(row)}")
    return row[:width]


def _without_empty_end(row: list[str], header: list[str], where: Callable[[], str], skipped: Counter[str]) -> list[str]:
    """The row without the cells behind the last column, where those are empty."""
    end = row[len(header) :]
    for column, cell in enumerate(end, start=len(header) + 1):
        if cell.strip():
            raise ValueError(
                f"{where()}: found {len(row)} columns, with {shown(cell)} in column {column}, expected {len(header)} "
                f"columns {shown(header)}"
            )
    if end:
        skipped[EMPTY_COLUMNS] = max(skipped[EMPTY_COLUMNS], len(end))
    return row[: len(header)]
