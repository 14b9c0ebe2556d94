"""Reading compressed files: a limit on what they hold, as a file of a few KB may unpack to more than the memory."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pyarrow
from pyarrow import parquet

__all__ = ["check_mat", "check_zip", "parquet_batches", "read_gzip", "readable_parquet"]

#: Most bytes that a compressed file may hold: several times the largest dataset of MULAN as a table.
LARGEST = 2**30
#: Most cells of a Parquet file, whose runs of equal cells take no bytes.
MOST_CELLS = 10**8
CHUNK = 2**20
MAT_HEADER, MAT_COMPRESSED = 128, 15  # bytes of a MATLAB file's header; type of its compressed elements


def read_gzip(path: Path) -> bytes:
    """What a gzip file holds. It is unpacked twice, the first time to count.

    Raises:
        ValueError: Not readable, or more than ``LARGEST`` bytes.
    """
    size = 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(CHUNK):
                size += len(chunk)
                if size > LARGEST:
                    raise _too_large(path, "unpack it first if that is meant")
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a readable gzip file: {error}") from None


def check_mat(path: Path) -> None:
    """Refuse a MATLAB file (of version 5 to 7.2) whose compressed parts hold too much.

    Raises:
        ValueError: They hold more than ``LARGEST`` bytes.
    """
    size = 0
    with path.open("rb") as file:
        order: Literal["big", "little"] = "big" if file.read(MAT_HEADER)[126:] == b"MI" else "little"
        while len(tag := file.read(8)) == 8:
            kind, length = (int.from_bytes(part, order) for part in (tag[:4], tag[4:]))
            content = file.read(length)
            if kind != MAT_COMPRESSED:
                continue
            unpack = zlib.decompressobj()
            while content:
                try:
                    size += len(unpack.decompress(content, CHUNK))
                except zlib.error:
                    break  # for the reader to report
                content = unpack.unconsumed_tail
                if size > LARGEST:
                    raise _too_large(path, "save it without compression if that is meant")


def check_zip(path: Path) -> None:
    """Refuse a ZIP file, such as a workbook, that holds too much.

    Raises:
        ValueError: Not readable, or more than ``LARGEST`` bytes.
    """
    try:
        with zipfile.ZipFile(path) as file:
            size = sum(entry.file_size for entry in file.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable workbook: {error}") from None
    if size > LARGEST:
        raise _too_large(path, "divide the file if that is meant")


def parquet_batches(path: Path) -> tuple[list[str], Iterator[pyarrow.RecordBatch]]:
    """Names of the columns of a Parquet file, and its rows, 1,024 at a time.

    Raises:
        ValueError: Not readable, or more than ``LARGEST`` bytes or ``MOST_CELLS`` cells; where the rows themselves are
            the fault, as they are read.
    """
    with readable_parquet(path), parquet.ParquetFile(path) as file:
        cells = file.metadata.num_rows * file.metadata.num_columns
        if cells > MOST_CELLS:
            raise ValueError(f"{path}: {cells:,} cells, expected at most {MOST_CELLS:,}; divide the file")
        names = list(file.schema_arrow.names)  # names that are not UTF-8 are found out here
    return names, _parquet_rows(path)


def _parquet_rows(path: Path) -> Iterator[pyarrow.RecordBatch]:
    size = 0
    with readable_parquet(path), parquet.ParquetFile(path) as file:
        for part in file.iter_batches(batch_size=1024):  # text that is stored once may be in every row
            size += part.nbytes
            if size > LARGEST:
                raise _too_large(path, "divide the file if that is meant")
            yield part


@contextmanager
def readable_parquet(path: Path) -> Iterator[None]:
    """Raise a ``ValueError`` that names the file for whatever PyArrow raises while a Parquet file is read."""
    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable Parquet file: {error}") from None


def _too_large(path: Path, advice: str) -> ValueError:
    return ValueError(
        f"{path}: it unpacks to more than {LARGEST:,} bytes, more than any data that mlemo reads; {advice}"
    )
