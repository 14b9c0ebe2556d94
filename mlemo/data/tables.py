"""Strict reading of text tables: a fault is answered with file, line, what was found and what was expected."""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import torch
from torch import Tensor

from mlemo.data.checks import check_ids, invisible
from mlemo.data.compressed import read_parquet_columns
from mlemo.labels import LabelSpace
from mlemo.visible import shown

__all__ = ["Table", "nearest", "read_csv", "read_json_lines", "read_parquet", "read_text"]

# True, 1 and 1.0 are one dictionary key, so this covers the cells of CSV, JSON and Parquet
INDICATORS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, 0: 0.0, 1: 1.0}

SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST_NAME = 200  # characters
LONGEST_CELL = 2**31 - 1  # characters; Python's own limit of 131,072 refuses long texts


@dataclass(frozen=True)
class Table:
    """The columns of one file, and where each row stands in it.

    Args:
        source: File name, for messages.
        columns: Column name to its ``N`` cells, in the order of the file.
        lines: ``N`` numbers, counted from 1: where each row begins.
        unit: What ``lines`` count: ``"line"`` or, in files without lines, ``"row"``.

    Raises:
        ValueError: A column name holds a character of ``checks.INVISIBLE``.
    """

    source: str
    columns: dict[str, list[Any]]
    lines: Sequence[int]
    unit: str = "line"

    def __post_init__(self) -> None:
        for name in self.columns:
            if found := invisible(name):
                raise ValueError(f"{self.source}: the column name {shown(name)} holds {found}; remove it")

    def __len__(self) -> int:
        return len(self.lines)

    def where(self, row: int) -> str:
        """File and line of a row, for messages."""
        number = self.lines[row]
        return f"{self.source}:{number}" if self.unit == "line" else f"{self.source}, {self.unit} {number}"

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

    def ids(self, name: str) -> list[str]:
        """The cells of one column as identifiers, all different.

        Raises:
            ValueError: There is no such column, or as ``check_ids``.
        """
        ids = ["" if cell is None else str(cell) for cell in self.column(name)]
        check_ids(ids, self.where)
        return ids

    def indicators(self, names: Sequence[str], *, empty_is_unknown: bool = False) -> tuple[Tensor, Tensor]:
        """Columns of zeros and ones as label tensors.

        Args:
            names: The columns, in the order wanted.
            empty_is_unknown: Take an empty cell as *not annotated* instead of as a fault.

        Returns:
            Labels ``(N, C)`` float32, 0 where unknown; mask ``(N, C)`` bool, ``False`` where unknown.

        Raises:
            ValueError: A column is missing, or a cell holds neither 0 nor 1.
        """
        columns = []
        for name in names:
            values = [_indicator(cell) for cell in self.column(name)]
            for row, value in enumerate(values):
                if value is None or (math.isnan(value) and not empty_is_unknown):
                    expected = "0, 1 or an empty cell" if empty_is_unknown else "0 or 1"
                    cell = self.columns[name][row]
                    raise ValueError(f"{self.where(row)}: column {name!r} holds {shown(cell)}, expected {expected}")
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


