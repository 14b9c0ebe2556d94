"""Reading of Excel workbooks, cell by cell as a CSV file of the sheet would hold them."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from mlemo.data.io.compressed import check_zip
from mlemo.data.io.grid import grid_parts
from mlemo.data.io.table import Table

__all__ = ["xlsx_parts", "xlsx_rows"]

PART = 20_000  #: rows of a part of a file


def xlsx_parts(path: str | Path, skipped: Counter[str] | None = None) -> Iterator[Table]:
    """The rows of the first sheet, some thousands at a time; a formula is the value that was saved with it.

    Args:
        path: The file.
        skipped: As for `grid_parts`; sheets behind the first one are counted too.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No workbook, openpyxl is not installed, or as `grid_parts`.
    """
    with _workbook(Path(path)) as book:
        if skipped is not None and len(book.sheetnames) > 1:
            skipped[f"sheets behind the first one, {book.sheetnames[0]!r},"] = len(book.sheetnames) - 1
        rows = enumerate(book.worksheets[0].iter_rows(values_only=True), start=1)
        parts = iter(lambda: [(number, list(map(_text, cells))) for number, cells in islice(rows, PART)], [])
        yield from grid_parts(str(path), _as_wide_as_the_first(parts), unit="row", skipped=skipped)


def xlsx_rows(path: Path) -> int:
    """Return the number of rows of the first sheet, as the file gives it; 0 where it does not."""
    with _workbook(path) as book:
        return book.worksheets[0].max_row or 0


@contextmanager
def _workbook(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        import openpyxl  # noqa: PLC0415  # an extra
    except ImportError:
        raise ValueError(f"{path}: reading it needs openpyxl; install it with: pip install 'mlemo[xlsx]'") from None
    check_zip(path)
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable workbook: {error}") from None
    try:
        yield book
    finally:
        book.close()


def _as_wide_as_the_first(parts: Iterator[list[tuple[int, list[str]]]]) -> Iterator[list[tuple[int, list[str]]]]:
    """The rows with the empty cells behind their last one, which a workbook need not hold."""
    width = 0
    for part in parts:
        for _, row in part:
            width = width or (len(row) if any(row) else 0)
            row.extend([""] * (width - len(row)))
        yield part


def _text(value: Any) -> str:
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return "" if value is None else str(value)
