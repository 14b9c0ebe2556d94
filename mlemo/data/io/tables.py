"""Strict reading of text tables: a fault is answered with file, line, what was found and what was expected.

Each format has a reader of the whole file, and one of its parts, for files whose cells are too many for a list.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from mlemo.data.io.compressed import parquet_batches
from mlemo.data.io.table import Table, nearest
from mlemo.utils.messages import shown

__all__ = [
    "Table",
    "csv_parts",
    "json_lines_parts",
    "most_rows",
    "nearest",
    "parquet_parts",
    "read_csv",
    "read_json_lines",
    "read_parquet",
    "read_text",
]

SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST_CELL = 2**31 - 1  # characters; Python's own limit of 131,072 refuses long texts
PART = 20_000  #: rows of a part of a file
BLOCK = 2**22  # bytes


def read_text(path: str | Path) -> str:
    """A whole UTF-8 file, without its byte-order mark; line ends are kept as they are.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is empty, is not UTF-8 (the message gives the line and the byte), holds a NUL character, or
            begins with two byte-order marks.
    """
    return "".join(_lines(Path(path), newline="\n", ends=True))


def most_rows(path: Path) -> int:
    """Return the largest number of rows of a file: its lines, or the rows in the metadata of a Parquet file; else 0."""
    if path.suffix.lower() == ".parquet":
        try:
            return pyarrow.parquet.read_metadata(path).num_rows
        except (pyarrow.ArrowException, OSError):
            return 0  # its reader raises the error
    with path.open("rb") as file:
        return 1 + sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))


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
    path: str | Path, *, delimiter: str = ",", quoted: bool = True, columns: Sequence[str] | None = None
) -> Iterator[Table]:
    """The rows of a delimited text file, some thousands at a time; arguments and faults as for `read_csv`."""
    # not splitlines(): that would also break lines at U+2028, U+0085 and the like, inside texts
    reader = csv.reader(
        _lines(Path(path), newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=True,
    )
    header = list(columns) if columns is not None else _csv_rows(path, reader, 1)[0][1]
    if columns is None:
        repeated = sorted(name for name, count in Counter(header).items() if count > 1)
        if repeated:
            raise ValueError(
                f"{path}:1: the columns {shown(repeated)} occur more than once in the header {shown(header)}"
            )
    found_any = False
    while part := _csv_rows(path, reader, PART):
        found_any = True
        for line, row in part:
            if len(row) != len(header):
                found = f"{len(row)} columns" if row else "an empty line"
                raise ValueError(f"{path}:{line}: found {found}, expected {len(header)} columns {shown(header)}")
        cells = (list(column) for column in zip(*(row for _, row in part)))
        yield Table(str(path), dict(zip(header, cells)), [line for line, _ in part])
    if not found_any:
        raise ValueError(f"{path}: no row after the header {shown(header)}")


def json_lines_parts(path: str | Path) -> Iterator[Table]:
    """The rows of a JSON lines file, some thousands at a time; faults as for `read_json_lines`."""
    lines = enumerate(_lines(Path(path), newline="\n"), start=1)
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
    return Table(first.source, columns, list(chain(first.lines, *(part.lines for part in others))), first.unit)


def _lines(path: Path, newline: str, ends: bool = False) -> Iterator[str]:
    """The lines of a UTF-8 file with their ends, without its byte-order mark.

    Args:
        path: The file.
        newline: As for ``open``: what a line ends with.
        ends: Whether the empty lines after the last row are lines too; any other empty line always is.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    waiting: list[str] = []  # empty lines, until it is known whether something follows
    number, begun = 1, False
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:
            for line in file:
                if "\0" in line:
                    raise ValueError(
                        f"{path}:{number}: found a NUL character, expected text; is the file damaged or UTF-16?"
                    )
                if number == 1 and not begun and not waiting and line.startswith("\ufeff"):
                    raise ValueError(f"{path}:1: the file begins with two byte-order marks (U+FEFF); remove one")
                number += line.endswith("\n")
                if not line.strip("\r\n" if begun else None):
                    waiting.append(line)
                    continue
                begun = True
                yield from waiting
                waiting.clear()
                yield line
    except UnicodeDecodeError:
        _refuse_encoding(path)
        raise
    if not begun:
        raise ValueError(f"{path}: the file is empty, expected at least one row")
    if ends:
        yield from waiting


def _refuse_encoding(path: Path) -> None:
    try:
        path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise ValueError(f"{path}:{line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from None


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