def read_text(path: str | Path) -> str:
    """A whole UTF-8 file, without its byte-order mark; line ends are kept as they are.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is empty, is not UTF-8 (the message gives the line and the byte), holds a NUL character, or
            begins with two byte-order marks.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise ValueError(f"{path}:{line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from None
    if text.startswith("\ufeff"):
        raise ValueError(f"{path}:1: the file begins with two byte-order marks (U+FEFF); remove one")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}:{line}: found a NUL character, expected text; is the file damaged or UTF-16?")
    if not text.strip():
        raise ValueError(f"{path}: the file is empty, expected at least one row")
    return text


def read_csv(
    path: str | Path, *, delimiter: str = ",", quoted: bool = True, columns: Sequence[str] | None = None
) -> Table:
    """A delimited text file, every row as wide as the header.

    Args:
        path: The file, UTF-8 with or without a byte-order mark, LF or CRLF.
        delimiter: One character.
        quoted: Whether ``"`` encloses fields (and is doubled inside them); otherwise it is an ordinary character.
        columns: Names of the columns of a file without a header; ``None`` where the first line is the header.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not UTF-8, broken quoting, a repeated column, a row that is too short or too long, or no row.
    """
    # the line ends after the last row are no rows; any other empty line is a fault
    text = read_text(path).rstrip("\r\n")
    # StringIO, not splitlines(): that would also break lines at U+2028, U+0085 and the like, inside texts
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=True,
    )
    rows: list[list[str]] = []
    lines: list[int] = []
    line = 1
    limit = csv.field_size_limit(LONGEST_CELL)  # of the whole process
    try:
        for row in reader:
            rows.append(row)
            lines.append(line)
            line = reader.line_num + 1  # a quoted field may hold line breaks
    except csv.Error as error:
        raise ValueError(f"{path}:{line}: in the row that begins here: {error}") from None
    finally:
        csv.field_size_limit(limit)
    header = list(columns) if columns is not None else rows.pop(0)
    if columns is None:
        lines.pop(0)
        repeated = sorted(name for name, count in Counter(header).items() if count > 1)
        if repeated:
            raise ValueError(
                f"{path}:1: the columns {shown(repeated)} occur more than once in the header {shown(header)}"
            )
    for row, line in zip(rows, lines):
        if len(row) != len(header):
            found = f"{len(row)} columns" if row else "an empty line"
            raise ValueError(f"{path}:{line}: found {found}, expected {len(header)} columns {shown(header)}")
    if not rows:
        raise ValueError(f"{path}: no row after the header {shown(header)}")
    return Table(str(path), dict(zip(header, (list(cells) for cells in zip(*rows)))), lines)


def read_json_lines(path: str | Path) -> Table:
    """A file of one JSON object a line, all with the same keys.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not UTF-8, a line that is no JSON object, half a surrogate pair, or other keys than in the first
            line.
    """
    rows: list[dict[str, Any]] = []
    for line, content in enumerate(read_text(path).rstrip("\r\n").split("\n"), start=1):
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:  # not JSON, numbers of thousands of digits, deep nesting
            raise ValueError(f"{path}:{line}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{line}: found {shown(row)}, expected a JSON object")
        if "\\u" in content and (half := SURROGATE.search(json.dumps(row, ensure_ascii=False))) is not None:
            raise ValueError(
                f"{path}:{line}: found \\u{ord(half[0]):04x}, half of a surrogate pair, expected both or none; "
                "was a text cut inside an emoji?"
            )
        if rows and row.keys() != rows[0].keys():
            raise ValueError(
                f"{path}:{line}: found the keys {shown(list(row))}, expected {shown(list(rows[0]))} as in line 1"
            )
        rows.append(row)
    return Table(str(path), {key: [row[key] for row in rows] for key in rows[0]}, range(1, len(rows) + 1))


def read_parquet(path: str | Path) -> Table:
    """A Parquet file; rows are counted from 1.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No Parquet file, a text that is not UTF-8, no row, or more than ``read_parquet_columns`` reads.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    content = read_parquet_columns(Path(path))
    columns = {name: _cells(content.column(place), f"{path}", name) for place, name in enumerate(content.column_names)}
    rows = max((len(cells) for cells in columns.values()), default=0)
    if not rows:
        raise ValueError(f"{path}: no row, found the columns {shown(list(columns))}")
    return Table(str(path), columns, range(1, rows + 1), unit="row")


def _cells(column: pyarrow.ChunkedArray, path: str, name: str) -> list[Any]:
    """A column of a Parquet file, whose texts may hold any bytes."""
    unreadable = (ValueError, OverflowError)  # bytes that are not UTF-8; times beyond those of Python
    try:
        return column.to_pylist()
    except unreadable:
        for row, cell in enumerate(column, start=1):
            try:
                cell.as_py()
            except unreadable as error:
                raise ValueError(f"{path}, row {row}: column {name!r} cannot be read: {error}") from None
        raise


def _indicator(cell: Any) -> float | None:
    """0 or 1; NaN for an empty cell; ``None`` for anything else."""
    if cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)):
        return math.nan
    try:
        return INDICATORS.get(cell)
    except TypeError:  # a list in JSON or Parquet
        return None
