"""Strict reading of text tables: a fault is answered with file, line, what was found and what was expected.

Each format has a reader of the whole file, and one of its parts, for files whose cells are too many for a list.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from mlemo.data.io.compressed import parquet_batches
from mlemo.data.io.grid import grid_parts
from mlemo.data.io.table import Table, nearest
from mlemo.data.io.text_lines import read_text, text_lines
from mlemo.data.io.workbook import xlsx_parts, xlsx_rows
from mlemo.utils.messages import shown

__all__ = [
    "DELIMITERS",
    "SUFFIXES",
    "Table",
    "check_suffix",
    "csv_parts",
    "file_parts",
    "json_lines_parts",
    "most_rows",
    "nearest",
    "parquet_parts",
    "read_csv",
    "read_json_lines",
    "read_parquet",
    "read_text",
    "xlsx_parts",
]

#: Delimiter of text tables by suffix; Excel saves "Unicode text" as .txt with tabs.
DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
SUFFIXES = (*DELIMITERS, ".xlsx", ".jsonl", ".parquet")

SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST_CELL = 2**31 - 1  # characters; Python's own limit of 131,072 refuses long texts
PART = 20_000  #: rows of a part of a file
BLOCK = 2**22  # bytes


def most_rows(path: Path) -> int:
    """Return the largest number of rows of a file: its lines, or the rows that a Parquet file or workbook gives."""
    if path.suffix.lower() == ".xlsx":
        return xlsx_rows(path)
    if path.suffix.lower() == ".parquet":
        try:
            return pyarrow.parquet.read_metadata(path).num_rows
        except (pyarrow.ArrowException, OSError):
            return 0  # its reader raises the error
    with path.open("rb") as file:
        return 1 + sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))


def check_suffix(path: Path) -> None:
    """Refuse a file of another suffix than `file_parts` reads.

    Raises:
        ValueError: It has one.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: unknown suffix {path.suffix!r}, expected one of {list(SUFFIXES)}")


