"""A text table in memory, and the faults of its cells: file, line, what was found and what was expected."""

from __future__ import annotations

import difflib
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mlemo.data.checks import check_ids, invisible
from mlemo.data.io.indicators import strict_indicator
from mlemo.labels import LabelSpace
from mlemo.utils.messages import shown

__all__ = ["Table", "nearest", "place"]

LONGEST_NAME = 200  # characters


@dataclass(frozen=True)
class Table:
    """The columns of one file, and the line of each row in it.

    Args:
        source: File name, for messages.
        columns: Column name to its ``N`` cells, in the order of the file.
        lines: ``N`` numbers, counted from 1: where each row begins.
        unit: What ``lines`` count: ``"line"`` or, in files without lines, ``"row"``.
        numbers: ``N`` numbers of the rows, counted from 1 with the header and blank rows, as a spreadsheet shows them;
            ``None`` where they are the ``lines``.

    Raises:
        ValueError: A column name holds a character of ``checks.INVISIBLE``.
    """

    source: str
    columns: dict[str, list[Any]]
    lines: Sequence[int]
    unit: str = "line"
    numbers: Sequence[int] | None = None

    def __post_init__(self) -> None:
        for name in self.columns:
            if found := invisible(name):
                raise ValueError(f"{self.source}: the column name {shown(name)} holds {found}; remove it")

    def __len__(self) -> int:
        return len(self.lines)

    def where(self, row: int) -> str:
        """File and line of a row, for messages."""
        line = self.lines[row]
        return place(self.source, self.unit, line, line if self.numbers is None else self.numbers[row])

    def place(self, line: int) -> str:
        """File and line, for messages; of a line that begins a row of this table, the row too."""
        row = bisect_left(self.lines, line)
        known = row < len(self.lines) and self.lines[row] == line
        return self.where(row) if known else place(self.source, self.unit, line, line)

    def column(self, name: str) -> list[Any]:
        """The cells of one column.

        Raises:
            ValueError: There is no such column; the message lists those that there are.
        """
        if name not in self.columns:
            found = list(self.columns)
            raise ValueError(f"{self.source}: no column {name!r}, found {shown(found)}{nearest(name, found)}")
        return self.columns[name]

    def texts(self, name: str) -> list[str]:
        """The cells of one column, every one a string.

        Raises:
            ValueError: There is no such column, or a cell holds something else (Parquet and JSON lines only) or a NUL
                character.
        """
        cells = self.column(name)
        for row, cell in enumerate(cells):
            if not isinstance(cell, str) or "\0" in cell:
                expected = "a text without NUL characters" if isinstance(cell, str) else "a text"
                raise ValueError(f"{self.where(row)}: column {name!r} holds {shown(cell)}, expected {expected}")
        return cells

    def joined_texts(self, names: Sequence[str], separator: str) -> list[str]:
        """The cells of several columns, those of a row that are not empty joined; faults as for `texts`."""
        if len(names) == 1:
            return self.texts(names[0])
        return [separator.join(cell for cell in row if cell.strip()) for row in zip(*map(self.texts, names))]

    def ids(self, name: str, known: dict[str, int] | None = None) -> list[str]:
        """The cells of one column as identifiers, all different.

        Args:
            name: The column.
            known: Line of each id of the parts of the file before this one; those of this part are added.

        Raises:
            ValueError: There is no such column, or as ``check_ids``.
        """
        ids = ["" if cell is None else str(cell) for cell in self.column(name)]
        check_ids(ids, self.place, self.lines, known)
        return ids

    def indicators(
        self,
        names: Sequence[str],
        *,
        empty_is_unknown: bool = False,
        read: Callable[[Any], float | None] = strict_indicator,
        advice: str = "",
    ) -> tuple[Tensor, Tensor]:
        """Columns of zeros and ones as label tensors.

        Args:
            names: The columns, in the order wanted.
            empty_is_unknown: Take an empty cell as *not annotated* instead of as a fault.
            read: 0 or 1 of a cell; NaN where it is empty, ``None`` where it is anything else.
            advice: End of the message about a cell that is anything else.

        Returns:
            Labels ``(N, C)`` float32, 0 where unknown; mask ``(N, C)`` bool, ``False`` where unknown.

        Raises:
            ValueError: A column is missing, or a cell holds neither 0 nor 1.
        """
        columns = []
        for name in names:
            values = [read(cell) for cell in self.column(name)]
            for row, value in enumerate(values):
                if value is None or (math.isnan(value) and not empty_is_unknown):
                    expected = "0, 1 or an empty cell" if empty_is_unknown else "0 or 1"
                    cell = self.columns[name][row]
                    raise ValueError(
                        f"{self.where(row)}: column {name!r} holds {shown(cell)}, expected {expected}{advice}"
                    )
            columns.append(values)
        grid = torch.tensor(columns, dtype=torch.float32).reshape(len(names), len(self)).T
        return grid.nan_to_num(0.0), ~grid.isnan()

    def multi_hot(self, sets: Iterable[Iterable[str]], space: LabelSpace) -> Tensor:
        """One set of label names a row as a tensor ``(N, C)`` float32 of zeros and ones.

        Raises:
            ValueError: A name is no label; the message gives file, line and the nearest label.
        """
        columns = {name: column for column, name in enumerate(space.names)}
        rows: list[int] = []
        on: list[int] = []
        for row, names in enumerate(sets):
            for name in names:
                if name not in columns:
                    known = list(space.names)
                    raise ValueError(
                        f"{self.where(row)}: unknown label {shown(name)}{nearest(name, known)} The labels are {known}"
                    )
                rows.append(row)
                on.append(columns[name])
        labels = torch.zeros(len(self), len(space))
        labels[rows, on] = 1.0
        return labels


def place(source: str, unit: str, line: int, number: int) -> str:
    """File and line of a row, and its number in a spreadsheet where that differs, for messages.

    Example:
        >>> place("mine.csv", "line", 7, 7), place("mine.csv", "line", 9, 7)
        ('mine.csv:7', 'mine.csv:9 (row 7 in a spreadsheet)')
        >>> place("mine.xlsx", "row", 7, 7)
        'mine.xlsx, row 7'
    """
    if unit != "line":
        return f"{source}, {unit} {line}"
    return f"{source}:{line}" + (f" (row {number:,} in a spreadsheet)" if line != number else "")


def nearest(name: object, known: Iterable[str]) -> str:
    """The end of an error message that proposes the nearest known names, or a full stop where none is near.

    Example:
        >>> nearest("hapiness", ["anger", "happiness"])
        ". Did you mean 'happiness'?"
        >>> nearest("xyz", ["anger"])
        '.'
    """
    # a whole text in the place of a name resembles no name, and comparing it would take long
    close = difflib.get_close_matches(str(name), list(known)) if len(str(name)) <= LONGEST_NAME else []
    return f". Did you mean {' or '.join(map(repr, close))}?" if close else "."
