"""Formats of the output: rows with their results become bytes, a part at a time, and the bytes of parts one file."""

from __future__ import annotations

import csv
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow
from pyarrow import parquet

from mlemo.classification.results import Probabilities, Result, ResultColumns
from mlemo.classification.source import Row
from mlemo.utils.messages import CONTROL, SURROGATE

__all__ = ["JsonLines", "Output", "ParquetTable", "TextTable", "output_of"]

#: Delimiter of a table, by the suffix of its file.
DELIMITERS = {".csv": ",", ".tsv": "\t"}
GROUP = 64  #: parts whose rows are a row group of a Parquet file
#: Lone surrogates other than those that stand for bytes.
UNWRITABLE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class Output(ABC):
    """A format of the output."""

    @abstractmethod
    def encode(self, rows: Sequence[Row], results: Sequence[Result]) -> bytes:
        """Return rows with their results, as a part of a file."""

    def join(self, parts: Sequence[Path], file: BinaryIO) -> None:
        """Write the file that parts make, one after another."""
        for part in parts:
            file.write(part.read_bytes())


class JsonLines(Output):
    """One JSON object per row, its results beside its own keys.

    Args:
        columns: Names of the results.
        probabilities: Whether there are probabilities.
        ascii_only: Escape all other characters.
    """

    def __init__(self, columns: ResultColumns, probabilities: Probabilities, *, ascii_only: bool = False) -> None:
        self.columns, self.probabilities, self.ascii_only = columns, probabilities, ascii_only

    def encode(self, rows: Sequence[Row], results: Sequence[Result]) -> bytes:
        """Return a line per row; the reason why a row was not classified is there where there is one."""
        return "".join(map(self._line, rows, results)).encode()

    def _line(self, row: Row, result: Result) -> str:
        content = {**row.cells, self.columns.labels: result.labels}
        if self.probabilities != "none":
            content[self.columns.nested] = None if result.labels is None else _rounded(result)
        if result.problem is not None:
            content[self.columns.problem] = result.problem
        line = json.dumps(content, ensure_ascii=self.ascii_only, default=str)
        return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", line) + "\n"


class TextTable(Output):
    """A delimited text file in UTF-8, with CSV quoting and a header.

    Cells that are no texts, of JSON lines and Parquet files, are written as JSON.

    Args:
        names: Columns of the input.
        columns: Names of the results.
        probabilities: Which probabilities there are.
        delimiter: Character between cells.
        separator: Text between decided labels.
    """

    def __init__(
        self,
        names: Sequence[str],
        columns: ResultColumns,
        probabilities: Probabilities,
        *,
        delimiter: str,
        separator: str,
    ) -> None:
        self.names, self.columns, self.delimiter, self.separator = names, columns, delimiter, separator
        self.scored = list(columns.probabilities) if probabilities != "none" else []

    def encode(self, rows: Sequence[Row], results: Sequence[Result]) -> bytes:
        """Return a record per row; cells of labels that have no probability are empty."""
        return self._records(
            [
                *(_text(row.cells.get(name)) for name in self.names),
                self.separator.join(result.labels or ()),
                *(f"{result.probabilities[name]:.6g}" if name in result.probabilities else "" for name in self.scored),
                result.problem or "",
            ]
            for row, result in zip(rows, results, strict=True)
        )

    def join(self, parts: Sequence[Path], file: BinaryIO) -> None:
        """Write the header and the parts."""
        scored = [self.columns.probabilities[label] for label in self.scored]
        file.write(self._records([[*self.names, self.columns.labels, *scored, self.columns.problem]]))
        super().join(parts, file)

    def _records(self, rows: Any) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.delimiter).writerows(rows)
        # bytes that could not be decoded are written as they were
        return UNWRITABLE.sub("\ufffd", text.getvalue()).encode("utf-8", "surrogateescape")


class ParquetTable(Output):
    """A Parquet file: columns of a Parquet input keep their types, those of other inputs are texts.

    Args:
        names: Columns of the input.
        columns: Names of the results.
        probabilities: Which probabilities there are.
        schema: Schema of a Parquet input, else ``None``.
    """

    def __init__(
        self,
        names: Sequence[str],
        columns: ResultColumns,
        probabilities: Probabilities,
        schema: pyarrow.Schema | None,
    ) -> None:
        self.columns, self.typed = columns, schema is not None
        self.scored = list(columns.probabilities) if probabilities != "none" else []
        added = [
            pyarrow.field(columns.labels, pyarrow.list_(pyarrow.string())),
            *(pyarrow.field(columns.probabilities[label], pyarrow.float32()) for label in self.scored),
            pyarrow.field(columns.problem, pyarrow.string()),
        ]
        own = [pyarrow.field(name, pyarrow.string()) for name in names] if schema is None else list(schema)
        self.names = names
        self.schema = pyarrow.schema([*own, *added])

    def encode(self, rows: Sequence[Row], results: Sequence[Result]) -> bytes:
        """Return a Parquet file of the rows; of rows that were not classified, labels and probabilities are null."""
        columns = [[_cell(row.cells.get(name), self.typed) for row in rows] for name in self.names]
        columns.append([result.labels for result in results])
        columns += [[result.probabilities.get(label) for result in results] for label in self.scored]
        columns.append([result.problem for result in results])
        arrays = [pyarrow.array(cells, field.type) for cells, field in zip(columns, self.schema, strict=True)]
        buffer = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=self.schema), buffer)
        return buffer.getvalue()

    def join(self, parts: Sequence[Path], file: BinaryIO) -> None:
        """Write the rows of the parts, those of some dozens to a row group."""
        with parquet.ParquetWriter(file, self.schema) as writer:
            for start in range(0, len(parts), GROUP):
                tables = [parquet.read_table(part, schema=self.schema) for part in parts[start : start + GROUP]]
                writer.write_table(pyarrow.concat_tables(tables))


def output_of(
    path: Path,
    names: Sequence[str],
    columns: ResultColumns,
    probabilities: Probabilities,
    *,
    schema: pyarrow.Schema | None,
    separator: str,
    delimiter: str | None = None,
) -> Output:
    """The format that the suffix of a file names.

    Args:
        path: The file.
        names: Columns of the input.
        columns: Names of the results.
        probabilities: Which probabilities there are.
        schema: Schema of a Parquet input, else ``None``.
        separator: Text between decided labels, in a text table.
        delimiter: Character between the cells of a text table; ``None`` for that of the suffix.

    Raises:
        ValueError: The suffix names no format.
    """
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        between = DELIMITERS[suffix] if delimiter is None else delimiter
        return TextTable(names, columns, probabilities, delimiter=between, separator=separator)
    if suffix in (".jsonl", ".ndjson"):
        return JsonLines(columns, probabilities)
    if suffix == ".parquet":
        return ParquetTable(names, columns, probabilities, schema)
    raise ValueError(f"--output {path}: expected a file of .csv, .tsv, .jsonl, .ndjson or .parquet")


def _rounded(result: Result) -> dict[str, float]:
    """Probabilities with as many digits as float32 has."""
    return {name: float(f"{value:.6g}") for name, value in result.probabilities.items()}


def _text(cell: Any) -> str:
    if cell is None or isinstance(cell, str):
        return cell or ""
    return json.dumps(cell, ensure_ascii=False, default=str)


def _cell(cell: Any, typed: bool) -> Any:
    """A cell for Arrow, whose texts are UTF-8: lone surrogates are replaced."""
    cell = cell if typed or cell is None else _text(cell)
    return SURROGATE.sub("\ufffd", cell) if isinstance(cell, str) else cell
