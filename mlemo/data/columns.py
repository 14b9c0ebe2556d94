"""Columns that grow by parts, in memory or on disk, and become one Arrow record batch, which tensors are views of."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow
import torch
from torch import Tensor

__all__ = ["Columns", "NotKept", "as_tensor", "narrow"]

BLOCK = 2**20  # values that are converted at a time


class NotKept(OSError):
    """A column cannot be written."""


class Columns:
    """Columns of one table that are filled a part at a time.

    Arrow writes a table that grows as many record batches, in which a row's place is a chunk and a place in it. Here
    the values of each column wait in a file of their own until all are there, and then form one batch: a column is one
    stretch of memory, from which a batch of rows is one gather.

    Args:
        folder: Where the values wait, an empty folder; ``None`` keeps them in memory.

    Attributes:
        notes: Counts of what is not in the table, which are stored with it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._values: dict[str, _Values] = {}
        self._ends: dict[str, _Values] = {}  # of columns whose rows have a length each
        self._widths: dict[str, int] = {}  # of columns whose rows all have the same
        self._strings: set[str] = set()
        self.notes: dict[str, int] = {}

    def add_rows(self, name: str, values: np.ndarray) -> None:
        """Append rows of one length, ``(n, width)``."""
        self._widths[name] = values.shape[1]
        self._of(self._values, name).append(values.reshape(-1))

    def add_lists(self, name: str, values: np.ndarray, lengths: np.ndarray) -> None:
        """Append rows of several lengths: all their values one after another, and the number of each row's."""
        first = name not in self._ends
        ends = self._of(self._ends, name)
        begin = 0 if first else self._of(self._values, name).size
        if first:
            ends.append(np.zeros(1, np.int64))
        ends.append(begin + np.cumsum(lengths, dtype=np.int64))
        self._of(self._values, name).append(values)

    def add_strings(self, name: str, texts: Sequence[str]) -> None:
        """Append texts.

        Raises:
            UnicodeEncodeError: A text holds half of a surrogate pair, which Arrow cannot.
        """
        self._strings.add(name)
        array = pyarrow.array(texts, pyarrow.large_string())
        _, ends, content = array.buffers()
        values = np.frombuffer(content, np.uint8) if content is not None else np.zeros(0, np.uint8)
        lengths = np.diff(np.frombuffer(ends, np.int64)[: len(array) + 1]) if len(array) else np.zeros(0, np.int64)
        self.add_lists(name, values[: lengths.sum()], lengths)

    def batch(self) -> pyarrow.RecordBatch:
        """All columns; views of the waiting files, where there are such."""
        batch = pyarrow.record_batch({name: self._column(name) for name in self._values})
        return batch.replace_schema_metadata({"notes": json.dumps(self.notes)})

    @staticmethod
    def notes_of(batch: pyarrow.RecordBatch) -> dict[str, int]:
        """The notes of a table that is read again."""
        notes: dict[str, int] = json.loads(batch.schema.metadata[b"notes"])
        return notes

    def close(self) -> None:
        """Close the waiting files."""
        for values in (*self._values.values(), *self._ends.values()):
            values.close()

    def _of(self, values: dict[str, _Values], name: str) -> _Values:
        if name not in values:
            suffix = "ends" if values is self._ends else "values"
            values[name] = _Values(None if self._folder is None else self._folder / f"{name}.{suffix}")
        return values[name]

    def _column(self, name: str) -> pyarrow.Array:
        values = self._values[name].array()
        if name in self._widths:
            return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values), self._widths[name])
        ends = self._ends[name].array()
        if name in self._strings:
            buffers = (pyarrow.py_buffer(ends), pyarrow.py_buffer(values))
            return pyarrow.LargeStringArray.from_buffers(len(ends) - 1, *buffers)
        return pyarrow.LargeListArray.from_arrays(pyarrow.array(ends), pyarrow.array(values))


class _Values:
    """Numbers that are appended; the type is the narrowest that holds all parts."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.size = 0
        self._parts: list[np.ndarray] = []
        self._file: BinaryIO | None = None
        self._dtype: np.dtype[Any] | None = None

    def append(self, values: np.ndarray) -> None:
        dtype = values.dtype if self._dtype is None else np.result_type(self._dtype, values.dtype)
        self.size += len(values)
        if self.path is None:
            self._parts.append(values)
        else:
            try:
                if self._file is None or dtype != self._dtype:
                    self._widen(self.path, dtype)
                self._file.write(np.ascontiguousarray(values, dtype).data)  # type: ignore[union-attr]  # _widen opens it
            except OSError as error:
                raise NotKept(error.errno, error.strerror, str(self.path)) from error
        self._dtype = dtype

    def array(self) -> np.ndarray:
        if self.path is None:
            return np.concatenate(self._parts)
        try:
            self._file.close()  # type: ignore[union-attr]  # a column has at least one part
        except OSError as error:
            raise NotKept(error.errno, error.strerror, str(self.path)) from error
        if self._dtype is None or not self.size:
            return np.zeros(0, self._dtype)  # an empty file cannot be mapped
        return np.memmap(self.path, self._dtype, "r")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _widen(self, path: Path, dtype: np.dtype[Any]) -> None:
        """Begin the file, or write it again with the wider type."""
        if self._file is not None:
            self._file.close()
            path.replace(narrower := path.with_suffix(".narrow"))
        self._file = path.open("wb")
        if self._dtype is not None and narrower.stat().st_size:
            old = np.memmap(narrower, self._dtype, "r")
            for begin in range(0, len(old), BLOCK):
                self._file.write(old[begin : begin + BLOCK].astype(dtype).data)


def narrow(values: np.ndarray) -> np.ndarray:
    """Token ids as uint16 where all are at most 65,535, else as int32.

    Example:
        >>> narrow(np.array([0, 65_535])).dtype, narrow(np.array([0, 65_536])).dtype
        (dtype('uint16'), dtype('int32'))
    """
    return values.astype(np.uint16 if values.max(initial=0) <= np.iinfo(np.uint16).max else np.int32)


def as_tensor(array: pyarrow.Array) -> Tensor:
    """The values of a column of numbers, flat, without copying them."""
    with warnings.catch_warnings():
        # torch warns of memory that is not writable; where it is mapped, a write would go to a copy of the page
        warnings.simplefilter("ignore")
        return torch.from_numpy(array.to_numpy(zero_copy_only=True))
