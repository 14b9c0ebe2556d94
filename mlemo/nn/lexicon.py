"""Lexicons: tables of values of words, such as polarity or associated emotions."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mlemo.utils.messages import shown

__all__ = ["Lexicon"]


@dataclass(frozen=True)
class Lexicon:
    """A lexicon in a table with a header: one column of words, the others numeric values.

    Files named ``.csv`` (also ``.csv.gz``) are separated by commas, others by tabs, without quotes.

    Args:
        path: Path of the table, UTF-8.
        word_column: Column of the words; the first one if left out.
        columns: Columns of the values; all others if left out.
    """

    path: str | Path
    word_column: str | None = None
    columns: list[str] | None = None

    def read(self, normalize: Callable[[str], str] = str) -> pd.DataFrame:
        """Read the values of every word.

        Args:
            normalize: Function that normalizes words as in texts, such as to lower case.

        Returns:
            A table of float32 with one row per word (the index, normalized) in the order of the file, and one column
            per value. Rows of the same word, such as several senses, are averaged.

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: A column is missing, a row is longer than the header, or a value is not a finite number; the
                message has file and line.
        """
        table = self._table()
        if table.columns.empty:
            raise ValueError(f"{self.path}:1: no header, expected a column of words and at least one of values")
        word_column = table.columns[0] if self.word_column is None else self.word_column
        columns = [name for name in table.columns if name != word_column] if self.columns is None else self.columns
        for name in (word_column, *columns):
            if name not in table.columns:
                raise ValueError(f"{self.path}: no column {name!r}, found {shown(list(table.columns))}")
        if not columns:
            raise ValueError(f"{self.path}: expected a column of words and at least one of values")
        values = table[columns].apply(pd.to_numeric, errors="coerce")
        wrong = ~np.isfinite(values.to_numpy(dtype=np.float64))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise ValueError(
                f"{self.path}:{table.index[row]}: column {shown(columns[column])} must be a finite number, "
                f"found {shown(table[columns].iat[row, column])}"
            )
        words = table[word_column].str.strip().map(normalize)
        return values.astype(np.float32).groupby(words.to_numpy(), sort=False).mean()

    def _table(self) -> pd.DataFrame:
        """Read all cells as strings; the index has the line numbers."""
        path = Path(self.path)
        if not path.is_file():
            raise FileNotFoundError(f"no lexicon at {path}")
        commas = ".csv" in path.suffixes
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                table = pd.read_csv(
                    path,
                    sep="," if commas else "\t",
                    quoting=csv.QUOTE_MINIMAL if commas else csv.QUOTE_NONE,
                    dtype=str,
                    keep_default_na=False,  # "nan" and "null" are words
                    index_col=False,
                    skip_blank_lines=False,  # so that rows can be counted as lines
                    encoding="utf-8-sig",
                )
        except (ValueError, pd.errors.ParserWarning) as error:
            raise ValueError(f"{path} cannot be read as a table: {error}") from error
        table.index += 2
        return table[(table != "").any(axis=1)]  # missing cells of short rows are empty
