"""Your own corpus: CSV, TSV, Excel workbooks, JSON lines or Parquet."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow
import torch
from torch import Tensor

from mlemo.data.base import SPLITS, EmotionDataModule, Split
from mlemo.data.checks import listing
from mlemo.data.columns import Columns
from mlemo.data.corpus import Corpus
from mlemo.data.io.arrow_cache import BLOCK, ArrowCache, content_key
from mlemo.data.io.indicators import Indicators
from mlemo.data.io.tables import Table, check_suffix, file_parts, most_rows
from mlemo.data.kept import CODE, add_corpus, code_of, corpus_of
from mlemo.data.label_cells import LabelCells
from mlemo.data.splits import joined_groups, stratified_split
from mlemo.labels import LabelSpace

__all__ = ["TextFiles"]

Cell = str | int | float | bool


class TextFiles(EmotionDataModule):
    """A corpus of one's own, in files of ``.csv``, ``.tsv``, ``.txt``, ``.xlsx``, ``.jsonl`` or ``.parquet``.

    Labels are either in one 0/1 column per label, named as in ``labels``, or all in ``label_column``: a list (JSON or
    Python notation in text files), or names joined by ``separator``. What an empty cell means is set by ``empty``:

    - ``"no"``: the label is absent, as 0; in ``label_column``, the empty label set.
    - ``"unknown"``: not annotated; the cell counts neither in training nor in a score. A file with none of the columns
      in ``labels`` has no annotated row.
    - ``None``: in a 0/1 column and for null (JSON lines, Parquet), not annotated; for an empty text in
      ``label_column``, the empty label set. A column with 1 and empty cells but no 0 is refused: read as not
      annotated it would leave the label without a negative, and any score of it perfect.

    Tables have a header, and text tables CSV quoting. Blank rows, and empty columns behind the last one with a name,
    are skipped and counted in a warning. A validation or test split without a file of its own is taken from ``train``:
    stratified, seeded, equal texts on one side.

    Args:
        labels: Label names, in the order wanted; ``None`` for those of ``train``, which is then read to know them: the
            columns beside texts, ids and groups whose cells are all 0, 1 or empty, or the names in ``label_column``,
            sorted.
        train: File with the training rows.
        val: File with the validation rows; ``None`` to split them off ``train``.
        test: File with the test rows; ``None`` to split them off ``train``.
        data_dir: Folder in which relative file names are looked up.
        text_column: Name of the column with the texts; several names for texts that are joined.
        text_separator: Text between the joined cells, of which empty ones are left out.
        label_column: Name of the column with the label sets; ``None`` for one column a label.
        id_column: Name of the column with the ids; ``None`` to number the rows of each file from 0.
        group_column: Name of a column, such as the author: rows with the same cell stay on one side where ``train`` is
            split. A row whose cell is empty is a group of its own.
        separator: Text between the names of a label set; spaces around the names are removed.
        delimiter: Character between the cells of a text table; ``None`` for a comma in ``.csv`` and a tab in ``.tsv``
            and ``.txt``.
        encoding: Encoding of text files, such as ``cp1252``; ``None`` for UTF-8, or UTF-16 where the file begins with
            its byte-order mark.
        true_values: Cells of a 0/1 column that mean 1, in any case; ``None`` for 1, 1.0 and 1,0.
        false_values: Cells of a 0/1 column that mean 0; ``None`` for 0, 0.0 and 0,0.
        val_fraction: Part of ``train`` that becomes the validation split, where that has no file.
        test_fraction: Part of ``train`` that becomes the test split, where that has no file.
        empty: What an empty cell means: ``"no"``, ``"unknown"`` or ``None``, see above. ``False`` is ``"no"``, since
            YAML reads an unquoted ``no`` so.
        **kwargs: Settings that all corpora share (``seed`` among them), see ``EmotionDataModule``.

    Raises:
        ValueError: No training file, labels that are empty or repeated, an empty separator, a delimiter of several
            characters, an unknown encoding, a value that means both 1 and 0, or an unknown ``empty``.
    """

    def __init__(
        self,
        labels: list[str] | None = None,
        train: str | Path | None = None,
        val: str | Path | None = None,
        test: str | Path | None = None,
        data_dir: str | Path | None = None,
        *,
        text_column: str | list[str] = "text",
        text_separator: str = "\n",
        label_column: str | None = None,
        id_column: str | None = None,
        group_column: str | None = None,
        separator: str = ",",
        delimiter: str | None = None,
        encoding: str | None = None,
        true_values: list[Cell] | None = None,
        false_values: list[Cell] | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        empty: Literal["no", "unknown", False] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_dir, **kwargs)
        if train is None:
            raise ValueError("data.train is not given, expected the file with the training rows")
        if not separator:
            raise ValueError("data.separator is empty, expected the text between two label names")
        if delimiter is not None and len(delimiter) != 1:
            raise ValueError(f"data.delimiter must be one character, found {delimiter!r}")
        if encoding is not None:
            try:
                codecs.lookup(encoding)
            except LookupError:
                raise ValueError(
                    f"data.encoding: no encoding is named {encoding!r}; common ones are utf-8, utf-16 and cp1252"
                ) from None
        if empty not in ("no", "unknown", False, None):
            raise ValueError(f"data.empty must be no, unknown or null, found {empty!r}")
        self.text_columns = [text_column] if isinstance(text_column, str) else list(text_column)
        if not self.text_columns:
            raise ValueError("data.text_column is an empty list, expected one column or more")
        self.empty = "no" if empty is False else empty
        self._given = None if labels is None else LabelSpace(tuple(labels))
        self._cells = LabelCells(label_column, separator, self.empty, Indicators(true_values, false_values))
        self._train = train
        self.files: dict[Split, str | Path | None] = {"train": train, "val": val, "test": test}
        self.fractions = {"val": val_fraction, "test": test_fraction}
        self.text_separator, self.id_column, self.group_column = text_separator, id_column, group_column
        self.delimiter, self.encoding = delimiter, encoding
        self._values = [true_values, false_values]

    @property
    def label_space(self) -> LabelSpace:
        """The labels as given, or as found in the training file."""
        return self._given or self._found

    @cached_property
    def _found(self) -> LabelSpace:
        others = {*self.text_columns, self.id_column, self.group_column} - {None}
        path = self._path(self._train)
        return LabelSpace(tuple(self._cells.find(self._tables(path, Counter()), others)))  # type: ignore[arg-type]  # without None

    def found_settings(self) -> dict[str, Any]:
        """The labels."""
        return {} if self._given is not None else {"labels": list(self.label_space.names)}

    def read(self, split: Split) -> Corpus:
        """One split, from its file or split off the training file.

        Raises:
            FileNotFoundError: The file is missing.
            ValueError: The file has a fault; the message names it and its place.
        """
        file = self.files[split]
        if file is not None and split != "train":
            return self._read(file)
        return self._train_file if self._cut is None else self._train_file.select(self._cut[split])

    @cached_property
    def _train_file(self) -> Corpus:
        return self._read(self._train)

    @cached_property
    def _cut(self) -> dict[Split, Tensor] | None:
        """The rows of the training file that each split has; ``None`` where every split has a file."""
        cut = [split for split in SPLITS if split != "train" and self.files[split] is None]
        if not cut:
            return None
        corpus, off = self._train_file, [self.fractions[split] for split in cut]
        together: Sequence[Any] = corpus.texts or ()
        if self.group_column is not None:
            together = joined_groups(together, self._groups(self.group_column))
        try:
            parts = stratified_split(corpus.labels, [1 - sum(off), *off], self.seed, groups=together)
        except ValueError as error:
            raise ValueError(f"{self._train}: {error}") from None
        return dict(zip(["train", *cut], map(torch.tensor, parts)))  # type: ignore[arg-type]  # mypy widens the list

    def _groups(self, column: str) -> list[Any]:
        """The group of each row of the training file; that of an empty cell is its own."""
        tables = self._tables(self._path(self._train), Counter())
        cells = [cell for table in tables for cell in table.column(column)]
        return [(row,) if cell in ("", None) else str(cell) for row, cell in enumerate(cells)]

    def _path(self, file: str | Path) -> Path:
        return Path(file) if self.data_dir is None else self.data_dir / file

    def _tables(self, path: Path, skipped: Counter[str]) -> Iterator[Table]:
        """The rows of a file, some thousands at a time; what is skipped is counted."""
        return file_parts(path, self.delimiter, self.encoding, skipped)

    def _read(self, file: str | Path) -> Corpus:
        path = self._path(file)
        check_suffix(path)
        if self.map_from is None or not path.is_file() or most_rows(path) < self.map_from:
            skipped: Counter[str] = Counter()
            corpus = Corpus.concatenate(list(self._parts(path, skipped)))
            corpus.warnings = _warnings(path, skipped)
            return corpus
        key = self._key(path)

        def fill(columns: Columns) -> None:
            skipped: Counter[str] = Counter()
            for part in self._parts(path, skipped):
                add_corpus(columns, part)
            columns.notes = dict(skipped)

        batch = ArrowCache(self.cache_dir).get(key, fill)
        return corpus_of(batch, key, self.label_space, warnings=_warnings(path, Columns.notes_of(batch)))

    def _key(self, path: Path) -> str:
        """A name for everything that the rows of a file follow from."""
        settings = {
            "suffix": path.suffix.lower(),
            "labels": self.label_space.names,
            "columns": [self.text_columns, self._cells.column, self.id_column],
            "text_separator": self.text_separator,
            "separator": self._cells.separator,
            "empty": self.empty,
            "delimiter": self.delimiter,
            "encoding": self.encoding,
            "values": self._values,
            "pyarrow": pyarrow.__version__,
        }
        own = Path(__file__)
        readers = (own, own.with_name("label_cells.py"), own.parent / "io")
        with path.open("rb") as file:
            return content_key(
                "file", json.dumps(settings), code_of(*CODE, *readers), iter(lambda: file.read(BLOCK), b"")
            )

    def _parts(self, path: Path, skipped: Counter[str]) -> Iterator[Corpus]:
        """The rows of a file, some thousands at a time."""
        space = self.label_space
        known: dict[str, int] = {}
        rows = 0
        ones, empty = torch.zeros(2, len(space), dtype=torch.long)
        for table in self._tables(path, skipped):
            texts = table.joined_texts(self.text_columns, self.text_separator)
            labels, mask = self._cells.read(table, space)
            ones, empty = ones + labels.sum(0).long(), empty + (~mask).sum(0)
            if self.empty == "no":
                mask = torch.ones_like(mask)
            numbers = range(rows, rows := rows + len(table))
            ids = list(map(str, numbers)) if self.id_column is None else table.ids(self.id_column, known)
            yield Corpus(space, labels, ids, texts, mask=mask)
        if self.empty is None and self._cells.column is None:
            self._refuse_ambiguous(path, ones, empty, rows)

    def _refuse_ambiguous(self, path: Path, ones: Tensor, empty: Tensor, rows: int) -> None:
        """Refuse columns with 1 and empty cells but no 0."""
        columns = ((ones > 0) & (empty > 0) & (ones + empty == rows)).nonzero().flatten().tolist()
        if columns:
            names = self.label_space.names
            found = [f"{names[c]!r} ({ones[c]:,} of 1, none of 0, {empty[c]:,} empty)" for c in columns]
            raise ValueError(
                f"{path}: an empty cell can mean two things in the columns {listing(found)}. Set data.empty: "
                "`no` if it means that the label is absent (as 0), `unknown` if it means not annotated (the cell then "
                "counts nowhere, and these labels have no negative)"
            )


def _warnings(path: Path, skipped: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"{path}: {what} skipped: {count:,}" for what, count in skipped.items())