def file_parts(path: Path, delimiter: str | None, encoding: str | None, skipped: Counter[str]) -> Iterator[Table]:
    """The rows of a file whose suffix is its format, some thousands at a time.

    Args:
        path: The file.
        delimiter: As for `read_csv`; ``None`` for that of the suffix.
        encoding: As for `encoding_of`.
        skipped: As for `grid_parts`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Another suffix, or a fault in the file.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        return xlsx_parts(path, skipped)
    if suffix == ".parquet":
        return parquet_parts(path)
    if suffix == ".jsonl":
        return json_lines_parts(path, encoding)
    return csv_parts(path, delimiter=delimiter or DELIMITERS[suffix], encoding=encoding, skipped=skipped)


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
    return _joined(csv_parts(path, delimiter=delimiter, quoted=quoted, columns=columns))


def read_json_lines(path: str | Path) -> Table:
    """A file of one JSON object a line, all with the same keys.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not UTF-8, a line that is no JSON object, half a surrogate pair, or other keys than in the first
            line.
    """
    return _joined(json_lines_parts(path))


def read_parquet(path: str | Path) -> Table:
    """A Parquet file; rows are counted from 1.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No Parquet file, a text that is not UTF-8, no row, or more than ``parquet_batches`` reads.
    """
    return _joined(parquet_parts(path))


def csv_parts(
    path: str | Path,
    *,
    delimiter: str = ",",
    quoted: bool = True,
    columns: Sequence[str] | None = None,
    encoding: str | None = "utf-8",
    skipped: Counter[str] | None = None,
) -> Iterator[Table]:
    """The rows of a delimited text file, some thousands at a time; faults as for `read_csv`.

    Args:
        path: The file, with LF or CRLF.
        delimiter: As for `read_csv`.
        quoted: As for `read_csv`.
        columns: As for `read_csv`.
        encoding: As for `encoding_of`.
        skipped: As for `grid_parts`.
    """
    # not splitlines(): that would also break lines at U+2028, U+0085 and the like, inside texts
    reader = csv.reader(
        text_lines(Path(path), newline="", encoding=encoding),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=True,
    )
    heads = [] if columns is not None else [_csv_rows(path, reader, 1)]
    parts = chain(heads, iter(partial(_csv_rows, path, reader, PART), []))
    return grid_parts(str(path), parts, columns=columns, skipped=skipped)


def json_lines_parts(path: str | Path, encoding: str | None = "utf-8") -> Iterator[Table]:
    """The rows of a JSON lines file, some thousands at a time; faults as for `read_json_lines`."""
    lines = enumerate(text_lines(Path(path), newline="\n", encoding=encoding), start=1)
    keys: list[str] | None = None
    while part := list(islice(lines, PART)):
        rows = []
        for line, content in part:
            row = _json_object(content.rstrip("\n"), f"{path}:{line}")
            keys = list(row) if keys is None else keys
            if row.keys() != set(keys):
                raise ValueError(
                    f"{path}:{line}: found the keys {shown(list(row))}, expected {shown(keys)} as in line 1"
                )
            rows.append(row)
        yield Table(str(path), {key: [row[key] for row in rows] for key in keys or ()}, [line for line, _ in part])


def parquet_parts(path: str | Path) -> Iterator[Table]:
    """The rows of a Parquet file, some thousands at a time; faults as for `read_parquet`."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    names, batches = parquet_batches(Path(path))
    begin = 1
    while part := list(islice(batches, max(1, PART // 1024))):
        content = pyarrow.Table.from_batches(part)
        columns = {name: _cells(content.column(place), path, name, begin) for place, name in enumerate(names)}
        if not columns:
            break
        yield Table(str(path), columns, range(begin, begin + len(content)), unit="row")
        begin += len(content)
    if begin == 1:
        raise ValueError(f"{path}: no row, found the columns {shown(names)}")


def _joined(parts: Iterable[Table]) -> Table:
    first, *others = parts
    if not others:
        return first
    columns = {
        name: list(chain(cells, *(part.columns[name] for part in others))) for name, cells in first.columns.items()
    }
    lines = list(chain(first.lines, *(part.lines for part in others)))
    numbers = None if first.numbers is None else list(chain(first.numbers, *(part.numbers or () for part in others)))
    return Table(first.source, columns, lines, first.unit, numbers)


def _csv_rows(path: str | Path, reader: Any, most: int) -> list[tuple[int, list[str]]]:
    """The next rows of a csv reader, each with the number of the line that it begins in."""
    rows = []
    line = reader.line_num + 1
    limit = csv.field_size_limit(LONGEST_CELL)  # of the whole process
    try:
        for row in islice(reader, most):
            rows.append((line, row))
            line = reader.line_num + 1  # a quoted field may hold line breaks
    except csv.Error as error:
        raise ValueError(f"{path}:{line}: in the row that begins here: {error}") from None
    finally:
        csv.field_size_limit(limit)
    return rows


def _json_object(content: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(content)
    except (ValueError, RecursionError) as error:  # not JSON, numbers of thousands of digits, deep nesting
        raise ValueError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"{where}: found {shown(row)}, expected a JSON object")
    if "\\u" in content and (half := SURROGATE.search(json.dumps(row, ensure_ascii=False))) is not None:
        raise ValueError(
            f"{where}: found \\u{ord(half[0]):04x}, half of a surrogate pair, expected both or none; "
            "was a text cut inside an emoji?"
        )
    return row


def _cells(column: pyarrow.ChunkedArray, path: str | Path, name: str, begin: int) -> list[Any]:
    """Cells of a Parquet file, whose texts may hold any bytes; ``begin`` is the number of the first row."""
    unreadable = (ValueError, OverflowError)  # bytes that are not UTF-8; times beyond those of Python
    try:
        return column.to_pylist()
    except unreadable:
        for row, cell in enumerate(column, start=begin):
            try:
                cell.as_py()
            except unreadable as error:
                raise ValueError(f"{path}, row {row}: column {name!r} cannot be read: {error}") from None
        raise
