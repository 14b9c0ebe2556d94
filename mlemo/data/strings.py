"""Texts that are not Python strings until they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import pyarrow
from torch import Tensor

__all__ = ["Strings", "parts_of"]

PART = 10_000  #: texts that are strings at a time


class Strings(Sequence[str]):
    """A sequence of strings in Arrow memory, such as that of a mapped file; each becomes a string when it is read.

    Args:
        array: ``large_string``, without nulls.
        key: Name of everything that the texts follow from, where they are those of a file of the cache.

    Example:
        >>> texts = Strings(pyarrow.array(["joy", "خوف"], pyarrow.large_string()))
        >>> texts[1], texts == ["joy", "خوف"], list(texts.take([1, 0]))
        ('خوف', True, ['خوف', 'joy'])
    """

    def __init__(self, array: pyarrow.LargeStringArray, key: str | None = None) -> None:
        self.array, self.key = array, key

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[place] for place in range(*row.indices(len(self)))]
        return self.array[range(len(self))[row]].as_py()

    def __iter__(self) -> Iterator[str]:
        for begin in range(0, len(self), PART):
            yield from self.array.slice(begin, PART).to_pylist()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str) or len(self) != len(other):
            return False
        return all(own == theirs for own, theirs in zip(self, other))

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have no hash

    def __repr__(self) -> str:
        return f"<{len(self):,} strings in Arrow memory>"

    def take(self, rows: Sequence[int] | Tensor | np.ndarray) -> Strings:
        """The strings of some rows, copied."""
        return Strings(self.array.take(pyarrow.array(np.asarray(rows, dtype=np.int64))))

    @classmethod
    def concatenate(cls, parts: Sequence[Strings]) -> Strings:
        """The strings of all parts, one after another, copied."""
        return cls(pyarrow.concat_arrays([part.array for part in parts]))


def parts_of(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts as lists of some thousands, which are not kept."""
    for begin in range(0, len(texts), PART):
        if isinstance(texts, Strings):
            yield texts.array.slice(begin, PART).to_pylist()
        else:
            yield list(texts[begin : begin + PART])
