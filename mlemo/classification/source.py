"""Rows of a file to classify, one at a time: a faulty row is kept, with what is wrong with it."""

from __future__ import annotations

import codecs
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from mlemo.classification.records import records
from mlemo.classification.summary import NO_TEXT
from mlemo.data.io.compressed import readable_parquet
from mlemo.utils.messages import shown

__all__ = ["SUFFIXES", "Row", "Source", "chunks"]

#: Format and delimiter of a file by its suffix.
SUFFIXES = {
    ".txt": ("lines", ""),
    ".csv": ("table", ","),
    ".tsv": ("table", "\t"),
    ".jsonl": ("json", ""),
    ".ndjson": ("json", ""),
    ".parquet": ("parquet", ""),
}
BATCH = 1024  #: rows of a Parquet file that are read at once
#: What ``errors="surrogateescape"`` makes of bytes that the encoding does not have.
UNDECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file.

    Args:
        cells: Its cells by column, of a faulty row as far as they can be told apart.
        fault: Why the row cannot be read as it should; ``None`` where it can.
    """

    cells: dict[str, Any]
    fault: str | None = None


class Source:
    """A file of texts: a line each (``.txt``), or rows of ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson`` or ``.parquet``.

    Iterating over it reads the file from its beginning, in constant memory.

    Args:
        path: The file; ``None`` for lines of the standard input, which can be read once.
        text_columns: Columns with the text; several are joined by line breaks, without empty ones.
        delimiter: Character between cells, of a file of any suffix; ``None`` for that of the suffix.
        encoding: Encoding of a text file.
        quoted: Whether ``"`` encloses cells with delimiters and line breaks, instead of being a character as any other.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The suffix or the encoding is unknown, the delimiter is not one character, or the header of the file
            cannot be read or lacks a text column.
    """

    def __init__(
        self,
        path: Path | None,
        text_columns: Sequence[str] = ("text",),
        *,
        delimiter: str | None = None,
        encoding: str = "utf-8",
        quoted: bool = True,
    ) -> None:
        self.path, self.text_columns, self.quoted = path, tuple(text_columns), quoted
        try:
            self.encoding = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
        except LookupError:
            raise ValueError(f"no encoding is named {encoding!r}; common ones are utf-8, utf-16 and cp1252") from None
        if delimiter is not None and len(delimiter) != 1:
            raise ValueError(f"the delimiter must be one character, found {delimiter!r}")
        if path is None and delimiter is not None:
            raise ValueError("the standard input has a text per line; a table needs --file")
        if path is not None and not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        suffix = ".txt" if path is None else path.suffix.lower()
        if delimiter is None and suffix not in SUFFIXES:
            raise ValueError(f"{path}: expected a file of {', '.join(SUFFIXES)}, or --delimiter")
        self.format, self.delimiter = ("table", delimiter) if delimiter is not None else SUFFIXES[suffix]
        #: Columns of the file; of JSON lines, whose objects may differ, those of the texts.
        self.columns = self._columns()
        missing = [name for name in self.text_columns if name not in self.columns]
        if missing:
            raise ValueError(
                f"{path}: no column {shown(missing[0])} with texts among {shown(self.columns)}; --text_column names "
                "it, and --delimiter what separates the columns"
            )

    def __iter__(self) -> Iterator[Row]:
        if self.format == "parquet":
            yield from self._parquet_rows()
            return
        with self._lines() as lines:
            if self.format == "table":
                yield from self._table_rows(lines)
            elif self.format == "json":
                yield from map(self._json_row, lines)
            else:
                yield from (Row({self.columns[0]: line.removesuffix("\n").removesuffix("\r")}) for line in lines)

    def text_of(self, row: Row) -> tuple[str, str | None]:
        """Return the text of a row, and why there is none to classify; one of the two is empty."""
        if row.fault is not None:
            return "", row.fault
        cells = {name: row.cells.get(name) for name in self.text_columns}
        for name, cell in cells.items():
            if not isinstance(cell, str | None):
                return "", f"{name} is {shown(cell)}, expected a text"
            if cell is not None and (found := UNDECODED.search(cell)) is not None:
                encoding = self.encoding.removesuffix("-sig")
                return "", f"{name} has byte 0x{ord(found[0]) - 0xDC00:02x}, which is not {encoding}"
        text = "\n".join(cell for cell in cells.values() if cell and not cell.isspace())
        return text, None if text else NO_TEXT

    def _columns(self) -> list[str]:
        if self.format == "parquet":
            assert self.path is not None
            with readable_parquet(self.path):
                names = list(parquet.read_schema(self.path).names)
        elif self.format == "table":
            with self._lines() as lines:
                names, fault = next(records(lines, self.delimiter, self.quoted), ([], "the file is empty"))
            if fault is not None:
                raise ValueError(f"{self.path}:1: expected a header, found {fault}")
        else:
            names = list(self.text_columns)
        if repeated := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"{self.path}: the columns {shown(repeated)} occur more than once in the header")
        return names

    @contextmanager
    def _lines(self) -> Iterator[Iterable[str]]:
        """The lines of the file, with bytes that are not of the encoding as lone surrogates."""
        # a text stream would also end lines at a carriage return inside a text, which the csv module takes care of
        newline = "" if self.format == "table" else "\n"
        if self.path is not None:
            try:
                with self.path.open(encoding=self.encoding, errors="surrogateescape", newline=newline) as file:
                    yield file
            except UnicodeError as error:  # of encodings whose errors are not of single bytes
                raise ValueError(f"{self.path}: cannot be read as {self.encoding}: {error}") from None
        elif (stream := getattr(sys.stdin, "buffer", None)) is None:
            yield sys.stdin
        else:
            wrapped = io.TextIOWrapper(stream, encoding=self.encoding, errors="surrogateescape", newline=newline)
            try:
                yield wrapped
            finally:
                wrapped.detach()  # the standard input stays open

    def _table_rows(self, lines: Iterable[str]) -> Iterator[Row]:
        found = records(lines, self.delimiter, self.quoted)
        next(found)  # the header
        for cells, fault in found:
            yield self._table_row(cells, fault)

    def _table_row(self, cells: list[str], fault: str | None) -> Row:
        """A row of the width of the header; cells that are too many stay in the last column."""
        width, found = len(self.columns), len(cells)
        if found > width:
            cells = [*cells[: width - 1], self.delimiter.join(cells[width - 1 :])]
        if found not in (0, width):  # 0: a blank line
            fault = fault or f"{found} columns, expected {width}"
        return Row(dict(zip_longest(self.columns, cells, fillvalue="")), fault)

    def _json_row(self, line: str) -> Row:
        if not line.strip():
            return Row({})
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # not JSON, numbers of thousands of digits, deep nesting
            return Row({self.text_columns[0]: line.rstrip("\r\n")}, f"not JSON: {error}")
        if not isinstance(row, dict):
            return Row({self.text_columns[0]: line.rstrip("\r\n")}, f"found {shown(row)}, expected a JSON object")
        return Row(row)

    def _parquet_rows(self) -> Iterator[Row]:
        assert self.path is not None
        # without buffering ahead, which would hold a whole row group
        with readable_parquet(self.path), parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=2**20) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                try:
                    rows = batch.to_pylist()
                except UnicodeDecodeError:
                    names = batch.schema.names
                    rows = [dict(zip(names, cells)) for cells in zip(*map(_decoded, batch.columns))]
                yield from map(Row, rows)


def chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Rows, so many at a time."""
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _decoded(column: pyarrow.Array) -> list[Any]:
    """Cells of a column, with bytes of texts that are not UTF-8 as lone surrogates."""
    if not (pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)):
        cells: list[Any] = column.to_pylist()
        return cells
    texts = column.cast(pyarrow.large_binary()).to_pylist()
    return [None if text is None else text.decode("utf-8", "surrogateescape") for text in texts]
